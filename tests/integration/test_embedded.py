"""Our own PostgreSQL: starts anywhere, survives any kill, leaves nothing running and touches nothing but its folder."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from prodsafe import embedded
from prodsafe.embedded import EmbeddedPostgres
from prodsafe.embedded_account import FOLDER_NOT_OURS, Account
from prodsafe.embedded_binaries import NO_BINARIES, WRONG_VERSION, choose_binaries
from prodsafe.errors import DatabaseRefused, ExitCode


@pytest.fixture
def server(tmp_path: Path, postgres_binaries):
    """A persistent server below a folder that only its owner may enter (pytest's own), not started yet."""
    found = EmbeddedPostgres(tmp_path / "server", fsync=False, binaries=postgres_binaries)
    yield found
    found.stop()


@contextmanager
def running(folder: Path, *options: str):
    """`python -m prodsafe.embedded` and the URL of its first line."""
    command = [sys.executable, "-m", "prodsafe.embedded", "--dir", str(folder), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process, process.stdout.readline().strip().removeprefix("DATABASE_URL=")
        finally:
            process.kill()


def rows(url: str) -> list[tuple[int]]:
    with psycopg.connect(url) as conn:
        return conn.execute("SELECT n FROM kept ORDER BY n").fetchall()


def write_a_row(url: str) -> None:
    with psycopg.connect(url) as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
        conn.execute("INSERT INTO kept VALUES (1)")


def refusal(server: EmbeddedPostgres):
    with pytest.raises(DatabaseRefused) as caught:
        server.start()
    return caught.value.refusals[0]


def test_what_was_committed_survives_stop_and_start(server):
    first = server.start()
    write_a_row(first)
    server.stop()

    assert rows(server.start()) == [(1,)]
    assert server.url == first


def test_the_first_start_after_a_kill_of_the_server_recovers(server):
    """Trap of migrations.md 5: an unreaped postmaster blocks the next start; ours is reaped."""
    write_a_row(server.start())
    os.kill(server.pid, signal.SIGKILL)
    while server.crashed() is None:
        time.sleep(0.01)

    assert rows(server.start()) == [(1,)]


def test_a_throw_away_server_leaves_no_folder(postgres_binaries):
    with EmbeddedPostgres(fsync=False, binaries=postgres_binaries) as server:
        folder = server.dir
        assert folder.exists()

    assert not folder.exists()


def test_nobody_connects_without_the_password(server):
    url = server.start()

    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(url.replace(":" + server._password, ""))


def test_the_server_is_reachable_from_this_machine_only(server):
    with psycopg.connect(server.start()) as conn:
        addresses = conn.execute("SHOW listen_addresses").fetchone(), conn.execute("SHOW port").fetchone()

    assert addresses == (("127.0.0.1",), (str(server.port),))


def test_the_server_is_no_root_process_and_sees_nothing_of_our_environment(server, monkeypatch):
    monkeypatch.setenv("EXCHANGE_API_SECRET", "do-not-pass-on")
    server.start()

    process = Path(f"/proc/{server.pid}")
    assert process.stat().st_uid != 0
    assert b"do-not-pass-on" not in (process / "environ").read_bytes()


def test_only_its_own_folder_changes_owner_or_mode(server):
    parent = server.dir.parent
    before = [(path.stat().st_mode, path.stat().st_uid) for path in (parent, *parent.parents)]

    server.start()

    assert [(path.stat().st_mode, path.stat().st_uid) for path in (parent, *parent.parents)] == before
    assert server.dir.stat().st_mode & 0o077 == 0
    assert (server.dir / "password").stat().st_mode & 0o077 == 0


def test_a_folder_that_holds_other_things_is_refused_and_left_alone(server):
    server.dir.mkdir()
    (server.dir / "thesis.txt").write_text("dear")
    owner = server.dir.stat().st_uid

    assert refusal(server).kind is FOLDER_NOT_OURS
    assert server.dir.stat().st_uid == owner and (server.dir / "thesis.txt").read_text() == "dear"


def test_a_first_start_that_was_killed_half_way_is_made_anew(server):
    (server.dir / "data.new" / "base").mkdir(parents=True)
    (server.dir / "password").write_text("of the run that was killed")

    write_a_row(server.start())

    assert rows(server.url) == [(1,)]


def test_a_stale_pid_file_whose_number_lives_again_does_not_stop_a_start(server):
    server.start()
    os.kill(server.pid, signal.SIGKILL)
    while server.crashed() is None:
        time.sleep(0.01)
    pid_file = server.dir / "data" / "postmaster.pid"
    pid_file.write_text("\n".join([str(os.getpid()), *pid_file.read_text().splitlines()[1:]]))

    assert server.start()


def test_a_taken_port_is_refused_and_named(server, postgres_binaries):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        found = refusal(EmbeddedPostgres(server.dir, port, binaries=postgres_binaries))

    assert found.kind is embedded.PORT_TAKEN and str(port) in found.cause


def test_a_free_port_that_another_process_takes_first_is_chosen_again(server, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as other:
        lost = iter([other.getsockname()[1]])
        choose = embedded._free_port
        monkeypatch.setattr(embedded, "_free_port", lambda: next(lost, None) or choose())

        server.start()

        assert server.port != other.getsockname()[1]


def test_no_binaries_are_refused_with_what_to_install(tmp_path):
    found = refusal(EmbeddedPostgres(tmp_path / "server", binaries=tmp_path))

    assert found.kind is NO_BINARIES and "apt-get install postgresql" in found.mend


def test_binaries_below_a_private_folder_are_copied_to_where_the_servers_account_can_run_them(tmp_path, monkeypatch):
    """A clone below /root with the wheel's binaries in its .venv: nobody but root passes /root."""
    private, public = tmp_path / "root" / "package" / "pginstall" / "bin", tmp_path / "tmp"
    private.mkdir(parents=True)
    public.mkdir()
    (private / "postgres").write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 16.14'\n")
    (private / "postgres").chmod(0o755)
    (tmp_path / "root").chmod(0o700)
    monkeypatch.setattr("tempfile.tempdir", str(public))
    stranger = Account(uid=os.getuid() + 60000, gid=os.getgid() + 60000, name="stranger")

    first, again = (choose_binaries([private], tmp_path / "server", stranger) for _ in range(2))

    assert first == again and (first / "postgres").is_file() and public in first.parents
    assert [path.stat().st_mode & 0o777 for path in public.iterdir()] == [0o755]
    assert (tmp_path / "root").stat().st_mode & 0o777 == 0o700


def test_data_of_a_version_that_is_not_installed_is_refused(server):
    (server.dir / "data").mkdir(parents=True)
    (server.dir / "data" / "PG_VERSION").write_text("9\n")
    if os.geteuid() == 0:  # as the server's own account would have left it
        os.chown(server.dir / "data", 65534, 65534)

    assert refusal(server).kind is WRONG_VERSION


def test_a_server_that_cannot_start_says_why(server):
    server.start()
    server.stop()
    with (server.dir / "data" / "postgresql.conf").open("a") as file:
        file.write("no_such_setting = 1\n")

    found = refusal(server)

    assert found.kind is embedded.CANNOT_START and "no_such_setting" in found.cause


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_the_command_prints_its_address_first_and_stops_cleanly(tmp_path, sign):
    with running(tmp_path / "server") as (process, url):
        write_a_row(url)
        process.send_signal(sign)

        assert process.wait(20) == ExitCode.OK
        assert process.stdout.read() == ""
        assert url not in process.stderr.read()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url, connect_timeout=2)


def test_a_second_command_on_the_same_folder_is_refused_and_the_first_goes_on(tmp_path):
    with running(tmp_path / "server") as (_, url):
        with running(tmp_path / "server") as (second, nothing):
            assert second.wait(20) == ExitCode.REFUSED
            assert nothing == "" and "E02 folder-in-use" in second.stderr.read()

        write_a_row(url)


def test_the_server_dies_with_a_killed_command_and_the_next_one_takes_over(tmp_path):
    with running(tmp_path / "server") as (first, url):
        write_a_row(url)
        first.kill()
        first.wait()

        with running(tmp_path / "server") as (_, next_url):
            assert rows(next_url) == [(1,)]


def test_the_command_ends_and_says_so_when_its_server_was_killed(tmp_path):
    with running(tmp_path / "server") as (process, _):
        postmaster = int((tmp_path / "server" / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGKILL)

        assert process.wait(20) == ExitCode.UNREADABLE
        assert "E08 server-died" in process.stderr.read()
