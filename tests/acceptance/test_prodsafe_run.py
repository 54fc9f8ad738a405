"""`prodsafe run` and `prodsafe lock` as people and supervisors use them: real processes, real signals, exit codes."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from prodsafe.lease import LeaseRow, read_leases

SCOPE = "bot-7"
LEASE_SECONDS = 2.0
PATIENCE_SECONDS = 20.0
PRODSAFE = [sys.executable, "-c", "from prodsafe.cli import main; main()"]

Process = subprocess.Popen[str]


@pytest.fixture
def start(database_url: str) -> Iterator[Callable[..., Process]]:
    """start("run", ...) -> a running prodsafe command on a database with the whole schema."""
    started: list[Process] = []

    def start(*arguments: str, **variables: str) -> Process:
        process = subprocess.Popen(
            [*PRODSAFE, *arguments],
            env={**os.environ, "DATABASE_URL": database_url, **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            process.kill()
        process.communicate()


@pytest.fixture
def guard(start: Callable[..., Process]) -> Callable[..., Process]:
    """guard("sh -c text") -> `prodsafe run --scope bot-7 --expiry-seconds 0 -- sh -c text`."""
    return lambda script, *options, **variables: start(
        "run", "--scope", SCOPE, "--expiry-seconds", "0", *options, "--", "sh", "-c", script, **variables
    )


def end(process: Process, given: str = "") -> tuple[int, str, str]:
    printed, complained = process.communicate(given, timeout=PATIENCE_SECONDS)
    return process.returncode, printed, complained


def next_line(process: Process) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def eventually(holds: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> bool:
    ends_at = time.monotonic() + seconds
    while not holds() and time.monotonic() < ends_at:
        time.sleep(0.02)
    return holds()


def processes_of(holder: str) -> list[int]:
    """What runs anywhere on this machine with the holder's token in its environment."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if f"PRODSAFE_HOLDER={holder}".encode() in environment.read_bytes().split(b"\0"):
                found.append(int(environment.parent.name))
    return found


def leases(database_url: str) -> list[LeaseRow]:
    with psycopg.connect(database_url, autocommit=True) as conn:
        return read_leases(conn)


def end_lock_session(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute("SELECT pg_terminate_backend(%s)", (read_leases(conn)[0].lock_pid,))


# --- what goes through


def test_the_child_gets_its_token_and_stdin_and_passes_its_output_and_exit_code_on(
    guard: Callable[..., Process], database_url: str
):
    process = guard("echo $PRODSAFE_SCOPE $PRODSAFE_EPOCH $PRODSAFE_HOLDER; cat; echo said >&2; exit 7")

    code, printed, complained = end(process, "heard\n")

    (row,) = leases(database_url)
    assert (code, printed, complained) == (7, f"{SCOPE} {row.epoch} {row.holder}\nheard\n", "said\n")
    assert row.state == "released"


def test_a_signal_goes_to_the_child_which_decides_how_to_end(guard: Callable[..., Process], database_url: str):
    """W13: SIGTERM killed the process without a drain or a release."""
    process = guard("trap 'echo drained; exit 9' TERM; echo ready; while :; do sleep 0.05; done")
    assert next_line(process) == "ready"

    process.send_signal(signal.SIGTERM)

    assert end(process)[:2] == (9, "drained\n")
    assert leases(database_url)[0].state == "released"


def test_a_child_ended_by_a_signal_gives_the_code_that_a_shell_would_give(guard: Callable[..., Process]):
    process = guard("echo ready; exec sleep 60")
    assert next_line(process) == "ready"

    process.send_signal(signal.SIGTERM)

    assert end(process)[0] == 128 + signal.SIGTERM


def test_a_command_that_is_not_there_gives_127_and_the_lease_back(start: Callable[..., Process], database_url: str):
    code, _, complained = end(start("run", "--scope", SCOPE, "--", "no-such-command"))

    assert code == 127
    assert "no-such-command" in complained
    assert leases(database_url)[0].state == "released"


def test_what_the_child_leaves_behind_ends_with_it(guard: Callable[..., Process], database_url: str):
    """A forgotten grandchild would go on sending without a lease; what it had on its way is in doubt."""
    process = guard("sleep 60 >/dev/null 2>&1 & echo $!")

    code, printed, _ = end(process)

    assert code == 0
    assert not is_running(int(printed))
    assert leases(database_url)[0].state == "active", "nobody has said that sending has stopped"


def test_a_daemon_that_left_the_childs_group_and_session_ends_with_it_too(
    guard: Callable[..., Process], database_url: str
):
    """setsid in a program's start script: the shell ends with 0, the program goes on, and would do so unleased."""
    process = guard("setsid sleep 60 >/dev/null 2>&1 & sleep 0.3; echo $PRODSAFE_HOLDER")

    code, printed, _ = end(process)

    assert code == 0
    assert processes_of(printed.strip()) == []
    assert leases(database_url)[0].state == "active", "nobody has said that sending has stopped"


def test_a_command_that_is_no_program_gives_126_as_a_shell_does(start: Callable[..., Process], tmp_path: Path):
    (tmp_path / "notes").write_text("no program")

    assert end(start("run", "--scope", SCOPE, "--", str(tmp_path / "notes")))[0] == 126


def test_what_was_ignored_before_stays_ignored(guard: Callable[..., Process], start: Callable[..., Process]):
    """`nohup prodsafe run ...` must survive the end of the login that started it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = guard("echo ready; read line; echo ended")
    finally:
        signal.signal(signal.SIGHUP, before)
    assert next_line(process) == "ready"

    process.send_signal(signal.SIGHUP)

    assert end(process, "go\n")[:2] == (0, "ended\n")


def test_closed_standard_streams_are_not_filled_with_the_guards_own(database_url: str, tmp_path: Path):
    """The lock connection as the child's stdin would be the end of both."""
    told = tmp_path / "told"
    child = f"sh -c 'cat; ls -l /proc/$$/fd >{told}'"
    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m prodsafe run --scope {SCOPE} -- {child} <&- >&- 2>&-"],
        env={**os.environ, "DATABASE_URL": database_url},
        timeout=PATIENCE_SECONDS,
        check=False,
    )

    assert done.returncode == 0
    places = [line.split()[-3::2] for line in told.read_text().splitlines() if " -> " in line]
    assert [place for place in places if place[0] in ("0", "2")] == [["0", "/dev/null"], ["2", "/dev/null"]]
    assert "socket:" not in told.read_text() and "pipe:" not in told.read_text()


def test_at_a_terminal_ctrl_z_stops_nothing_and_ctrl_c_goes_to_the_child(database_url: str):
    """A child that Ctrl-Z stopped would keep the lease for nothing, and no shell could wake it."""
    script = "trap 'echo interrupted; exit 9' INT; echo ready; while :; do sleep 0.05; done"
    environ = {**os.environ, "DATABASE_URL": database_url}
    guard, terminal = pty.fork()
    if guard == 0:
        os.execve(sys.executable, [*PRODSAFE, "run", "--scope", SCOPE, "--", "sh", "-c", script], environ)
    said = b""
    while b"ready" not in said:
        said += os.read(terminal, 1024)

    os.write(terminal, b"\x1a")
    time.sleep(0.2)
    os.write(terminal, b"\x03")

    while b"interrupted" not in said:
        assert select.select([terminal], [], [], PATIENCE_SECONDS)[0], f"stopped for good: {said!r}"
        said += os.read(terminal, 1024)
    assert os.waitstatus_to_exitcode(os.waitpid(guard, 0)[1]) == 9
    os.close(terminal)


# --- one at a time


def test_the_second_of_a_scope_exits_3_names_the_holder_and_starts_nothing(guard: Callable[..., Process]):
    first = guard("echo ready; exec sleep 60")
    assert next_line(first) == "ready"

    code, printed, complained = end(guard("echo started"))

    assert (code, printed) == (3, "")
    assert "refused L01 lease-held" in complained
    assert f"pid {first.pid}" in complained


def test_a_standby_starts_its_child_when_the_first_one_has_ended(guard: Callable[..., Process]):
    first = guard("echo ready; read line; echo ended")
    assert next_line(first) == "ready"
    second = guard("echo started", LOCK_WAIT_SECONDS="20")
    assert second.stderr is not None
    assert "standing by" in second.stderr.readline()

    assert end(first, "go\n")[0] == 0

    code, printed, complained = end(second)
    assert (code, printed) == (0, "started\n")
    assert "grace" not in complained


def test_a_standby_that_is_told_to_stop_exits_0(guard: Callable[..., Process]):
    first = guard("echo ready; exec sleep 60")
    assert next_line(first) == "ready"
    second = guard("echo started", LOCK_WAIT_SECONDS="60")
    assert second.stderr is not None
    assert "standing by" in second.stderr.readline()

    second.send_signal(signal.SIGTERM)

    assert end(second)[:2] == (0, "")


# --- when things break


def test_kill_9_of_the_guard_ends_the_child_and_the_next_one_waits_the_grace(guard: Callable[..., Process]):
    first = guard("echo $$; exec sleep 60")
    child = int(next_line(first))

    first.kill()

    assert eventually(lambda: not is_running(child), LEASE_SECONDS)
    code, printed, complained = end(guard("echo epoch $PRODSAFE_EPOCH", LOCK_WAIT_SECONDS="20"))
    assert code == 0
    assert int(printed.removeprefix("epoch ")) > 1
    assert "waiting out the grace" in complained


def test_kill_9_of_the_guard_ends_the_childs_children_too_wherever_they_went(guard: Callable[..., Process]):
    """The kernel's death signal reaches the child only; the watch finds its group, and what called setsid."""
    first = guard("setsid sleep 60 & sleep 60 & echo $PRODSAFE_HOLDER; echo $$; wait")
    holder, child = next_line(first), int(next_line(first))
    assert eventually(lambda: len(processes_of(holder)) == 3), "the shell and its two children"

    first.kill()

    assert eventually(lambda: processes_of(holder) == [], LEASE_SECONDS)
    assert not is_running(child)


def test_kill_9_of_the_guard_and_its_watch_still_ends_the_child(guard: Callable[..., Process]):
    """Out of memory, a container's end: both may go. The kernel's death signal is left, for the child itself."""
    first = guard("echo $$; exec sleep 60")
    child = int(next_line(first))
    watch = watch_of(first, child)

    os.kill(watch, signal.SIGSTOP)
    first.kill()
    ended = eventually(lambda: not is_running(child), LEASE_SECONDS)
    os.kill(watch, signal.SIGKILL)

    assert ended


def test_a_frozen_guard_loses_its_child_before_another_may_start(guard: Callable[..., Process]):
    """No signal reaches a frozen process, and its death is nobody's: the watch ends the child."""
    first = guard("echo $$; exec sleep 60")
    child = int(next_line(first))
    try:
        first.send_signal(signal.SIGSTOP)
        assert eventually(lambda: not is_running(child))
    finally:
        first.send_signal(signal.SIGCONT)

    assert end(first)[0] == 5


def test_a_lost_lease_asks_the_child_to_stop_and_exits_5(guard: Callable[..., Process], database_url: str):
    process = guard("trap 'echo asked; exit 0' TERM; echo ready; while :; do sleep 0.05; done")
    assert next_line(process) == "ready"

    end_lock_session(database_url)

    code, printed, complained = end(process)
    assert (code, printed) == (5, "asked\n")
    assert "refused L02 lease-lost" in complained
    assert "refused L12 child-stopped" in complained


def test_a_child_that_will_not_stop_is_killed_with_all_its_group(guard: Callable[..., Process], database_url: str):
    process = guard("trap '' TERM; sh -c 'echo $$; while :; do sleep 0.05; done' & while :; do sleep 0.05; done")
    grandchild = int(next_line(process))

    end_lock_session(database_url)

    assert end(process)[0] == 5
    assert not is_running(grandchild)


def watch_of(guard: Process, child: int) -> int:
    children = Path(f"/proc/{guard.pid}/task/{guard.pid}/children").read_text().split()
    (watch,) = (int(pid) for pid in children if int(pid) != child)
    return watch


def test_a_watch_that_is_killed_takes_the_child_with_it(guard: Callable[..., Process]):
    """Without the watch nothing would end the child of a frozen guard."""
    process = guard("echo $$; exec sleep 60")
    child = int(next_line(process))

    os.kill(watch_of(process, child), signal.SIGKILL)

    code, _, complained = end(process)
    assert code == 5
    assert "the watch" in complained
    assert not is_running(child)


# --- refusals before anything starts


def test_a_gate_that_refuses_keeps_the_command_from_starting(guard: Callable[..., Process], database_url: str):
    code, printed, complained = end(guard("echo started", "--gate", "confirm-live"))

    assert (code, printed) == (1, "")
    assert "refused G04 confirm-live" in complained
    assert leases(database_url) == []


def test_a_gate_that_passes_lets_it_start(guard: Callable[..., Process]):
    assert end(guard("echo started", "--gate", "G04", CONFIRM_LIVE="YES"))[:2] == (0, "started\n")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--scope", ""], "is empty"),
        (["--scope", "  "], "is empty"),
        (["--scope", "bot\n7"], "control"),
        (["--scope", "bot\x1b[2J"], "control"),
        (["--scope", " bot-7"], "blank"),
        (["--scope", "b" * 201], "longer than 200 characters"),
        (["--lease-seconds", "nan"], "number of seconds"),
        (["--lease-seconds", "inf"], "number of seconds"),
        (["--lease-seconds", "0.1"], "0.5<=x<=600"),
        (["--lease-seconds", "1000000"], "0.5<=x<=600"),
        (["--expiry-seconds", "nan"], "number of seconds"),
        (["--expiry-seconds", "-1"], "number of seconds"),
        (["--expiry-seconds", "inf"], "number of seconds"),
    ],
)
def test_a_bad_scope_or_length_is_wrong_usage_that_teaches_and_touches_no_database(
    start: Callable[..., Process], options: list[str], words: str
):
    process = start("run", "--scope", SCOPE, *options, "--", "echo", "started", DATABASE_URL="")

    code, printed, complained = end(process)

    assert (code, printed) == (2, "")
    assert words in complained and "Traceback" not in complained
    assert "\x1b" not in complained and len(complained) < 1000


def test_help_says_what_becomes_of_the_child_when_the_guard_is_killed(start: Callable[..., Process]):
    _, said, _ = end(start("run", "--help"))

    assert all(word in said for word in ("kill -9", "Linux", "elsewhere", "setsid", "70 %", "LOCK_WAIT_SECONDS"))


def test_an_unknown_gate_is_wrong_usage(guard: Callable[..., Process]):
    code, printed, complained = end(guard("echo started", "--gate", "confrim-live"))

    assert (code, printed) == (2, "")
    assert "confrim-live" in complained


def test_without_an_address_or_a_schema_the_reason_and_the_mend_are_named(
    start: Callable[..., Process], empty_database_url: str
):
    no_address = end(start("run", "--scope", SCOPE, "--", "true", DATABASE_URL=""))
    no_schema = end(start("run", "--scope", SCOPE, "--", "true", DATABASE_URL=empty_database_url))

    assert no_address[0] == 1 and "G06" in no_address[2]
    assert no_schema[0] == 4 and "migrate_schema.py" in no_schema[2]


# --- prodsafe lock


def test_lock_status_says_who_holds_what_as_a_table_and_as_json(
    start: Callable[..., Process], guard: Callable[..., Process]
):
    process = guard("echo ready; exec sleep 60")
    assert next_line(process) == "ready"

    _, table, _ = end(start("lock", "status"))
    _, data, _ = end(start("lock", "status", "--json"))

    (row,) = json.loads(data)["leases"]
    assert row["grace_parts"] == {"lease": 2.0, "request_expiry": 0.0, "clock_skew": 0.5, "margin": 0.5}
    assert (row["scope"], row["state"], row["locked"], row["pid"]) == (SCOPE, "active", True, process.pid)
    for fact in (SCOPE, "active", f"pid {process.pid}", "3 s = lease 2 + ", " UTC ("):
        assert fact in table
    assert max(map(len, table.splitlines())) <= 100


def test_lock_history_tells_each_holders_time_and_how_it_ended(
    start: Callable[..., Process], guard: Callable[..., Process]
):
    assert end(guard("true"))[0] == 0
    second = guard("echo ready; exec sleep 60")
    assert next_line(second) == "ready"
    end(start("lock", "release", "--scope", SCOPE, "--force", "--reason", "drill"))
    assert end(second)[0] == 5

    _, table, _ = end(start("lock", "history", "--scope", SCOPE))
    _, data, _ = end(start("lock", "history", "--scope", SCOPE, "--json"))
    latest = json.loads(end(start("lock", "history", "--scope", SCOPE, "--last", "1", "--json"))[1])["tenures"]

    first, last = json.loads(data)["tenures"]
    assert (first["end"], last["end"]) == ("released", "fenced")
    assert first["epoch"] < last["epoch"]
    assert first["ended_at"] <= last["began_at"] < last["ended_at"]
    assert last["reason"].startswith("drill")
    assert latest == [last]
    assert "released" in table and "drill" in table and max(map(len, table.splitlines())) <= 100


@pytest.mark.parametrize(
    ("arguments", "address", "code", "refusal"),
    [
        (["status"], "", 1, "G06"),
        (["status"], "postgresql://u:hidden-word@127.0.0.1:1/x", 6, "P01"),
        (["history", "--scope", "nobody"], None, 2, "L11"),
        (["release", "--scope", "nobody", "--force", "--reason", "drill"], None, 2, "L11"),
    ],
)
def test_with_json_a_refusal_is_one_json_object_and_keeps_its_exit_code(
    start: Callable[..., Process], arguments: list[str], address: str | None, code: int, refusal: str
):
    changes = {} if address is None else {"DATABASE_URL": address}

    ended, printed, complained = end(start("lock", *arguments, "--json", **changes))

    told = json.loads(printed)
    assert (ended, told["ok"], told["refusals"][0]["id"]) == (code, False, refusal)
    assert f"refused {refusal}" in complained
    assert "hidden-word" not in printed + complained


def test_a_release_told_as_json_says_what_was_fenced_and_ended(
    start: Callable[..., Process], guard: Callable[..., Process]
):
    process = guard("echo ready; exec sleep 60")
    assert next_line(process) == "ready"

    code, printed, _ = end(start("lock", "release", "--scope", SCOPE, "--force", "--reason", "drill", "--json"))

    told = json.loads(printed)
    assert (code, told["ok"], [row["scope"] for row in told["fenced"]]) == (0, True, [SCOPE])
    assert [session["terminated"] for session in told["sessions"]] == [True]
    assert end(process)[0] == 5


def test_lock_status_of_a_database_that_nobody_has_used_says_so(start: Callable[..., Process]):
    assert end(start("lock", "status"))[:2] == (0, "no scope was ever held in this database\n")


def test_forced_release_fences_ends_the_session_and_says_where_to_look(
    start: Callable[..., Process], guard: Callable[..., Process], database_url: str
):
    process = guard("echo ready; exec sleep 60")
    assert next_line(process) == "ready"

    code, printed, _ = end(start("lock", "release", "--scope", SCOPE, "--force", "--reason", "drill"))

    assert code == 0
    assert printed.index("fenced: bot-7") < printed.index("terminated") < printed.index("at the venue")
    assert end(process)[0] == 5
    (row,) = leases(database_url)
    assert (row.state, row.reason, row.lock_pid) == ("fenced", "drill", None)
    assert row.epoch > 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--scope", SCOPE, "--reason", "drill"], "SIGTERM"),
        (["--scope", SCOPE, "--force"], "--reason"),
        (["--scope", SCOPE, "--force", "--reason", " "], "say why"),
        (["--scope", "nobody", "--force", "--reason", "drill"], "refused L11 lease-unknown-scope"),
    ],
)
def test_a_release_that_is_not_meant_or_names_nothing_changes_nothing(
    start: Callable[..., Process], arguments: list[str], words: str
):
    code, _, complained = end(start("lock", "release", *arguments))

    assert code == 2
    assert words in complained
