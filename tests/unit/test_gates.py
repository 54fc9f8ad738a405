"""Every gate refuses what it is for, alone, and nothing else; --force skips soft gates only."""

from __future__ import annotations

import dataclasses
import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from prodsafe import gates
from prodsafe.dotenv_guard import DotenvFile
from prodsafe.environment import read_environment
from prodsafe.errors import ExitCode, GateRefused
from prodsafe.gates import (
    DATABASE_GATES,
    GATES,
    Gate,
    GateResult,
    Surroundings,
    as_table,
    ask_account,
    evaluate_gates,
    look_around,
    pass_gates,
    require_gates,
    select_gates,
    settings_gate,
)

GOOD = {
    "ENVIRONMENT": "prod",
    "DRY_RUN": "0",
    "USE_STATE_MACHINE_V2": "true",
    "CONFIRM_LIVE": "YES",
    "DATABASE_URL": "postgresql://worker:rather-secret@127.0.0.1:5432/trading",
    "EXCHANGE_ACCOUNT": "main",
    "EXCHANGE_API_KEY": "kEy7wJq2Zp0LxV9tB4",
    "EXCHANGE_API_SECRET": "sEc8rMnT1yUaHd3QfG6kXo5",
    "ALERT_WEBHOOK_URL": "https://hooks.example/T0/B0/zzz",
}
QUIET = Surroundings()


def failing(surroundings: Surroundings = QUIET, without: tuple[str, ...] = (), **changed: str) -> list[str]:
    """Ids of the gates that do not pass when the good environment is changed so."""
    source = {name: raw for name, raw in {**GOOD, **changed}.items() if name not in without}
    return [result.kind.id for result in evaluate_gates(read_environment(source), surroundings) if not result.passed]


def test_a_good_environment_passes_every_gate() -> None:
    assert failing() == []


def test_a_database_on_loopback_is_no_reason_to_refuse() -> None:
    assert failing(DATABASE_URL="postgresql://localhost/trading") == []


def test_an_empty_environment_fails_every_gate_that_wants_something_at_once() -> None:
    results = evaluate_gates(read_environment({}), QUIET)

    assert [result.kind.id for result in results if not result.passed] == [
        "G01",
        "G02",
        "G03",
        "G04",
        "G06",
        "G07",
        "G08",
        "G20",
    ]
    assert len(results) == len(GATES)


@pytest.mark.parametrize(
    ("name", "gate"),
    [
        ("ENVIRONMENT", "G01"),
        ("DRY_RUN", "G02"),
        ("USE_STATE_MACHINE_V2", "G03"),
        ("CONFIRM_LIVE", "G04"),
        ("DATABASE_URL", "G06"),
        ("EXCHANGE_ACCOUNT", "G07"),
        ("EXCHANGE_API_KEY", "G08"),
        ("EXCHANGE_API_SECRET", "G08"),
        ("ALERT_WEBHOOK_URL", "G20"),
    ],
)
@pytest.mark.parametrize("blank", [None, "", "  "])
def test_each_missing_or_blank_value_fails_exactly_its_own_gate(name: str, gate: str, blank: str | None) -> None:
    assert (failing(without=(name,)) if blank is None else failing(**{name: blank})) == [gate]


@pytest.mark.parametrize(
    ("name", "raw", "gate"),
    [
        ("ENVIRONMENT", "production", "G01"),
        ("ENVIRONMENT", "PROD ", "G01"),
        ("ENVIRONMENT", "dev", "G01"),
        ("ENVIRONMENT", "staging", "G01"),
        ("DRY_RUN", "1", "G02"),
        ("DRY_RUN", "ture", "G02"),
        ("DRY_RUN", "disabled", "G02"),
        ("USE_STATE_MACHINE_V2", "0", "G03"),
        ("USE_STATE_MACHINE_V2", "v2", "G03"),
        ("CONFIRM_LIVE", "yes", "G04"),
        ("CONFIRM_LIVE", "1", "G04"),
        ("RUN_REAL_EXCHANGE_TESTS", "1", "G05"),
        ("RUN_REAL_EXCHANGE_TESTS", "sometimes", "G05"),
        ("DATABASE_URL", "mysql://h/d", "G06"),
        ("LOCK_DATABASE_URL", "h", "G06"),
        ("PGHOSTADDR", "10.0.0.9", "G06"),
        ("PGSERVICE", "other", "G06"),
        ("PGOPTIONS", "-csession_replication_role=replica", "G06"),
        ("EXCHANGE_ACCOUNT", "my account", "G07"),
        ("EXCHANGE_API_KEY", "changeme", "G08"),
        ("EXCHANGE_API_SECRET", "${SECRET}", "G08"),
        ("EXCHANGE_API_PASSWORD", "xxxxxxxx", "G08"),
        ("EXCHANGE_API_SECRET", GOOD["EXCHANGE_API_KEY"], "G08"),
        ("EXCHANGE_URL", "http://127.0.0.1@evil.example/", "G09"),
        ("EXCHANGE_SANDBOX", "1", "G10"),
        ("CONFRIM_LIVE", "YES", "G13"),
        ("PORT", "http", "G15"),
        ("WITH_HEALTH", "maybe", "G15"),
        ("EXCHANGE_SANDBOX", "maybe", "G15"),
        ("LOCK_WAIT_SECONDS", "-1", "G15"),
        ("ALERT_WEBHOOK_URL", "not-a-url", "G15"),
    ],
)
def test_each_wrong_value_fails_exactly_its_own_gate(name: str, raw: str, gate: str) -> None:
    assert failing(**{name: raw}) == [gate]


@pytest.mark.parametrize("word", ["dev", "test", "staging", "paper"])
def test_other_environments_get_no_gentler_gates(word: str) -> None:
    """W0, W14: anything but prod traded with real keys, without lock or confirmation."""
    assert failing(ENVIRONMENT=word, CONFIRM_LIVE="", USE_STATE_MACHINE_V2="0") == ["G01", "G03", "G04"]


def test_dry_run_does_not_switch_the_other_gates_off() -> None:
    """W0: DRY_RUN=1 meant no confirmation, no V2 check, no lock, and real orders."""
    assert failing(DRY_RUN="1", CONFIRM_LIVE="") == ["G02", "G04"]


def test_key_and_secret_are_both_reported_when_one_is_missing_and_one_a_placeholder() -> None:
    results = evaluate_gates(
        read_environment({**GOOD, "EXCHANGE_API_KEY": "", "EXCHANGE_API_SECRET": "xxxxxxxx"}), QUIET
    )

    (credentials,) = [result for result in results if not result.passed]
    assert len(credentials.refusals) == 2


def test_an_exported_dotenv_file_is_refused_by_name_never_by_value() -> None:
    file = DotenvFile("/app/.env", equal_names=("EXCHANGE_API_SECRET",))
    results = evaluate_gates(read_environment(GOOD), Surroundings(dotenv_files=(file,)))

    refused = {result.kind.id: result.refusals[0] for result in results if not result.passed}
    assert list(refused) == ["G11", "G21"]
    assert "EXCHANGE_API_SECRET" in refused["G11"].cause
    assert GOOD["EXCHANGE_API_SECRET"] not in refused["G11"].as_text()


def test_a_dotenv_file_that_shares_nothing_is_only_a_warning() -> None:
    assert failing(Surroundings(dotenv_files=(DotenvFile("/app/.env"),))) == ["G21"]


def test_a_dotenv_file_that_cannot_be_compared_is_refused() -> None:
    assert failing(Surroundings(dotenv_files=(DotenvFile("/app/.env", problem="it cannot be read"),))) == ["G11", "G21"]


@pytest.mark.parametrize("module", ["pytest", "_pytest", "unittest.mock", "freezegun", "responses", "aioresponses"])
def test_a_loaded_test_double_is_refused(module: str) -> None:
    """W42: the old detector looked at paths and switched itself off where one contained "test"."""
    assert failing(Surroundings(loaded_modules=frozenset({"sys", "/opt/test/lib", module}))) == ["G12"]


@pytest.mark.parametrize("module", ["unittest", "live.contest", "mocker_free", "my.pytest_like"])
def test_other_modules_are_no_test_doubles(module: str) -> None:
    assert failing(Surroundings(loaded_modules=frozenset({module}))) == []


def test_known_settings_pass_and_unknown_ones_are_refused_with_advice() -> None:
    gate = settings_gate(frozenset({"RISK_PER_TRADE_PCT", "LIVE_SYMBOLS"}))

    def refused(*names: str) -> list[str]:
        return [refusal.cause for refusal in gate(read_environment(dict.fromkeys(names, "1")), QUIET)]

    assert refused("RISK_PER_TRADE_PCT", "LIVE_SYMBOLS", "PATH", "DELIVER_X") == []
    assert "did you mean RISK_PER_TRADE_PCT?" in refused("RISK_PER_TRAED_PCT")[0]
    assert "did you mean RISK_PER_TRADE_PCT?" in refused("RSK_PER_TRADE_PCT")[0]
    assert "did you mean LIVE_SYMBOLS?" in refused("live_symbols")[0]
    assert "nothing like it is known" in refused("RISK_MAX_LEVERAGE")[0]
    assert "nothing like it is known" in refused("live_whatever")[0]


@pytest.mark.parametrize("typed", [None, "", "Main", "main2"])
def test_a_person_at_a_terminal_must_type_the_account(typed: str | None) -> None:
    assert failing(Surroundings(interactive=True, typed_account=typed)) == ["G22"]


def test_typing_the_account_passes() -> None:
    assert failing(Surroundings(interactive=True, typed_account="main")) == []


def results_of(surroundings: Surroundings, **changed: str) -> list[GateResult]:
    return evaluate_gates(read_environment({**GOOD, **changed}), surroundings)


def test_soft_gates_stop_a_boot_with_a_person_and_force_skips_them() -> None:
    attended = results_of(Surroundings(interactive=True, typed_account="main"), ALERT_WEBHOOK_URL="")

    with pytest.raises(GateRefused) as stopped:
        require_gates(attended, force=False)

    assert [refusal.id for refusal in stopped.value.refusals] == ["G20"]
    assert [refusal.id for refusal in require_gates(attended, force=True)] == ["G20"]


def test_soft_gates_are_warnings_where_nobody_sits() -> None:
    assert [refusal.id for refusal in require_gates(results_of(QUIET, ALERT_WEBHOOK_URL=""), force=False)] == ["G20"]


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("interactive", [False, True])
def test_no_hard_gate_is_ever_skipped(force: bool, interactive: bool) -> None:
    surroundings = Surroundings(interactive=interactive, typed_account="main")
    for name in ("ENVIRONMENT", "DRY_RUN", "USE_STATE_MACHINE_V2", "CONFIRM_LIVE", "DATABASE_URL", "EXCHANGE_API_KEY"):
        with pytest.raises(GateRefused) as stopped:
            require_gates(results_of(surroundings, **{name: ""}), force=force)

        assert len(stopped.value.refusals) == 1
        assert stopped.value.exit_code is ExitCode.REFUSED


def test_all_refusals_come_at_once_hard_ones_first() -> None:
    attended = results_of(Surroundings(interactive=True), ALERT_WEBHOOK_URL="", PORT="x", CONFIRM_LIVE="")

    with pytest.raises(GateRefused) as stopped:
        require_gates(attended, force=False)

    assert [refusal.id for refusal in stopped.value.refusals] == ["G04", "G15", "G20", "G22"]


def answer(text: str, asked: list[str]) -> Callable[[str], str]:
    def ask(question: str) -> str:
        asked.append(question)
        return text

    return ask


def test_the_person_is_asked_when_nothing_else_is_missing() -> None:
    asked: list[str] = []

    assert (
        pass_gates(read_environment(GOOD), Surroundings(interactive=True), force=False, ask=answer(" main\n", asked))
        == []
    )
    assert len(asked) == 1 and "main" in asked[0] and "krakenfutures" in asked[0]


def test_a_wrong_answer_is_refused() -> None:
    with pytest.raises(GateRefused) as stopped:
        pass_gates(read_environment(GOOD), Surroundings(interactive=True), force=False, ask=answer("other", []))

    assert [refusal.seen for refusal in stopped.value.refusals] == ["typed 'other'"]


def test_a_terminal_that_closes_is_no_answer() -> None:
    def closed(_: str) -> str:
        raise EOFError

    with pytest.raises(GateRefused) as stopped:
        pass_gates(read_environment(GOOD), Surroundings(interactive=True), force=False, ask=closed)

    assert [refusal.id for refusal in stopped.value.refusals] == ["G22"]


def test_nobody_is_asked_when_another_gate_refuses_anyway() -> None:
    asked: list[str] = []
    env = read_environment({**GOOD, "CONFIRM_LIVE": ""})

    with pytest.raises(GateRefused):
        pass_gates(env, Surroundings(interactive=True), force=False, ask=answer("main", asked))

    assert asked == []


def test_nobody_is_asked_where_nobody_sits_or_with_force() -> None:
    asked: list[str] = []
    env = read_environment(GOOD)

    assert pass_gates(env, QUIET, force=False, ask=answer("x", asked)) == []
    assert [r.id for r in pass_gates(env, Surroundings(interactive=True), force=True, ask=answer("x", asked))] == [
        "G22"
    ]
    assert ask_account(env, QUIET, answer("x", asked)) == QUIET
    assert asked == []


def test_gates_are_chosen_by_id_or_name() -> None:
    assert [gate.kind.id for gate in select_gates(["confirm-live", "G01"])] == ["G01", "G04"]
    with pytest.raises(ValueError, match="no such gate: G99"):
        select_gates(["G01", "G99"])


def test_database_programs_need_no_credentials() -> None:
    env = read_environment({"DATABASE_URL": GOOD["DATABASE_URL"]})

    assert all(result.passed for result in evaluate_gates(env, QUIET, DATABASE_GATES))


def test_another_program_can_add_its_own_gates() -> None:
    extra = Gate(gates.UNKNOWN_SETTING, lambda env, _: [gates.UNKNOWN_SETTING.because("never", mend="give up")])
    results = evaluate_gates(read_environment(GOOD), QUIET, (*GATES, extra))

    assert [result.kind.id for result in results if not result.passed] == ["G14"]


def test_results_print_as_a_table_and_as_data() -> None:
    results = results_of(QUIET, CONFIRM_LIVE="", ALERT_WEBHOOK_URL="")
    lines = as_table(results).splitlines()

    assert len(lines) == len(GATES)
    assert next(line for line in lines if line.startswith("G04")).split()[2:] == ["REFUSED", "CONFIRM_LIVE", "unset"]
    assert next(line for line in lines if line.startswith("G20")).split()[2] == "warn"
    assert len({line.index(line.split()[2]) for line in lines}) == 1
    assert results[3].as_dict()["passed"] is False


def test_looking_around_sees_files_modules_and_no_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    (tmp_path / ".env").write_text("EXCHANGE_ACCOUNT=main\nOTHER=2\n")

    seen = look_around({"EXCHANGE_ACCOUNT": "main", "OTHER": "3"}, [tmp_path, tmp_path])

    assert seen.dotenv_files == (DotenvFile(str(tmp_path / ".env"), ("EXCHANGE_ACCOUNT",)),)
    assert "pytest" in seen.loaded_modules
    assert seen.interactive is False


def test_a_deleted_working_folder_is_no_reason_to_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    assert look_around({}).typed_account is None


def test_ids_are_distinct_and_results_frozen() -> None:
    kinds = [gate.kind for gate in GATES]

    assert len({kind.id for kind in kinds}) == len({kind.name for kind in kinds}) == len(kinds)
    assert [kind.id for kind in kinds if kind.soft] == ["G20", "G21", "G22"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        QUIET.interactive = True  # type: ignore[misc]
