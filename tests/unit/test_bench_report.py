"""The table that `make bench` writes, from made-up last lines of benches."""

from __future__ import annotations

import ast
import json
import platform
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]
BENCH = PROJECT / "bench"


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """bench/common/report.py as the benches import it."""
    monkeypatch.syspath_prepend(str(BENCH))
    import common.report  # type: ignore[import-not-found]

    yield common.report
    for name in [name for name in sys.modules if name.partition(".")[0] == "common"]:
        del sys.modules[name]


LEASE = {
    "bench": "lease",
    "ok": True,
    "problems": [],
    "missing_peers": [],
    "limits": {"boot_beside_floor": 1.3, "detection_ms_max": 50.0, "holders_false_losses": 0},
    "figures": {"boot_s": 0.2512, "floor_s": 0.2104, "detection_ms_max": 3.87, "holders_false_losses": 0},
    "ratios": {"boot_beside_floor": 1.194},
}


@pytest.fixture
def table(report: ModuleType) -> Callable[..., dict[str, dict[str, str]]]:
    """table(told, ...) -> the rows of the section by what they tell, each as {column: cell}."""

    def table(*told: dict[str, Any]) -> dict[str, dict[str, str]]:
        outcomes = [report.read_outcome(one["bench"], 0 if one["ok"] else 1, json.dumps(one)) for one in told]
        return rows_of(report.section(outcomes, ["facts"]))

    return table


def rows_of(section: str) -> dict[str, dict[str, str]]:
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    head, _, *rows = lines
    return {f"{row[1]} {row[3].partition(':')[0]}": dict(zip(head, row, strict=True)) for row in rows}


def test_a_row_tells_ours_the_other_side_the_ratio_its_target_and_the_verdict(table: Callable[..., Any]) -> None:
    row = table(LEASE)["boot to lease with all checks, whole process the same imports, connect, one query"]

    assert row == {
        "bench": "`lease`",
        "what": "boot to lease with all checks, whole process",
        "ours": "0.251 s",
        "beside": "the same imports, connect, one query: 0.21 s",
        "ratio": "1.19x",
        "target": "<= 1.3x",
        "verdict": "met",
    }


def test_without_a_ratio_ours_is_judged(table: Callable[..., Any]) -> None:
    rows = table({**LEASE, "ok": False, "figures": {**LEASE["figures"], "detection_ms_max": 50.5}})  # type: ignore[dict-item]

    row = rows["a terminated session noticed, the longest asyncpg-lock as it comes"]
    assert (row["ours"], row["ratio"], row["target"], row["verdict"]) == ("50.5 ms", "-", "<= 50 ms", "**missed**")


def test_a_limit_that_is_just_reached_is_met_and_zero_losses_are_told_as_zero(table: Callable[..., Any]) -> None:
    rows = table({**LEASE, "ratios": {"boot_beside_floor": 1.3}})

    assert rows["boot to lease with all checks, whole process the same imports, connect, one query"]["verdict"] == "met"
    losses = rows["false losses while all holders beat -"]
    assert (losses["ours"], losses["target"], losses["verdict"]) == ("0", "<= 0", "met")


@pytest.mark.parametrize("floor", [{}, {"boot_beside_floor": None}])
def test_what_was_not_measured_is_neither_met_nor_missed(table: Callable[..., Any], floor: dict[str, None]) -> None:
    row = table({**LEASE, "ratios": floor})[
        "boot to lease with all checks, whole process the same imports, connect, one query"
    ]

    assert (row["ratio"], row["verdict"]) == ("not measured", "not measured")


def test_a_target_that_no_row_knows_is_shown_all_the_same(table: Callable[..., Any]) -> None:
    rows = table({**LEASE, "limits": {**LEASE["limits"], "new_ms": 3.0}, "figures": {"new_ms": 4.0}})  # type: ignore[dict-item]

    assert rows["`new_ms` -"]["verdict"] == "**missed**"


def test_a_least_value_is_judged_the_other_way_round(table: Callable[..., Any]) -> None:
    smc = {"bench": "smc", "ok": False, "mean_us": 12.0, "ratio_500": 4900.0, "at_least": {"ratio_500": 5000.0}}

    row = table(smc)["the same, mean smartmoneyconcepts, a window of 500"]

    assert (row["ratio"], row["target"], row["verdict"]) == ("4,900x", ">= 5,000x", "**missed**")


@pytest.mark.parametrize("printed", ["", "Traceback: no server\n", '{"figures": {}}\n', "[1]\n", '{"ok": "yes"}\n'])
def test_a_bench_without_a_result_is_a_row_and_a_line_and_not_good(report: ModuleType, printed: str) -> None:
    outcome = report.read_outcome("lease", 1, printed)

    section = report.section([outcome], ["facts"])
    (row,) = rows_of(section).values()
    assert (row["bench"], row["verdict"], outcome.is_good) == ("`lease`", "**no result**", False)
    assert "`lease` ended with exit code 1 and told no result" in section
    assert "no server" not in section, "what it said may hold this machine's paths"


def test_problems_and_missing_peers_are_told_below_the_table(report: ModuleType) -> None:
    told = {**LEASE, "ok": False, "problems": ["cut_s_max is 2.1, above 2.0"], "missing_peers": ["asyncpg_lock"]}

    section = report.section([report.read_outcome("lease", 1, f"noise\n{json.dumps(told)}\n\n")], ["facts"])

    assert "- `lease`: cut_s_max is 2.1, above 2.0." in section
    assert "- `lease`: asyncpg_lock is not installed" in section


@pytest.mark.parametrize(("ok", "code", "good"), [(True, 0, True), (False, 1, False), (True, 1, False)])
def test_a_bench_is_good_when_it_says_so_and_ends_so(report: ModuleType, ok: bool, code: int, good: bool) -> None:
    outcome = report.read_outcome("lease", code, json.dumps({**LEASE, "ok": ok}))

    assert outcome.is_good is good
    assert ("What was missed" in report.section([outcome], [])) is not good


def test_only_what_stands_between_the_marks_is_replaced(report: ModuleType) -> None:
    old = f"# Title\n\nby hand\n\n{report.BEGIN}\nold table\n{report.END}\n\n## more by hand\n"
    outcome = report.read_outcome("lease", 0, json.dumps(LEASE))

    new = report.document(old, [outcome], ["Measured on a machine."])

    assert new.startswith(f"# Title\n\nby hand\n\n{report.BEGIN}\n\nMeasured on a machine.\n\n| bench |")
    assert new.endswith(f"\n\n{report.END}\n\n## more by hand\n")
    assert "old table" not in new
    assert report.document(new, [outcome], ["Measured on a machine."]) == new


def test_a_document_without_its_marks_is_refused_and_not_guessed_at(report: ModuleType) -> None:
    with pytest.raises(ValueError, match="no place"):
        report.document("# Title\n", [], [])


@pytest.fixture
def benches(report: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModuleType]:
    """bench/common/everything.py over a folder of two benches, one that is good and one that breaks."""
    import common.everything  # type: ignore[import-not-found]

    (tmp_path / "lease.py").write_text(f"print('noise')\nprint({json.dumps(json.dumps(LEASE))})\n")
    (tmp_path / "smc.py").write_text("import sys\nprint('gone wrong in', __file__)\nsys.exit(3)\n")
    (tmp_path / "benchmarks.md").write_text(f"by hand\n{report.BEGIN}\n{report.END}\nby hand too\n")
    monkeypatch.setattr(common.everything, "BENCH", tmp_path)
    monkeypatch.setattr(common.everything, "DOCUMENT", tmp_path / "benchmarks.md")
    yield common.everything


def test_all_benches_run_and_the_document_is_written_before_a_broken_one_is_complained_of(
    benches: ModuleType, tmp_path: Path
) -> None:
    code = benches.main([])

    text = (tmp_path / "benchmarks.md").read_text()
    rows = rows_of(text)
    assert code == 1
    assert rows["boot to lease with all checks, whole process the same imports, connect, one query"]["verdict"] == "met"
    assert rows["everything -"]["verdict"] == "**no result**" and "exit code 3" in text
    assert text.startswith("by hand\n") and text.endswith("by hand too\n")
    assert "Python 3." in text and "PostgreSQL 1" in text and " cores, " in text


def test_the_document_names_neither_the_machine_nor_a_path_of_it(benches: ModuleType, tmp_path: Path) -> None:
    benches.main([])

    text = (tmp_path / "benchmarks.md").read_text()
    assert str(tmp_path) not in text and str(PROJECT) not in text
    assert not re.search(rf"\b{re.escape(platform.node())}\b", text)


def test_a_quick_run_prints_and_leaves_the_document_alone(
    benches: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = (tmp_path / "benchmarks.md").read_text()
    (tmp_path / "smc.py").unlink()

    assert benches.main(["--quick"]) == 0

    assert (tmp_path / "benchmarks.md").read_text() == before
    assert "A quick run, which judges little" in capfd.readouterr().out


def test_the_document_of_this_project_has_a_place_for_the_table(report: ModuleType) -> None:
    document = (PROJECT / "docs" / "benchmarks.md").read_text()

    assert (document.count(report.BEGIN), document.count(report.END)) == (1, 1)


def test_every_row_is_of_a_bench_that_there_is_and_every_bench_has_rows(report: ModuleType) -> None:
    assert {row.bench for row in report.ROWS} == {path.stem for path in BENCH.glob("*.py")}


def test_every_bench_takes_quick() -> None:
    for path in BENCH.glob("*.py"):
        texts = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
        assert "--quick" in texts, path.name
