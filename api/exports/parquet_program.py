"""`python -m api.exports.parquet_program`: rows as JSON lines on stdin become Parquet on stdout, in bounded memory.

A program of its own: what it needs of memory is given back when it ends, and it can be stopped at any moment. The first line
says the columns (`[[name, kind]…]`), the last is END: input that ends without it was cut short, and no valid file comes of it.
Equal lines give equal bytes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import BinaryIO

import polars as pl
from polars.io.plugins import register_io_source

from api.exports.parquet import END

READ = 4 << 20  # bytes of lines made columns at once
ROW_GROUP = 100_000
READ_AS: dict[str, pl.DataType] = {
    "text": pl.String(), "whole": pl.Int64(), "flag": pl.Boolean(), "time": pl.Int64(), "date": pl.Int32(),
    "texts": pl.List(pl.String()), "json": pl.String(),
}  # fmt: skip
WRITTEN_AS: dict[str, pl.DataType] = {"time": pl.Datetime("us", "UTC"), "date": pl.Date()}


def main() -> int:
    source = sys.stdin.buffer
    kinds: dict[str, str] = dict(json.loads(source.readline()))
    read = pl.Schema({name: READ_AS[kind] for name, kind in kinds.items()})
    written = pl.Schema({name: WRITTEN_AS.get(kind, READ_AS[kind]) for name, kind in kinds.items()})
    made = [pl.col(name).cast(WRITTEN_AS[kind]) for name, kind in kinds.items() if kind in WRITTEN_AS]

    def frames(_columns: list[str] | None, _where: pl.Expr | None, _rows: int | None, _size: int | None) -> Iterator[pl.DataFrame]:
        for lines in _lines(source):
            yield pl.read_ndjson(lines, schema=read).with_columns(made)

    rows = register_io_source(frames, schema=written)
    rows.sink_parquet(sys.stdout.buffer, compression="zstd", row_group_size=ROW_GROUP, engine="streaming")
    return 0


def _lines(source: BinaryIO) -> Iterator[bytes]:
    """Blocks of whole lines. Raises EOFError where END is missing."""
    last = b""
    while lines := source.readlines(READ):
        last = lines[-1]
        if last == END:
            lines.pop()
        if lines:
            yield b"".join(lines)
    if last != END:
        raise EOFError("the rows end too early")


if __name__ == "__main__":
    sys.exit(main())
