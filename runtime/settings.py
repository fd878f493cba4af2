"""What `safiri.toml` and the environment say. Secrets may be `{ env = "NAME" }`, `{ file = "…" }` or plain text.

`load` raises `Refused` with one line that names the field; unknown keys are collected in `Settings.warnings`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from calls.parties import normalise, readable
from calls.voice.values import PHONE, SIP, WEB
from runtime.problems import Refused

ProviderName = Literal["sautikit", "minivoice", "africastalking", "asterisk-queue-log", "neutral"]
UNSIGNED = ("africastalking", "asterisk-queue-log")  # nothing of theirs is signed: the address carries a token


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is no IANA time zone such as Africa/Nairobi") from None
    return name


def _secret(value: object) -> object:
    """What is named is read here, once. An empty one would be known to everybody."""
    found = _named(value)
    if found == "":
        raise ValueError("this secret is empty")
    return found


def _named(value: object) -> object:
    """`{ env = … }` and `{ file = … }`."""
    if isinstance(value, Mapping):
        if set(value) == {"env"}:
            if value["env"] not in os.environ:
                raise ValueError(f"the environment has no {value['env']}")
            return os.environ[value["env"]]
        if set(value) == {"file"}:
            try:
                return Path(str(value["file"])).read_text().strip()
            except OSError as error:
                raise ValueError(f"cannot read {value['file']}: {error.strerror}") from None
        raise ValueError('a secret is text, { env = "NAME" } or { file = "PATH" }')
    return value


def _web(address: str) -> str:
    """What answers and orders are built on: a provider refuses whatever else it is given."""
    if why := WEB.wrong(address):
        raise ValueError(f"{address[:64]!r} {why}")
    return address


def _api(address: str) -> str:
    return address if address == "virtual" else _web(address)


def _path(path: str) -> str:
    if path and (not path.startswith("/") or not path.isprintable() or " " in path):
        raise ValueError(f"{path[:64]!r} is no path such as /v1/wallet/statement")
    return path


Zone = Annotated[str, AfterValidator(_zone)]
Seconds = Annotated[float, Field(ge=0, le=10_000_000)]
Secret = Annotated[SecretStr, BeforeValidator(_secret)]


class Section(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class Tenant(Section):
    timezone: Zone = "Africa/Nairobi"
    country: str = "KE"
    allow_private_endpoints: bool = False


class Account(Section):
    """One connection to one provider."""

    provider: ProviderName
    tenant: str = "default"
    signing_secrets: list[Secret] = []
    signature: Literal["required", "none"] = "required"
    numbers: list[str] = []
    api_key: Secret | None = None
    api_url: Annotated[str, AfterValidator(_api)] | None = None
    rate_plan: str | None = None
    # The vendor's pages contradict each other on these three: which one an account's provider really has is said here.
    originate_path: str = "/v1/calls"  # or /v1/calls/originate
    number_claim: Literal["numbers", "inventory", "id"] = "numbers"  # POST /v1/numbers, /v1/numbers/available/claim, /v1/numbers/{id}/claim
    number_route: Literal["patch", "patch-routing", "put-routing"] = (
        "patch"  # PATCH /v1/numbers/{id}, PATCH or PUT /v1/numbers/{id}/routing
    )
    number_route_field: Literal["routing_url", "voice_callback_url", "voice_url"] = "routing_url"
    retry_horizon_h: float = 33
    presume_ended_after_s: int = Field(default=6 * 3600, ge=1)
    poll_every_s: float | None = Field(default=None, ge=1, le=86_400)  # how often its REST is asked for calls, ledger and balance
    ledger_path: Annotated[str, AfterValidator(_path)] = "/v1/wallet/statement"  # no page of the vendors' says where it is; "": nowhere


class Queue(Section):
    threshold_s: Seconds = 20
    short_abandon_s: Seconds = 5
    max_wait_s: Seconds | None = None
    max_waiting: int | None = Field(default=None, ge=0)
    music: str | None = None
    announce: str | None = None


class Agent(Section):
    number: str | None = None
    sip: str | None = None
    queues: list[str] = []
    name: str | None = None
    tenant: str = "default"
    wrap_up_s: Seconds = 0
    ring_s: float = Field(default=30, gt=0, le=3600)


class EngineSettings(Section):
    """`[engines.openai-realtime]`, `[engines.gemini-live]`: how a bot's model is reached. `url` None: the vendor's own."""

    api_key: Secret | None = None
    url: str | None = None
    model: str | None = None
    max_call_s: float = Field(default=1800, gt=0)  # then the bot's part of a call is ended


class Settings(BaseModel):
    """The whole configuration. Paths are absolute."""

    model_config = ConfigDict(frozen=True)

    tenants: dict[str, Tenant] = {}
    accounts: dict[str, Account] = {}
    queues: dict[str, Queue] = {}
    agents: dict[str, Agent] = {}
    flows: dict[str, Any] = {}
    engines: dict[str, EngineSettings] = {}
    config_path: Path | None = None
    data_dir: Path = Path()
    database_url: str | None = None
    kafka_bootstrap: str | None = None
    http_host: str = "127.0.0.1"
    http_port: int = Field(default=8070, ge=0, le=65535)
    public_url: Annotated[str, AfterValidator(_web)] | None = None
    virtual_url: str | None = None  # where `serve virtual` listens: the provider of accounts with api_url = "virtual"
    kafka_partitions: int = Field(default=12, ge=1)
    kafka_fsync: bool = False  # flush.messages=1 on the topics: an acknowledged delivery survives a power cut
    publish_deadline_ms: int = Field(default=2000, ge=50)
    spool_max_bytes: int = Field(default=1 << 30, ge=1 << 20)
    voice_deadline_ms: int = Field(default=3000, ge=500, le=9000)  # the provider hangs up at 10 s
    warnings: list[str] = []

    def tenant(self, name: str) -> Tenant:
        return self.tenants.get(name) or Tenant()

    def flow_tenant(self, flow: object) -> str | None:
        """Whose a flow is: its account's tenant. None where it names no account that there is."""
        name = flow.get("account") if isinstance(flow, dict) else None
        account = self.accounts.get(name) if isinstance(name, str) else None
        return account.tenant if account else None

    @property
    def tenant_names(self) -> set[str]:
        """Every tenant that is named anywhere; `default` is always there."""
        return {"default", *self.tenants, *(account.tenant for account in self.accounts.values())}


SCALARS = ("database_url", "kafka_bootstrap", "http_host", "http_port", "public_url", "virtual_url", "kafka_partitions", "kafka_fsync",
           "publish_deadline_ms", "spool_max_bytes", "voice_deadline_ms")  # fmt: skip


def default_data_dir() -> Path:
    """/var/lib/safiri for root (whose home no other account can enter), else below the user's own data folder."""
    if os.name == "posix" and os.geteuid() == 0:
        return Path("/var/lib/safiri")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "safiri"


def load(config: str | Path | None = None, data_dir: str | Path | None = None) -> Settings:
    """Reads the file named by `config`, SAFIRI_CONFIG or ./safiri.toml; SAFIRI_… values win over the file's."""
    path = _config_path(config)
    content: dict[str, Any] = {}
    if path:
        try:
            content = tomllib.loads(path.read_text())
        except OSError as error:
            raise Refused(422, "No configuration", f"cannot read {path}: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise Refused(422, "Not TOML", f"{path}: {error}") from None
    content |= {name: os.environ[f"SAFIRI_{name.upper()}"] for name in SCALARS if os.environ.get(f"SAFIRI_{name.upper()}")}
    folder = str(data_dir or os.environ.get("SAFIRI_DATA_DIR") or content.get("data_dir") or default_data_dir())
    known = {name: value for name, value in content.items() if name in Settings.model_fields}
    place = Path(os.path.expanduser(folder)).resolve()  # noqa: PTH111  Path.expanduser fails on an unknown ~name
    known |= {"config_path": path, "data_dir": place, "warnings": []}
    try:
        settings = Settings.model_validate(known)
    except ValidationError as error:
        raise Refused(422, "Invalid configuration", f"{path or 'environment'}: {_first(error)}") from None
    written = {"agents": _reachable(settings), "accounts": _written_alike(settings)}
    return settings.model_copy(update={"warnings": _warnings(settings, content), **written})


def queues_of(flow: object) -> set[str]:
    """The queues of a flow's steps, as the configuration has them."""
    steps = flow.get("steps") if isinstance(flow, dict) else None
    found = (step.get("queue") for step in steps.values() if isinstance(step, dict)) if isinstance(steps, dict) else ()
    return {queue for queue in found if isinstance(queue, str)}


def _reachable(settings: Settings) -> dict[str, Agent]:
    """Agents with their numbers in the one writing that a provider takes. Raises Refused where one cannot be dialled."""
    agents = _at_home(settings)
    for name, agent in agents.items():
        number = None if agent.number is None else readable(agent.number, settings.tenant(agent.tenant).country)
        if agent.number is not None and (number is None or PHONE.wrong(number)):
            raise Refused(
                422, "Invalid configuration", f"agents.{name}.number: {agent.number[:64]!r} is no phone number: write +254720000001"
            )
        if agent.sip is not None and (why := SIP.wrong(agent.sip)):
            raise Refused(422, "Invalid configuration", f"agents.{name}.sip: {why}")
        agents[name] = agent.model_copy(update={"number": number})
    return agents


def _written_alike(settings: Settings) -> dict[str, Account]:
    """Accounts with their numbers in the one writing; what is no number stays as it is."""
    return {
        name: account.model_copy(update={"numbers": [normalise(one, settings.tenant(account.tenant).country) for one in account.numbers]})
        for name, account in settings.accounts.items()
    }


def _at_home(settings: Settings) -> dict[str, Agent]:
    """An agent who names no tenant belongs to the one whose flows have their queues, where that is one alone."""
    tenants: dict[str, set[str]] = {}
    for flow in settings.flows.values():
        for queue in queues_of(flow):
            tenants.setdefault(queue, set()).add(settings.flow_tenant(flow) or "")
    agents = dict(settings.agents)
    for name, agent in settings.agents.items():
        found = set().union(*(tenants.get(queue, set()) for queue in agent.queues)) - {""}
        if "tenant" not in agent.model_fields_set and len(found) == 1:
            agents[name] = agent.model_copy(update={"tenant": found.pop()})
    return agents


def _config_path(config: str | Path | None) -> Path | None:
    named = config or os.environ.get("SAFIRI_CONFIG")
    if named:
        return Path(named).resolve()
    return Path("safiri.toml").resolve() if Path("safiri.toml").exists() else None


def _first(error: ValidationError) -> str:
    one = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in one['loc'])}: {one['msg'].removeprefix('Value error, ')}"


def _tenants_of(settings: Settings) -> list[tuple[str, str]]:
    """(who names a tenant, which)."""
    accounts = [(f"accounts.{name}.tenant", account.tenant) for name, account in settings.accounts.items()]
    return accounts + [(f"agents.{name}.tenant", agent.tenant) for name, agent in settings.agents.items()]


def _warnings(settings: Settings, content: Mapping[str, Any]) -> list[str]:
    """What is legal but probably not meant."""
    found = [f"{name}: unknown key, ignored" for name in content if name not in (*Settings.model_fields, "flows")]
    for group in ("tenants", "accounts", "queues", "agents", "engines"):
        for name, section in getattr(settings, group).items():
            found += [f"{group}.{name}.{key}: unknown key, ignored" for key in section.model_extra or {}]
    found += [f"agents.{name}: number and sip: the number is rung" for name, agent in settings.agents.items() if agent.number and agent.sip]
    named = {"default", *settings.tenants}
    found += [f"{name}: no [tenants.{one}]: its defaults hold" for name, one in _tenants_of(settings) if one not in named]
    for name, account in settings.accounts.items():
        if account.signature == "none":
            found.append(f'accounts.{name}: signature = "none": anybody who knows its address can post events')
        elif not account.signing_secrets and account.provider in ("sautikit", "minivoice"):
            found.append(f"accounts.{name}: no signing_secrets: every delivery will be refused")
        if account.poll_every_s and not account.api_key and account.api_url != "virtual":
            found.append(f"accounts.{name}: poll_every_s without an api_key: the provider will refuse to be asked")
        if account.provider == "africastalking" and account.signature == "required":
            address = f"the address with ?token= that `safiri url hook {name}` prints"
            found.append(f"accounts.{name}: Africa's Talking signs nothing: give it {address}")
    return found
