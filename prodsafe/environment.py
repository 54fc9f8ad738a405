"""The one strict reading of SPEC section 3: a mapping in, a frozen Environment with its problems out. [P]

Nothing here looks at os.environ or at a file: an entry point passes its environment in, once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field, InstanceOf
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from prodsafe import values
from prodsafe.errors import Refusal, RefusalKind
from prodsafe.spelling import nearest

ENVIRONMENT_IS_PROD = RefusalKind("G01", "environment-is-prod")
DRY_RUN_OFF = RefusalKind("G02", "dry-run-off")
STATE_MACHINE_V2 = RefusalKind("G03", "state-machine-v2")
CONFIRM_LIVE = RefusalKind("G04", "confirm-live")
NO_EXCHANGE_TESTS = RefusalKind("G05", "no-exchange-tests")
DATABASE_ADDRESS = RefusalKind("G06", "database-address")
ACCOUNT_NAME = RefusalKind("G07", "account-name")
CREDENTIALS = RefusalKind("G08", "credentials")
EXCHANGE_ADDRESS = RefusalKind("G09", "exchange-address")
MISSPELT_NAME = RefusalKind("G13", "misspelt-name")
MALFORMED_VALUE = RefusalKind("G15", "malformed-value")

SETTING_PREFIXES = ("LIVE_", "RISK_")
_LONGEST_SEEN = 80


@dataclass(frozen=True, slots=True)
class Variable:
    """One row of SPEC section 3.

    unset: what not setting it means; is_default: that is a value the program then uses. kind: how a malformed value is
    refused.
    """

    name: str
    read: Callable[[str], Any]
    values: str
    unset: str
    what: str
    kind: RefusalKind = MALFORMED_VALUE
    secret: bool = False
    is_default: bool = False

    @property
    def field(self) -> str:
        return self.name.lower()


VARIABLES: tuple[Variable, ...] = (
    Variable(
        "ENVIRONMENT",
        values.read_environment_word,
        "prod, staging, dev or test",
        "production, and the live gate refuses it",
        "where this runs; anything but staging, dev, test is guarded as production",
        ENVIRONMENT_IS_PROD,
    ),
    Variable(
        "DRY_RUN",
        values.read_boolean,
        "a boolean (1 or 0)",
        "the live gate refuses it",
        "1 sends nothing to a venue; the worker wants 0",
        DRY_RUN_OFF,
    ),
    Variable(
        "USE_STATE_MACHINE_V2",
        values.read_boolean,
        "a boolean (1 or 0)",
        "the live gate refuses it",
        "the position state machine; the worker wants true",
        STATE_MACHINE_V2,
    ),
    Variable(
        "CONFIRM_LIVE",
        values.read_confirmation,
        "exactly YES",
        "the live gate refuses it",
        "a person's word that real orders may be sent; --force does not replace it",
        CONFIRM_LIVE,
    ),
    Variable(
        "RUN_REAL_EXCHANGE_TESTS",
        values.read_boolean,
        "a boolean (1 or 0)",
        "0",
        "lets a test suite touch a real venue; never beside a production worker",
        NO_EXCHANGE_TESTS,
        is_default=True,
    ),
    Variable(
        "WITH_HEALTH",
        values.read_boolean,
        "a boolean (1 or 0)",
        "0",
        "1 makes the worker serve health and metrics",
        is_default=True,
    ),
    Variable(
        "PORT", values.read_port, "a port (1..65535)", "8080", "port of the health and metrics server", is_default=True
    ),
    Variable(
        "HEALTH_HOST",
        values.read_host,
        "an address to listen on",
        "0.0.0.0 in prod, 127.0.0.1 elsewhere",
        "address that the health server listens on",
        is_default=True,
    ),
    Variable(
        "DATABASE_URL",
        values.read_database_url,
        "a postgresql://... address",
        "refused where a database is needed",
        "the PostgreSQL database: journal, lease, migrations",
        DATABASE_ADDRESS,
        secret=True,
    ),
    Variable(
        "LOCK_DATABASE_URL",
        values.read_database_url,
        "a postgresql://... address",
        "DATABASE_URL",
        "the direct, un-pooled address of the same database, for the lease",
        DATABASE_ADDRESS,
        is_default=True,
        secret=True,
    ),
    Variable(
        "EXCHANGE_ID",
        values.read_exchange_id,
        "a ccxt exchange id",
        "krakenfutures",
        "which venue is traded",
        is_default=True,
    ),
    Variable(
        "EXCHANGE_ACCOUNT",
        values.read_account,
        "a plain name",
        "refused in prod",
        "the account's name, not secret; the lease is taken on it",
        ACCOUNT_NAME,
    ),
    Variable(
        "EXCHANGE_API_KEY",
        values.read_credential,
        "what the venue gave",
        "the live gate refuses it",
        "public half of the venue's credentials",
        CREDENTIALS,
        secret=True,
    ),
    Variable(
        "EXCHANGE_API_SECRET",
        values.read_credential,
        "what the venue gave",
        "the live gate refuses it",
        "secret half of the venue's credentials",
        CREDENTIALS,
        secret=True,
    ),
    Variable(
        "EXCHANGE_API_PASSWORD",
        values.read_credential,
        "what the venue gave",
        "none; some venues want one",
        "passphrase of the API key, where the venue has one",
        CREDENTIALS,
        secret=True,
    ),
    Variable(
        "EXCHANGE_SANDBOX",
        values.read_boolean,
        "a boolean (1 or 0)",
        "0",
        "1 talks to the venue's own sandbox",
        is_default=True,
    ),
    Variable(
        "EXCHANGE_URL",
        values.read_loopback_url,
        "http://127.0.0.1:PORT or the like",
        "the venue's own",
        "another venue server, for tests; only a loopback host is accepted",
        EXCHANGE_ADDRESS,
        is_default=True,
    ),
    Variable(
        "LOCK_WAIT_SECONDS",
        values.read_seconds,
        "seconds (0 or more)",
        "0, exit at once",
        "how long to stand by for a lease that another worker holds",
        is_default=True,
    ),
    Variable(
        "ALERT_WEBHOOK_URL",
        values.read_web_url,
        "an https://... address",
        "no alerts, and a soft gate says so",
        "Telegram, Discord, Slack or plain JSON webhook for alerts",
        secret=True,
    ),
)
NAMES = frozenset(variable.name for variable in VARIABLES)


class Environment(BaseSettings):
    """What the environment says. A missing or malformed value is None or the documented default.

    Who acts on a default must have looked at `problems`: a malformed EXCHANGE_URL reads as None, "the venue's own".
    """

    model_config = SettingsConfigDict(frozen=True, strict=True, extra="forbid")

    environment: str | None = None
    dry_run: bool | None = None
    use_state_machine_v2: bool | None = None
    confirm_live: bool = False
    run_real_exchange_tests: bool = False
    with_health: bool = False
    port: int = 8080
    health_host: str = "127.0.0.1"
    database_url: str | None = Field(default=None, repr=False)
    lock_database_url: str | None = Field(default=None, repr=False)
    exchange_id: str = "krakenfutures"
    exchange_account: str | None = None
    exchange_api_key: str | None = Field(default=None, repr=False)
    exchange_api_secret: str | None = Field(default=None, repr=False)
    exchange_api_password: str | None = Field(default=None, repr=False)
    exchange_sandbox: bool = False
    exchange_url: str | None = None
    lock_wait_seconds: float = 0.0
    alert_webhook_url: str | None = Field(default=None, repr=False)
    settings: Mapping[str, str] = Field(default={}, repr=False)
    """LIVE_* and RISK_* as they stand; live/settings.py reads them."""
    names: frozenset[str] = Field(default=frozenset(), repr=False)
    """Every name in the environment, known or not."""
    malformed: frozenset[str] = frozenset()
    """Names of known variables whose value could not be read."""
    problems: tuple[InstanceOf[Refusal], ...] = Field(default=(), repr=False)
    hidden: tuple[str, ...] = Field(default=(), repr=False)
    """Every text that must never be shown."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what read_environment passes in: no os.environ, no dotenv file, no secrets folder."""
        return (init_settings,)

    @property
    def is_production(self) -> bool:
        """Unset, `production`, `PROD ` and every other look-alike count."""
        return self.environment not in values.NOT_PRODUCTION

    def secrets(self) -> list[str]:
        """What output.register_secrets must hide, also when the value was malformed."""
        return list(self.hidden)


def read_environment(source: Mapping[str, str]) -> Environment:
    """Read every variable, strictly; never raises for a bad value. An empty value is as good as none."""
    fields: dict[str, Any] = {}
    problems: list[Refusal] = []
    malformed: set[str] = set()
    for variable in VARIABLES:
        raw = source.get(variable.name, "")
        if not raw.strip(values.BLANKS):
            continue
        try:
            fields[variable.field] = variable.read(raw)
        except ValueError as error:
            malformed.add(variable.name)
            problems.append(_malformed(variable, raw, str(error)))
    fields.setdefault("health_host", "0.0.0.0" if fields.get("environment") == "prod" else "127.0.0.1")
    if "LOCK_DATABASE_URL" not in malformed:
        fields.setdefault("lock_database_url", fields.get("database_url"))
    return Environment(
        **fields,
        settings={name: raw for name, raw in source.items() if name.startswith(SETTING_PREFIXES)},
        names=frozenset(source),
        malformed=frozenset(malformed),
        problems=(*problems, *_misspelt(source)),
        hidden=tuple(_hidden(source, malformed)),
    )


def seen(name: str, raw: str) -> str:
    """`NAME='value'` for a person: look-alike letters and controls escaped, long values cut."""
    shown = ascii(raw)
    return (
        f"{name}={shown}"
        if len(shown) <= _LONGEST_SEEN
        else f"{name}={shown[:_LONGEST_SEEN]}... ({len(raw)} characters)"
    )


def describe_variables() -> str:
    """The table for --help: what each variable does, its values, and what not setting it means."""
    rows = ((f"{v.name:<24} {v.what}", f"{'':<24} {v.values}; unset: {v.unset}") for v in VARIABLES)
    return "\n".join(line for row in rows for line in row)


def _malformed(variable: Variable, raw: str, cause: str) -> Refusal:
    shown = f"{variable.name}=({len(raw)} characters, not shown)" if variable.secret else seen(variable.name, raw)
    return variable.kind.because(
        f"{variable.name} {cause}", mend=f"set {variable.name} to {variable.values}", seen=shown
    )


def _misspelt(source: Mapping[str, str]) -> Iterator[Refusal]:
    for name in sorted(source):
        meant = None if name.startswith(SETTING_PREFIXES) else nearest(name, NAMES)
        if meant is not None:
            yield MISSPELT_NAME.because(
                f"nothing reads {name!a}; it looks like a misspelt {meant}",
                mend=f"rename it to {meant}, or unset it",
                seen=ascii(name),
            )


def _hidden(source: Mapping[str, str], malformed: Collection[str]) -> Iterator[str]:
    """Of a database address only the password, unless it was not understood; of every other secret, all."""
    for variable in VARIABLES:
        raw = source.get(variable.name, "")
        if variable.secret and variable.kind is DATABASE_ADDRESS and variable.name not in malformed:
            yield from values.secrets_in_url(raw)
        elif variable.secret and raw.strip():
            yield raw
