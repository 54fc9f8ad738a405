"""Incidents that the shape of the source makes impossible: each test reads it, and fails when the shape is lost."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

from live.settings import KNOWN_SETTINGS
from live.simulator import DEMO_API_SECRET
from prodsafe.environment import Environment

PROJECT = Path(__file__).resolve().parents[2]
PURE = (
    *("position", "risk", "outcome", "smc", "book.py", "decode.py", "decode_kraken.py", "events.py", "market.py"),
    *("model.py", "order_form.py", "order_id.py", "reconcile.py", "records.py"),
)
MONEY = (*PURE, "boot.py", "decisions.py", "execution.py", "live_trading.py", "reconciler.py", "venue.py")
WRITES_FILES = {"live/replay_cli.py"}  # a report that a person asked for


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def sources(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (PROJECT / package).rglob("*.py"))


def runtime() -> list[Path]:
    """live without the venue that we test against."""
    return [path for path in sources("live") if "simulator" not in path.parts]


def rooms(names: Iterable[str]) -> list[Path]:
    found = [PROJECT / "live" / name for name in names]
    assert all(path.exists() for path in found), [str(path) for path in found if not path.exists()]
    return [file for path in found for file in (path.rglob("*.py") if path.is_dir() else [path])]


def name_of(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()


def calls(path: Path) -> Iterator[str]:
    """What each call in the file is made on, as dotted words: self._venue.submit, datetime.now, getattr."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def callers(pattern: str, paths: Iterable[Path]) -> set[str]:
    return {name_of(path) for path in paths if any(re.fullmatch(pattern, call) for call in calls(path))}


def namers(words: set[str], paths: Iterable[Path]) -> set[str]:
    """Files that say one of the words as a text: methods of ccxt are called by their names."""
    return {
        name_of(path)
        for path in paths
        if any(isinstance(node, ast.Constant) and node.value in words for node in ast.walk(tree(path)))
    }


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def project() -> dict[str, object]:
    return tomllib.loads((PROJECT / "pyproject.toml").read_text())


# --- mistakes must end the process, and be found before it starts -----------------------------------------------------


def test_a_handler_of_every_error_passes_it_on_or_says_why_not() -> None:
    """I10, I18, I34: some two hundred of them swallowed wrong names and missing fields for weeks."""
    silent = []
    for path in [*sources("live", "prodsafe", "legacy", "tests"), PROJECT / "migrate_schema.py"]:
        lines = path.read_text().splitlines()
        suspect = any(re.search(r"except(:|\b.*Exception)", line) for line in lines)
        for node in ast.walk(tree(path)) if suspect else ():
            if not isinstance(node, ast.ExceptHandler):
                continue
            caught = "BaseException" if node.type is None else ast.unparse(node.type)
            passes_on = any(isinstance(each, ast.Raise) and each.exc is None for each in ast.walk(node))
            if re.search(r"\b(Base)?Exception\b", caught) and not passes_on and "#" not in lines[node.lineno - 1]:
                silent.append(f"{name_of(path)}:{node.lineno}")
    assert silent == []


def test_no_attribute_on_the_way_of_money_is_reached_by_its_name_as_a_text() -> None:
    """I9: `mark_price` where the field was `current_mark_price` killed every candidate, and nothing had checked it."""
    assert callers(r"(get|set|has)attr", rooms(MONEY)) <= {"live/events.py", "live/smc/parameters.py"}  # over fields()


def test_types_are_checked_strictly_in_every_package() -> None:
    """I8, W1: enum members that never existed were named at startup and in the handler of a broken invariant."""
    mypy = project()["tool"]["mypy"]  # type: ignore[index]

    assert mypy["strict"] is True
    assert set(mypy["packages"]) >= {"prodsafe", "live", "legacy"}


def test_a_tick_has_no_way_out_before_its_report() -> None:
    """W26: four early returns skipped the clean-up that "must always run"."""
    (tick,) = [
        node
        for node in ast.walk(tree(PROJECT / "live/live_trading.py"))
        if isinstance(node, ast.AsyncFunctionDef) and node.name == "tick"
    ]

    assert not [node for node in ast.walk(tick) if isinstance(node, ast.Return)]
    assert "_report" in ast.unparse(tick.body[-1])


# --- one door, one store, one clock, one reader -----------------------------------------------------------------------


def test_one_room_alone_asks_the_venue_to_change_anything() -> None:
    """I16, I17, W34: self-heal, shock guard and takeover sent orders past the gateway, without a record of any."""
    assert callers(r".*venue\.(submit|cancel|set_dead_man)", runtime()) == {"live/execution.py", "live/paper.py"}
    assert callers(r".*\.(create_order|privatePost\w+)", runtime()) == set()
    assert namers({"create_order", "privatePostCancelorder"}, runtime()) == {"live/venue.py"}
    assert callers(r".*wire\.send", runtime()) == {"live/venue.py"}


@pytest.mark.parametrize("word", ["edit_?order", "set_?leverage", "cancel_?all", "trailing_?percent", "create_?orders"])
def test_what_the_venue_or_ccxt_gets_wrong_is_never_called(word: str) -> None:
    """W36, W39, traps 8 and 9: an edit that becomes cancel and create, a field that passes on a market order."""
    assert callers(rf"(?i).*\b(\w*_)?{word}\w*", runtime()) == set()


def test_the_runtime_keeps_nothing_in_files() -> None:
    """I20, I36, I44, W19, W20, W24: two databases and four state files disagreed, and a cron job overwrote one."""
    stores = {"sqlite3", "shelve", "dbm", "pickle", "marshal"}
    assert {name_of(path) for path in sources("live") if imported(path) & stores} == set()
    assert callers(r".*\.(write_text|write_bytes|mkdir|touch)", sources("live")) <= WRITES_FILES | {"live/demo.py"}
    opened = {name_of(path) for path in sources("live") for mode in _modes(path) if set(mode) & set("wax+")}
    assert opened <= WRITES_FILES | {"live/demo.py"}


def _modes(path: Path) -> Iterator[str]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "open":
            words = [
                each.value
                for each in [*node.args, *(word.value for word in node.keywords)]
                if isinstance(each, ast.Constant)
            ]
            yield from (word for word in words if isinstance(word, str) and re.fullmatch("[rwaxbt+]{1,3}", word))


def test_only_entry_points_read_the_process_environment() -> None:
    """I45, W5: configuration was read again while running, by six readers with four defaults."""
    readers = {name_of(path) for path in runtime() if re.search(r"\bos\.(environ|getenv)\b", path.read_text())}

    entries = {"__main__", "prod_live", "health", "dashboard", "demo", "cli", "cli_parts", "replay_cli", "flatten_cli"}
    assert {Path(name).stem for name in readers} <= entries


def test_no_pure_room_asks_a_clock() -> None:
    """I33: tests had to replace the whole datetime module."""
    asking = r"(datetime\.(\w+\.)?(now|utcnow|today)|date\.today|time\.(time|monotonic|perf_counter)(_ns)?)"
    assert callers(asking, rooms(PURE)) == set()


def test_no_test_replaces_a_part_of_ours_by_a_mock() -> None:
    """I32: a mock put in place of a class leaked into everything that was made of it."""
    assert {name_of(path) for path in sources("tests") if any("mock" in name for name in imported(path))} == set()


def test_tasks_that_run_beside_the_loop_are_those_that_somebody_ends() -> None:
    """I27: a background task outlived the shutdown and wrote to a closed database."""
    paths = [*runtime(), *sources("legacy", "prodsafe")]
    beside = callers(r".*\b(create_task|ensure_future|run_coroutine_threadsafe)", paths)

    # each awaits or cancels its own; the journal's closing waits for its last statement
    known = {"live/alerts.py", "live/hints.py", "live/journal.py", "legacy/wiring.py"}
    assert beside <= known


def test_nothing_but_a_persons_command_clears_the_latch() -> None:
    """W23, I25: a kill switch that took itself back twice a day, and counted from nothing after each restart."""
    assert callers(r".*\bclear_halt", runtime()) == {"live/latch_cli.py", "live/journal.py"}
    assert callers(r".*journal\.resume", runtime()) == set()


def test_the_venues_own_names_stay_at_its_door() -> None:
    """I50: five spellings of one contract were compared as texts; positions and stops doubled."""
    speaking = {
        name_of(path)
        for path in runtime()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"(P[FI]|F[IF])_\w*|XBT\w*", node.value)
    }
    assert speaking <= {"live/decode_kraken.py"}


def test_a_stream_can_only_ask_for_a_look() -> None:
    """Trap 13: fed one delta twice, ccxt's stream reports twice the fill."""
    streams = [path for path in runtime() if any(name.startswith("ccxt.pro") for name in imported(path))]
    writers = {"live.book", "live.events", "live.execution", "live.journal", "live.reconcile", "live.reconciler"}

    assert {name_of(path) for path in streams if imported(path) & writers} == set()
    assert callers(r".*\b(watch_(orders|my_trades|positions|balance)|createOrderWs|cancelOrderWs)", runtime()) <= {
        name_of(path) for path in streams
    }


# --- deploys ----------------------------------------------------------------------------------------------------------


def test_the_procfile_starts_the_guarded_worker_and_no_deprecated_door() -> None:
    """I61, W17, W41: the platform still started the old entry, so the guard was made lenient instead."""
    lines = dict(line.split(": ", 1) for line in (PROJECT / "Procfile").read_text().splitlines() if line.strip())

    assert lines["worker"] == "python migrate_schema.py && python -m live.prod_live"
    assert not any("legacy" in command for command in lines.values())
    modules = [word for command in lines.values() for word in re.findall(r"-m ([\w.]+)", command)]
    assert all((PROJECT / f"{module.replace('.', '/')}.py").exists() for module in modules)


def test_no_variable_ends_the_loop_after_a_while() -> None:
    """W41: MAX_LOOPS and RUN_SECONDS were obeyed in production too, with exit 0 and a supervisor that started anew."""
    names = {field.upper() for field in Environment.model_fields} | KNOWN_SETTINGS

    assert not {name for name in names if re.search("LOOPS|RUN_SECONDS|ITERATIONS|MAX_TICKS", name)}


def test_the_runtime_needs_no_object_mapper() -> None:
    """I19, W18: its errors were not the driver's, its default driver changed, its sessions began transactions."""
    wanted = project()["project"]["dependencies"] + project()["project"]["optional-dependencies"]["live"]  # type: ignore[index,operator]

    assert not [name for name in wanted if "sqlalchemy" in name.lower()]
    assert {name_of(path) for path in sources("live", "prodsafe", "legacy") if "sqlalchemy" in imported(path)} == set()


def test_no_secret_lies_in_the_repository() -> None:
    """I62: two files of documentation held the keys of the live account, and its history still does."""
    looks_secret = re.compile(r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/]{70,}={0,2}(?![A-Za-z0-9+/=_-])")
    found = []
    for path in _files_of_the_project():
        for text in looks_secret.findall(path.read_text(encoding="utf-8", errors="replace")):
            mixed = all(re.search(kind, text) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
            if mixed and text != DEMO_API_SECRET:
                found.append(f"{name_of(path)}: {text[:6]}...")
    assert found == []


def _files_of_the_project() -> Iterator[Path]:
    kinds = {".py", ".md", ".toml", ".yaml", ".yml", ".sql", ".json", ".txt", ".sh", ".cfg", ""}
    for path in PROJECT.rglob("*"):
        parts = path.relative_to(PROJECT).parts
        made = any(part.startswith(".") and part != ".github" for part in parts[:-1]) or "__pycache__" in parts
        if not made and path.is_file() and (path.suffix in kinds or path.name.startswith(".env")):
            yield path
