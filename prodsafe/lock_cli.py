"""`prodsafe lock` and `prodsafe run`: parse, call one function, print, exit. [S]"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC
from typing import TYPE_CHECKING

import click

from prodsafe.environment import Environment, read_environment
from prodsafe.errors import DatabaseRefused, ExitCode
from prodsafe.gates import DATABASE_GATES, evaluate_gates, look_around, require_gates, select_gates
from prodsafe.lease_model import LeaseRow, LeaseTiming
from prodsafe.output import register_secrets, say, say_json, warn

if TYPE_CHECKING:
    from prodsafe.postgres import Connection

CHECK_AT_VENUE = """\
The old holder can write no fenced row any more. What it may have sent is at the venue; before a new worker starts:
  1. see that the old process is gone, on {hosts}
  2. at the venue: open orders, and positions without a reduce-only stop
  3. cancel what no record explains, protect what is naked, and only then start the worker
A new worker waits {grace:g} s after it has taken the lease, and reconciles before it acts."""


@click.group()
def lock() -> None:
    """Who holds which scope, and the way to cut a holder off.

    Reads LOCK_DATABASE_URL, or DATABASE_URL where that is unset.
    """


@lock.command()
@click.option("--json", "as_json", is_flag=True, help="The same rows as one JSON object.")
def status(as_json: bool) -> int:
    """Every scope: state, epoch, holder, since when, last beat, the grace a successor waits."""
    from prodsafe.lease_store import read_leases

    with _direct_connection() as conn:
        rows = read_leases(conn)
    if as_json:
        say_json({"leases": [row.as_dict() for row in rows]})
    else:
        say(as_table(rows))
    return ExitCode.OK


@lock.command()
@click.option("--scope", required=True, help="The scope, as `prodsafe lock status` shows it.")
@click.option("--force", is_flag=True, help="Needed: this takes the lease from a holder that may still be running.")
@click.option("--reason", required=True, help="Why; kept for ever in prodsafe.lease_history.")
def release(scope: str, force: bool, reason: str) -> int:
    """Cut a holder off: its writes are refused at once, its database session ends, then it is for you to look around.

    A running holder releases by itself on SIGTERM; that is the better way, since no successor has to wait then.
    """
    if not force:
        raise click.UsageError("a holder that runs is stopped with SIGTERM; to cut it off all the same add --force")
    if not reason.strip():
        raise click.UsageError("--reason must say why: the next person reads it")
    from prodsafe.lease_store import force_release, terminate

    with _direct_connection() as conn:
        rows = force_release(conn, scope, reason=reason)
        say(f"fenced: {', '.join(row.scope for row in rows)}")
        for pid in sorted({row.lock_pid for row in rows if row.lock_pid is not None}):
            try:
                say(f"server process {pid}: {'terminated' if terminate(conn, pid) else 'was gone already'}")
            except DatabaseRefused as refused:  # fenced it is; the session ends by itself or by a privileged role
                warn(refused.refusals)
    hosts = ", ".join(sorted({f"{row.host} (pid {row.pid})" for row in rows}))
    say(CHECK_AT_VENUE.format(hosts=hosts, grace=max(row.grace_seconds for row in rows)))
    return ExitCode.OK


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--scope", required=True, help="What may be done by one process at a time, e.g. bot-7.")
@click.option(
    "--gate", "gates", multiple=True, metavar="NAME", help="A gate of `prodsafe check` that must pass as well."
)
@click.option("--force", is_flag=True, help="Skip soft gates.")
@click.option(
    "--lease-seconds", type=click.FloatRange(min=0.5), default=LeaseTiming().length_seconds, show_default=True
)
@click.option(
    "--expiry-seconds",
    type=click.FloatRange(min=0),
    default=LeaseTiming().request_expiry_seconds,
    show_default=True,
    help="How long something that the program sent may still take effect; part of a successor's grace.",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(
    scope: str,
    gates: Sequence[str],
    force: bool,
    lease_seconds: float,
    expiry_seconds: float,
    command: Sequence[str],
) -> int:
    """Run COMMAND as the only one of its scope: gates, schema, lease; stopped before the lease can end.

    COMMAND finds its token in PRODSAFE_SCOPE, PRODSAFE_EPOCH and PRODSAFE_HOLDER. Its exit code is passed on (128 + n
    when signal n ended it); 3 when another holds the scope (LOCK_WAIT_SECONDS stands by), 5 when the lease ended.
    When the lease is in danger COMMAND gets SIGTERM at 70 % of its length and SIGKILL at 90 %.
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
        os.environ, env, look_around(os.environ), command, scope=scope, gates=chosen, force=force, timing=timing
    )


def as_table(rows: Sequence[LeaseRow]) -> str:
    """One line a scope, for a terminal. Times are UTC."""
    if not rows:
        return "no scope was ever held in this database"
    head = ("SCOPE", "STATE", "LOCKED", "EPOCH", "SINCE (UTC)", "BEAT", "GRACE", "HOLDER", "REASON")
    lines = [head, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _cells(row: LeaseRow) -> tuple[str, ...]:
    return (
        row.scope,
        row.state,
        "no" if row.lock_pid is None else "yes",
        str(row.epoch),
        f"{row.acquired_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
        "-" if row.beat_age_seconds is None else f"{row.beat_age_seconds:.1f} s ago",
        f"{row.grace_seconds:g} s",
        f"{row.who}@{row.host} pid {row.pid} {row.version}".rstrip(),
        row.reason,
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
