"""What the configuration says: whose an agent is, and values that nobody can mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.analytics.asking import known
from calls.metrics.question import Question
from runtime.problems import Refused
from runtime.settings import Settings, load

HOUSES = """
[accounts.north]
provider = "sautikit"
tenant = "north"
[accounts.south]
provider = "sautikit"
tenant = "south"
[flows.north]
account = "north"
start = "a"
steps = { a = { kind = "queue", queue = "cold" }, b = { kind = "queue", queue = "both" } }
[flows.south]
account = "south"
start = "a"
steps = { a = { kind = "queue", queue = "both" } }
"""


def loaded(folder: Path, text: str) -> Settings:
    (folder / "safiri.toml").write_text(text)
    return load(folder / "safiri.toml", folder)


@pytest.mark.parametrize(("agent", "tenant"), [
    ('queues = ["cold"]', "north"),
    ('queues = ["cold"]\ntenant = "default"', "default"),
    ('queues = ["both"]', "default"),
    ('queues = ["cold", "both"]', "default"),
    ('queues = ["elsewhere"]', "default"),
    ("", "default"),
], ids=["of the one whose flows have the queue", "as written", "two have it", "one of two", "nobody has it", "no queue"])  # fmt: skip
def test_whose_an_agent_is(tmp_path: Path, agent: str, tenant: str) -> None:
    assert loaded(tmp_path, f"{HOUSES}[agents.amina]\n{agent}\n").agents["amina"].tenant == tenant


def test_numbers_are_kept_in_the_one_writing_that_a_provider_takes(tmp_path: Path) -> None:
    found = loaded(
        tmp_path, '[agents.a]\nnumber = "0722 000 123"\n[accounts.x]\nprovider = "sautikit"\nnumbers = ["0700 000 001", "*384#"]'
    )
    assert (found.agents["a"].number, found.accounts["x"].numbers) == ("+254722000123", ["+254700000001", "*384#"])


def test_a_tenant_that_is_not_described_is_said(tmp_path: Path) -> None:
    assert "accounts.north.tenant: no [tenants.north]: its defaults hold" in loaded(tmp_path, HOUSES).warnings


@pytest.mark.parametrize(("text", "field"), [
    ("[agents.a]\nring_s = 0", "agents.a.ring_s"),
    ("[agents.a]\nring_s = inf", "agents.a.ring_s"),
    ("[agents.a]\nwrap_up_s = -1", "agents.a.wrap_up_s"),
    ("[agents.a]\nwrap_up_s = nan", "agents.a.wrap_up_s"),
    ("[agents.a]\nnumber = 'amina'", "agents.a.number"),
    ("[agents.a]\nsip = 'amina@pbx.example.com'", "agents.a.sip"),
    ("public_url = 'voice.example.com'", "public_url"),
    ("[accounts.a]\nprovider = 'sautikit'\napi_url = 'api.example.com'", "accounts.a.api_url"),
    ("[accounts.a]\nprovider = 'sautikit'\npoll_every_s = 0", "accounts.a.poll_every_s"),
    ("[accounts.a]\nprovider = 'sautikit'\nledger_path = 'wallet'", "accounts.a.ledger_path"),
    ("[accounts.a]\nprovider = 'sautikit'\nledger_path = '/v1/a b'", "accounts.a.ledger_path"),
    ("[queues.q]\nmax_wait_s = -1", "queues.q.max_wait_s"),
    ("[queues.q]\nmax_waiting = -1", "queues.q.max_waiting"),
    ("[queues.q]\nmax_waiting = 1.5", "queues.q.max_waiting"),
    ("[queues.q]\nthreshold_s = -20", "queues.q.threshold_s"),
])  # fmt: skip
def test_a_value_that_nobody_can_mean_names_its_field(tmp_path: Path, text: str, field: str) -> None:
    with pytest.raises(Refused) as refused:
        loaded(tmp_path, text)
    assert f"{field}:" in refused.value.detail


@pytest.mark.parametrize(
    ("tenant", "filters", "hours"),
    [
        ("north", (), 50),
        ("north", (("account", "slow"),), 50),
        ("north", (("account", "north"),), 33),
        ("north", (("account", "south"),), 50),
        ("south", (), 33),
        ("nobody", (), 33),
    ],
)
def test_a_number_is_final_after_the_horizon_of_the_accounts_it_is_of(
    tmp_path: Path, tenant: str, filters: tuple[tuple[str, str], ...], hours: float
) -> None:
    settings = loaded(tmp_path, f'{HOUSES}[accounts.slow]\nprovider = "neutral"\ntenant = "north"\nretry_horizon_h = 50\n')
    question = Question(tenant, ("queue.offered",), 0, 1, filters=filters)
    assert known(settings, question, None).horizon_h == hours


def test_polls_without_a_key_are_warned_of(tmp_path: Path) -> None:
    polled = "[accounts.a]\nprovider = 'sautikit'\nsigning_secrets = ['x']\npoll_every_s = 60\n"
    assert loaded(tmp_path, polled).warnings == ["accounts.a: poll_every_s without an api_key: the provider will refuse to be asked"]
    for more in ("api_key = 'k'", "api_url = 'virtual'"):
        assert loaded(tmp_path, polled + more).warnings == []
