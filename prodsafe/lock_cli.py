"""`prodsafe lock` and `prodsafe run`: parse, call one function, print, exit. [S]"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import click

from prodsafe import values
from prodsafe.environment import Environment, read_environment
from prodsafe.errors import DatabaseRefused, ExitCode
from prodsafe.gates import DATABASE_GATES, evaluate_gates, look_around, require_gates, select_gates
from prodsafe.lease_model import UNKNOWN_SCOPE, LeaseTiming, account_scope, key_scope
from prodsafe.lock_fleet import CONDITIONS, Wanted
from prodsafe.lock_view import status_as_dict, status_as_text, tenures_as_text
from prodsafe.migrations.options import parse_sets
from prodsafe.output import register_secrets, run_entry, say, say_json, warn

if TYPE_CHECKING:
    from prodsafe.migrations import MigrationSet
    from prodsafe.postgres import Connection

CHECK_AT_VENUE = """\
The old holder can write no fenced row any more. What it may have sent is at the venue; before a new worker starts:
  1. see that the old process is gone, on {hosts}
  2. at the venue: open orders, and positions without a reduce-only stop
  3. cancel what no record explains, protect what is naked, and only then start the worker
A new worker waits {grace:g} s after it has taken the lease, and reconciles before it acts."""


@click.group()
def lock() -> None:
    """Who holds which scope, who held it before, and the way to cut a holder off.

    Reads LOCK_DATABASE_URL, or DATABASE_URL where that is unset.
    """


@lock.command()
@click.option("--all", "every", is_flag=True, help="Every scope that was ever held in this database.")
@click.option(
    "--state", "states", multiple=True, type=click.Choice(CONDITIONS), help="Only these; may be given several times."
)
@click.option("--match", default="", metavar="TEXT", help="Only where scope, host, user or program holds TEXT.")
@click.option("--json", "as_json", is_flag=True, help="The same rows, or the refusal, as one JSON object.")
def status(every: bool, states: Sequence[str], match: str, as_json: bool) -> int:
    """Who holds which scope, since when, epoch, last beat; what needs a person comes first, counts come last.

    Of an environment that names an account: that account and its API key. Otherwise every scope but those that ended
    over a day ago. --state and --match look through all. Up to ten holders are told in full, more in a line each.

    \b
    overdue   a session holds the lock and sends no beat: frozen or cut off
    silent    nobody holds the lock, and nobody said that sending has stopped
    fenced    cut off by a person or by the loss of another of its scopes
    arming    waits out a grace, or reconciles
    active    beats, and may act
    released  stopped cleanly

    A scope's first epoch is the milliseconds since 2026, so that none repeats in another database or after a failover;
    then they go up by one. Only their order means anything.
    """
    return run_entry(lambda: _status(every, states, match, as_json), as_json=as_json, interrupted=ExitCode.REFUSED)


@lock.command()
@click.option("--scope", required=True, help="The scope, as `prodsafe lock status` shows it.")
@click.option("--last", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many holders to show.")
@click.option("--json", "as_json", is_flag=True, help="The same rows, or the refusal, as one JSON object.")
def history(scope: str, last: int, as_json: bool) -> int:
    """Who held a scope from when to when, and how that ended: released, fenced by a person, or superseded."""
    return run_entry(lambda: _history(scope, last, as_json), as_json=as_json, interrupted=ExitCode.REFUSED)


@lock.command()
@click.option("--scope", required=True, help="The scope, as `prodsafe lock status` shows it.")
@click.option("--force", is_flag=True, help="Needed: this takes the lease from a holder that may still be running.")
@click.option("--reason", required=True, help="Why; kept for ever in prodsafe.lease_history.")
@click.option("--json", "as_json", is_flag=True, help="What was done, or the refusal, as one JSON object.")
def release(scope: str, force: bool, reason: str, as_json: bool) -> int:
    """Cut a holder off: its writes are refused at once, its database session ends, then it is for you to look around.

    A running holder releases by itself on SIGTERM; that is the better way, since no successor has to wait then.
    """
    if not force:
        raise click.UsageError("a holder that runs is stopped with SIGTERM; to cut it off all the same add --force")
    if not reason.strip():
        raise click.UsageError("--reason must say why: the next person reads it")
    return run_entry(lambda: _release(scope, reason, as_json), as_json=as_json, interrupted=ExitCode.REFUSED)


def _status(every: bool, states: Sequence[str], match: str, as_json: bool) -> int:
    from prodsafe.lease_store import read_leases
    from prodsafe.lock_fleet import holdings, read_sessions

    with _direct_connection() as conn:
        rows, sessions = read_leases(conn), read_sessions(conn)
    wanted = Wanted(every, states, match, own=_own_scopes(_environment()))
    found = holdings(rows, sessions.now)
    shown = [holding for holding in found if wanted(holding, sessions.now)]
    if as_json:
        say_json(status_as_dict(shown, found, sessions))
    else:
        say(status_as_text(shown, found, sessions, shutil.get_terminal_size().columns if sys.stdout.isatty() else None))
    return ExitCode.OK


def _own_scopes(env: Environment) -> list[str]:
    """What a worker in this environment would take; [] when it names no account."""
    if env.environment is None or env.exchange_account is None:
        return []
    account = account_scope(env.exchange_id, env.exchange_account, env.environment)
    return [account, *([key_scope(env.exchange_id, env.exchange_api_key)] if env.exchange_api_key else [])]


def _history(scope: str, last: int, as_json: bool) -> int:
    from prodsafe.lease_store import read_leases
    from prodsafe.lock_history import read_tenures

    with _direct_connection() as conn:
        tenures, now = read_tenures(conn, scope, last=last), _database_time(conn)
        if not tenures:
            known = ", ".join(row.scope for row in read_leases(conn)) or "none"
            raise DatabaseRefused(
                UNKNOWN_SCOPE.because(f"no such scope; known: {known}", seen=scope, mend="prodsafe lock status")
            )
    if as_json:
        say_json({"scope": scope, "tenures": [tenure.as_dict() for tenure in tenures]})
    else:
        say(tenures_as_text(tenures, now))
    return ExitCode.OK


def _release(scope: str, reason: str, as_json: bool) -> int:
    from prodsafe.lease_store import force_release

    tell = _silent if as_json else say
    with _direct_connection() as conn:
        rows = force_release(conn, scope, reason=reason)
        tell(f"fenced: {', '.join(row.scope for row in rows)}")
        ended = [
            _end_session(conn, pid, tell) for pid in sorted({row.lock_pid for row in rows if row.lock_pid is not None})
        ]
    grace_seconds = max(row.grace_seconds for row in rows)
    if as_json:
        fenced = [row.as_dict() for row in rows]
        say_json({"ok": True, "fenced": fenced, "sessions": ended, "grace_seconds": grace_seconds})
    hosts = ", ".join(sorted({f"{row.host} (pid {row.pid})" for row in rows}))
    tell(CHECK_AT_VENUE.format(hosts=hosts, grace=grace_seconds))
    return ExitCode.OK


def _end_session(conn: Connection, pid: int, tell: Callable[[str], None]) -> dict[str, object]:
    from prodsafe.lease_store import terminate

    try:
        terminated = terminate(conn, pid)
    except DatabaseRefused as refused:  # fenced it is; the session ends by itself or by a privileged role
        warn(refused.refusals)
        return {"server_process": pid, "terminated": False, "refused": refused.refusals[0].id}
    tell(f"server process {pid}: {'terminated' if terminated else 'was gone already'}")
    return {"server_process": pid, "terminated": terminated}


def _silent(_: str) -> None:
    """For a machine the one JSON object says it all."""


def _database_time(conn: Connection) -> datetime:
    row = conn.execute("SELECT pg_catalog.clock_timestamp()").fetchone()
    assert row is not None
    moment: datetime = row[0]
    return moment


class Seconds(click.FloatRange):
    """A finite number of seconds in a range; `nan` passes every comparison, and so every range."""

    name = "seconds"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            seconds = values.read_seconds(str(value))
        except ValueError as error:
            self.fail(f"{value!a} {error}", param, ctx)
        return float(super().convert(seconds, param, ctx))


def _checked_scope(_: click.Context, __: click.Parameter, raw: str) -> str:
    try:
        return values.read_scope(raw)
    except ValueError as error:
        shown = raw if len(raw) <= 40 else f"{raw[:40]}..."
        raise click.BadParameter(f"{shown!a} {error}") from error


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option(
    "--scope",
    required=True,
    callback=_checked_scope,
    help="What may be done by one process at a time, e.g. bot-7: visible characters, 200 at most.",
)
@click.option(
    "--gate", "gates", multiple=True, metavar="NAME", help="A gate of `prodsafe check` that must pass as well."
)
@click.option("--force", is_flag=True, help="Skip soft gates.")
@click.option(
    "--set",
    "sets",
    metavar="NAME=FOLDER",
    multiple=True,
    callback=parse_sets,
    help="COMMAND's own migrations: they must be applied, and contract files that it does not know wait while it runs. "
    "Without --set every contract file in this database waits until COMMAND has ended.",
)
@click.option(
    "--lease-seconds",
    type=Seconds(min=0.5, max=600),
    default=LeaseTiming().length_seconds,
    show_default=True,
    help="How long the lease lives without a good beat; longer on a slow machine or network.",
)
@click.option(
    "--expiry-seconds",
    type=Seconds(min=0, max=3600),
    default=LeaseTiming().request_expiry_seconds,
    show_default=True,
    help="How long something that the program sent may still take effect; part of a successor's grace.",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(
    scope: str,
    gates: Sequence[str],
    force: bool,
    sets: Sequence[MigrationSet],
    lease_seconds: float,
    expiry_seconds: float,
    command: Sequence[str],
) -> int:
    """Run COMMAND as the only one of its scope: gates, schema, lease; stopped before the lease can end.

    COMMAND finds its token in PRODSAFE_SCOPE, PRODSAFE_EPOCH and PRODSAFE_HOLDER. Its exit code is passed on (128 + n
    when signal n ended it); 3 when another holds the scope (LOCK_WAIT_SECONDS stands by), 5 when the lease ended.
    When the lease is in danger COMMAND gets SIGTERM at 70 % of its length and SIGKILL at 90 %.

    When this guard is killed (kill -9) or frozen, COMMAND does not outlive the lease:

    \b
    Linux      Killed: the kernel ends COMMAND at once, and a small second
               process, the watch, what COMMAND has started: its process group,
               and all that carries its PRODSAFE_HOLDER, also after setsid.
               Frozen: the watch ends all of these at 90 % of the lease.
    elsewhere  Killed or frozen: the watch ends COMMAND's process group. What
               has left the group (setsid, a daemon) is not seen and goes on.

    Out of reach everywhere: what runs as a user that this one may not signal, on another machine, or by another
    daemon's hand (docker run, at, systemd-run). COMMAND stays in the foreground: what it leaves behind is killed.
    """
    from prodsafe.run import run_under_lease

    try:
        chosen = select_gates(gates) if gates else ()
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    env = _environment()
    timing = LeaseTiming(
        length_seconds=lease_seconds, beat_seconds=lease_seconds / 4, request_expiry_seconds=expiry_seconds
    )
    return run_under_lease(
        os.environ,
        env,
        look_around(os.environ),
        command,
        scope=scope,
        gates=chosen,
        force=force,
        sets=sets,
        timing=timing,
    )


def _environment() -> Environment:
    env = read_environment(os.environ)
    register_secrets(env.secrets())
    return env


@contextmanager
def _direct_connection() -> Iterator[Connection]:
    env = _environment()
    require_gates(evaluate_gates(env, look_around(os.environ), DATABASE_GATES), force=True)
    assert env.lock_database_url is not None  # the gates have seen to it
    from prodsafe.postgres import connect

    with closing(connect(env.lock_database_url, application_name="prodsafe/lock", direct=True)) as conn:
        yield conn
