"""The gates: may this environment start something that can send a real order? All of them run, so a person mends once.

Judging is pure [P]; `look_around` alone touches the world. The same gates hold whatever ENVIRONMENT says: a client that
can send a real order needs every one of them, also under `dev`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from prodsafe.dotenv_guard import DotenvFile, find_dotenv_files
from prodsafe.environment import (
    ACCOUNT_NAME,
    CONFIRM_LIVE,
    CREDENTIALS,
    DATABASE_ADDRESS,
    DRY_RUN_OFF,
    ENVIRONMENT_IS_PROD,
    EXCHANGE_ADDRESS,
    MALFORMED_VALUE,
    MISSPELT_NAME,
    NO_EXCHANGE_TESTS,
    SETTING_PREFIXES,
    STATE_MACHINE_V2,
    Environment,
)
from prodsafe.errors import GateRefused, Refusal, RefusalKind
from prodsafe.spelling import nearest

SANDBOX_CONTRADICTION = RefusalKind("G10", "sandbox-contradiction")
EXPORTED_DOTENV = RefusalKind("G11", "exported-dotenv")
TEST_DOUBLE_LOADED = RefusalKind("G12", "test-double-loaded")
UNKNOWN_SETTING = RefusalKind("G14", "unknown-setting")
ALERTS_OFF = RefusalKind("G20", "alerts-off", soft=True)
DOTENV_FILE_BESIDE = RefusalKind("G21", "dotenv-file-beside", soft=True)
ACCOUNT_NOT_TYPED = RefusalKind("G22", "account-not-typed", soft=True)

REDIRECTING = frozenset({"PGHOSTADDR", "PGSERVICE", "PGOPTIONS"})  # values.BLINDING, by the environment

TEST_DOUBLES = frozenset(
    {
        "_pytest",
        "aioresponses",
        "freezegun",
        "hypothesis",
        "mock",
        "moto",
        "pytest",
        "requests_mock",
        "responses",
        "respx",
        "time_machine",
        "unittest.mock",
        "vcr",
    }
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is true of this process and its folder beside the environment.

    loaded_modules: names in sys.modules. interactive: a person sits at stdin. typed_account: what that person typed.
    """

    dotenv_files: tuple[DotenvFile, ...] = ()
    loaded_modules: frozenset[str] = frozenset()
    interactive: bool = False
    typed_account: str | None = None


Judge = Callable[[Environment, Surroundings], Iterable[Refusal]]


@dataclass(frozen=True, slots=True)
class Gate:
    """One yes/no on the environment. Malformed values of the gate's kind refuse before `judge` is asked."""

    kind: RefusalKind
    judge: Judge

    def __call__(self, env: Environment, surroundings: Surroundings) -> list[Refusal]:
        malformed = [problem for problem in env.problems if problem.kind == self.kind]
        return [*malformed, *self.judge(env, surroundings)]


@dataclass(frozen=True, slots=True)
class GateResult:
    """stopping: False for a soft gate of a boot that nobody attends; its refusals are warnings then."""

    kind: RefusalKind
    refusals: tuple[Refusal, ...] = ()
    stopping: bool = True

    @property
    def passed(self) -> bool:
        return not self.refusals

    def as_dict(self) -> dict[str, object]:
        return {
            "id": self.kind.id,
            "name": self.kind.name,
            "soft": self.kind.soft,
            "passed": self.passed,
            "stopping": self.stopping,
            "refusals": [refusal.as_dict() for refusal in self.refusals],
        }


def evaluate_gates(
    env: Environment, surroundings: Surroundings, gates: Sequence[Gate] | None = None
) -> list[GateResult]:
    """Every gate's answer, in order; `gates` defaults to GATES."""
    return [
        GateResult(
            gate.kind,
            tuple(gate(env, surroundings)),
            stopping=surroundings.interactive or not gate.kind.soft,
        )
        for gate in (GATES if gates is None else gates)
    ]


def require_gates(results: Sequence[GateResult], *, force: bool) -> list[Refusal]:
    """Raise GateRefused with everything that stops this boot; return the warnings that do not.

    `force` lets soft gates through and nothing else (a hard gate is never skipped).
    """
    stopping = [result for result in results if result.stopping and not (force and result.kind.soft)]
    refusals = [refusal for result in stopping for refusal in result.refusals]
    if refusals:
        raise GateRefused(*sorted(refusals, key=lambda refusal: refusal.kind.soft))
    return [refusal for result in results for refusal in result.refusals]


def ask_account(env: Environment, surroundings: Surroundings, ask: Callable[[str], str]) -> Surroundings:
    """Let the person at the terminal type the account name; nobody is asked where nobody sits."""
    if not surroundings.interactive or env.exchange_account is None:
        return surroundings
    question = f"real orders on account {env.exchange_account} at {env.exchange_id}; type the account's name to go on: "
    try:
        typed = ask(question)
    except EOFError:  # the terminal was closed: that is no answer
        typed = ""
    return replace(surroundings, typed_account=typed.strip())


def pass_gates(
    env: Environment,
    surroundings: Surroundings,
    gates: Sequence[Gate] | None = None,
    *,
    force: bool,
    ask: Callable[[str], str] | None = None,
) -> list[Refusal]:
    """Evaluate, ask the person when that is all that is missing, then require. Returns the warnings."""
    results = evaluate_gates(env, surroundings, gates)
    open_kinds = {result.kind for result in results if result.stopping and not result.passed}
    if ask is not None and not force and open_kinds == {ACCOUNT_NOT_TYPED}:
        results = evaluate_gates(env, ask_account(env, surroundings, ask), gates)
    return require_gates(results, force=force)


def look_around(environ: Mapping[str, str], folders: Iterable[Path] | None = None) -> Surroundings:
    """The effect: dotenv files in `folders` (default: the working and the program's folder), modules, the terminal."""
    places = dict.fromkeys(_usual_folders() if folders is None else folders)
    files = [file for folder in places for file in find_dotenv_files(folder, environ)]
    return Surroundings(
        dotenv_files=tuple(files),
        loaded_modules=frozenset(sys.modules),
        interactive=sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty(),
    )


def _usual_folders() -> Iterable[Path]:
    yield Path(__file__).resolve().parent.parent
    with suppress(OSError):  # the working folder may have been deleted: then nothing lies in it
        yield Path.cwd().resolve()


def settings_gate(known_settings: frozenset[str]) -> Gate:
    """G14 for a program that reads `known_settings` (LIVE_*, RISK_*): a misspelt limit is no limit."""

    def judge(env: Environment, surroundings: Surroundings) -> Iterable[Refusal]:
        for name in sorted(env.names - known_settings):
            meant = nearest(name, known_settings)
            if meant is None and not name.upper().startswith(SETTING_PREFIXES):
                continue
            advice = f"did you mean {meant}?" if meant else "nothing like it is known"
            yield UNKNOWN_SETTING.because(
                f"nothing reads {name!a}, so what it was meant to limit is not limited; {advice}",
                mend=f"rename it to {meant}, or unset it" if meant else "unset it, or correct its name",
                seen=ascii(name),
            )

    return Gate(UNKNOWN_SETTING, judge)


def select_gates(wanted: Iterable[str], gates: Sequence[Gate] | None = None) -> tuple[Gate, ...]:
    """The gates of the given ids or names, in their usual order; ValueError names those that do not exist."""
    chosen = {word.strip() for word in wanted}
    found = tuple(gate for gate in (GATES if gates is None else gates) if {gate.kind.id, gate.kind.name} & chosen)
    unknown = chosen - {word for gate in found for word in (gate.kind.id, gate.kind.name)}
    if unknown:
        raise ValueError(f"no such gate: {', '.join(sorted(unknown))}")
    return found


def as_table(results: Sequence[GateResult]) -> str:
    """One line a gate, for a terminal: the verdict and what was seen."""
    width = max((len(result.kind.name) for result in results), default=0)
    lines = []
    for result in results:
        verdict = "pass" if result.passed else "warn" if result.kind.soft else "REFUSED"
        seen = "; ".join(refusal.seen or refusal.cause for refusal in result.refusals)
        lines.append(f"{result.kind.id}  {result.kind.name:<{width}}  {verdict:<7}  {seen}".rstrip())
    return "\n".join(lines)


def _environment_is_prod(env: Environment, _: Surroundings) -> Iterable[Refusal]:
    if env.environment != "prod" and "ENVIRONMENT" not in env.malformed:
        shown = "unset" if env.environment is None else repr(env.environment)
        yield ENVIRONMENT_IS_PROD.because(
            "real orders are sent only where ENVIRONMENT says prod",
            mend="set ENVIRONMENT=prod",
            seen=f"ENVIRONMENT {shown}",
        )


def _dry_run_off(env: Environment, _: Surroundings) -> Iterable[Refusal]:
    if env.dry_run is not False and "DRY_RUN" not in env.malformed:
        shown = "unset" if env.dry_run is None else "on"
        yield DRY_RUN_OFF.because(
            "the live worker sends real orders and wants to be told so in one word",
            mend="set DRY_RUN=0",
            seen=f"DRY_RUN {shown}",
        )


def _state_machine_v2(env: Environment, _: Surroundings) -> Iterable[Refusal]:
    if env.use_state_machine_v2 is not True and "USE_STATE_MACHINE_V2" not in env.malformed:
        shown = "unset" if env.use_state_machine_v2 is None else "off"
        yield STATE_MACHINE_V2.because(
            "only state machine V2 may hold real positions",
            mend="set USE_STATE_MACHINE_V2=true",
            seen=f"USE_STATE_MACHINE_V2 {shown}",
        )


def _confirm_live(env: Environment, _: Surroundings) -> Iterable[Refusal]:
    if not env.confirm_live and "CONFIRM_LIVE" not in env.malformed:
        yield CONFIRM_LIVE.because(
            "nobody has confirmed that real orders may be sent; --force does not replace it",
            mend="set CONFIRM_LIVE=YES",
            seen="CONFIRM_LIVE unset",
        )


def _no_exchange_tests(env: Environment, _: Surroundings) -> Iterable[Refusal]:
    if env.run_real_exchange_tests:
        yield NO_EXCHANGE_TESTS.because(
            "tests that touch a real venue must not share a worker's environment",
            mend="set RUN_REAL_EXCHANGE_TESTS=0",
            seen="RUN_REAL_EXCHANGE_TESTS on",
        )


def _database_address(env: Environment, _: Surroundings) -> Iterable[Refusal]:
    if env.database_url is None and "DATABASE_URL" not in env.malformed:
        yield DATABASE_ADDRESS.because(
            "without a database there is no lease and no journal",
            mend="set DATABASE_URL to a postgresql://... address of the primary server",
            seen="DATABASE_URL unset",
        )
    for name in sorted(env.names & REDIRECTING):
        yield DATABASE_ADDRESS.because(
            f"libpq reads {name} beside the address, so a connection may lead elsewhere, or be something else, than the"
            " address says",
            mend=f"unset {name}; write the place into the address, and settings of a role with ALTER ROLE ... SET",
            seen=f"{name} set",
        )


def _account_name(env: Environment, _: Surroundings) -> Iterable[Refusal]:
    if env.exchange_account is None and "EXCHANGE_ACCOUNT" not in env.malformed:
        yield ACCOUNT_NAME.because(
            "the lease is taken on the account's name; without one two workers could trade one account",
            mend="set EXCHANGE_ACCOUNT to the account's name, the same one everywhere",
            seen="EXCHANGE_ACCOUNT unset",
        )


def _credentials(env: Environment, _: Surroundings) -> Iterable[Refusal]:
    pair = {"EXCHANGE_API_KEY": env.exchange_api_key, "EXCHANGE_API_SECRET": env.exchange_api_secret}
    for name, value in pair.items():
        if value is None and name not in env.malformed:
            yield CREDENTIALS.because(
                f"the venue cannot be asked anything without {name}",
                mend=f"set {name} from the secret store of the platform",
                seen=f"{name} unset",
            )
    if env.exchange_api_key is not None and env.exchange_api_key == env.exchange_api_secret:
        yield CREDENTIALS.because(
            "EXCHANGE_API_KEY and EXCHANGE_API_SECRET are the same text: one was pasted twice",
            mend="set EXCHANGE_API_SECRET to the key's secret",
        )


def _sandbox_contradiction(env: Environment, _: Surroundings) -> Iterable[Refusal]:
    if env.exchange_sandbox and env.confirm_live:
        yield SANDBOX_CONTRADICTION.because(
            "a sandbox and a confirmation of real orders contradict each other",
            mend="unset EXCHANGE_SANDBOX for real orders, or CONFIRM_LIVE for the sandbox",
            seen="EXCHANGE_SANDBOX on, CONFIRM_LIVE=YES",
        )


def _exported_dotenv(_: Environment, surroundings: Surroundings) -> Iterable[Refusal]:
    for file in surroundings.dotenv_files:
        if file.problem is not None:
            yield EXPORTED_DOTENV.because(
                f"a dotenv file cannot be compared with the environment: {file.problem}",
                mend=f"remove {file.path} from beside the program",
                seen=file.path,
            )
        if file.equal_names:
            yield EXPORTED_DOTENV.because(
                f"the environment holds what {file.path} holds, so a dotenv file was exported into production: "
                + ", ".join(file.equal_names),
                mend="set these on the platform itself, and remove the file from beside the program",
                seen=file.path,
            )


def _test_double_loaded(_: Environment, surroundings: Surroundings) -> Iterable[Refusal]:
    doubles = sorted(TEST_DOUBLES & surroundings.loaded_modules)
    if doubles:
        yield TEST_DOUBLE_LOADED.because(
            "code that can replace the clock, the venue or the database is loaded in this process",
            mend="start the worker as its own process, without a test runner or its plugins",
            seen=", ".join(doubles),
        )


def _reported_by_reading(_: Environment, __: Surroundings) -> Iterable[Refusal]:
    """Nothing to add: the problems found while reading are of this gate's kind."""
    return ()


def _alerts_off(env: Environment, _: Surroundings) -> Iterable[Refusal]:
    if env.alert_webhook_url is None and "ALERT_WEBHOOK_URL" not in env.malformed:
        yield ALERTS_OFF.because(
            "nobody will be told when the worker halts or a position is unprotected",
            mend="set ALERT_WEBHOOK_URL, or go on with --force",
            seen="ALERT_WEBHOOK_URL unset",
        )


def _dotenv_file_beside(_: Environment, surroundings: Surroundings) -> Iterable[Refusal]:
    paths = [file.path for file in surroundings.dotenv_files]
    if paths:
        yield DOTENV_FILE_BESIDE.because(
            "a dotenv file lies beside the program; it is not loaded, and may hold secrets that are",
            mend="remove it, or go on with --force",
            seen=", ".join(paths),
        )


def _account_not_typed(env: Environment, surroundings: Surroundings) -> Iterable[Refusal]:
    if surroundings.interactive and (
        env.exchange_account is None or surroundings.typed_account != env.exchange_account
    ):
        typed = surroundings.typed_account
        yield ACCOUNT_NOT_TYPED.because(
            "a person at a terminal types the account's name before real orders are sent",
            mend="type the value of EXCHANGE_ACCOUNT when asked, or go on with --force",
            seen="nothing typed" if typed is None else f"typed {typed!a}",
        )


GATES: tuple[Gate, ...] = (
    Gate(ENVIRONMENT_IS_PROD, _environment_is_prod),
    Gate(DRY_RUN_OFF, _dry_run_off),
    Gate(STATE_MACHINE_V2, _state_machine_v2),
    Gate(CONFIRM_LIVE, _confirm_live),
    Gate(NO_EXCHANGE_TESTS, _no_exchange_tests),
    Gate(DATABASE_ADDRESS, _database_address),
    Gate(ACCOUNT_NAME, _account_name),
    Gate(CREDENTIALS, _credentials),
    Gate(EXCHANGE_ADDRESS, _reported_by_reading),
    Gate(SANDBOX_CONTRADICTION, _sandbox_contradiction),
    Gate(EXPORTED_DOTENV, _exported_dotenv),
    Gate(TEST_DOUBLE_LOADED, _test_double_loaded),
    Gate(MISSPELT_NAME, _reported_by_reading),
    Gate(MALFORMED_VALUE, _reported_by_reading),
    Gate(ALERTS_OFF, _alerts_off),
    Gate(DOTENV_FILE_BESIDE, _dotenv_file_beside),
    Gate(ACCOUNT_NOT_TYPED, _account_not_typed),
)
"""Every gate that prodsafe knows. A client that can send a real order passes all of them, whatever ENVIRONMENT says."""

DATABASE_GATES = select_gates([DATABASE_ADDRESS.id, MISSPELT_NAME.id, MALFORMED_VALUE.id], GATES)
"""For programs that only need the database: migrate_schema.py, health, operators."""
