"""What every command takes: --config and --data-dir."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from runtime.settings import Settings, load

Function = Callable[..., Any]

_CONFIG = click.option(
    "--config", type=click.Path(path_type=Path), metavar="FILE", help="safiri.toml (default: SAFIRI_CONFIG, then ./safiri.toml)."
)
_DATA_DIR = click.option(
    "--data-dir", type=click.Path(path_type=Path), metavar="DIR", help="Where the stack keeps its data (default: SAFIRI_DATA_DIR)."
)


def places(function: Function) -> Function:
    """Adds --config and --data-dir and hands both over unread, as keywords `config` and `data_dir`."""
    return _CONFIG(_DATA_DIR(function))


def common(function: Function) -> Function:
    """Adds --config and --data-dir and calls `function(settings, …)`. A wrong configuration is `Refused`: exit 2."""

    @functools.wraps(function)
    def with_settings(*args: Any, config: Path | None, data_dir: Path | None, **rest: Any) -> Any:
        return function(settings_of(config, data_dir), *args, **rest)

    return places(with_settings)


def settings_of(config: Path | None, data_dir: Path | None) -> Settings:
    """The settings; remembers the data directory, so that a bug's traceback finds its way into the logs."""
    settings = load(config, data_dir)
    context = click.get_current_context(silent=True)
    if context is not None and isinstance(context.obj, dict):
        context.obj["data_dir"] = settings.data_dir
    return settings


as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
