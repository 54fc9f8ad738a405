"""What several commands of `python -m live` share: options, their readings, the environment. [S]"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from prodsafe.errors import GateRefused, RefusalKind
from prodsafe.output import register_secrets
from prodsafe.values import read_seconds

if TYPE_CHECKING:
    from live.reader import Reader
    from prodsafe.environment import Environment
    from prodsafe.postgres import Connection

FC = TypeVar("FC", bound=Callable[..., Any])

OPERATOR_DATABASE = RefusalKind("H05", "operator-database")

json_option = click.option("--json", "as_json", is_flag=True, help="The same as data, one JSON value.")
scope_option = click.option(
    "--scope",
    help="The account, as `status` prints it. Else ENVIRONMENT, EXCHANGE_ID and EXCHANGE_ACCOUNT name it, else it is"
    " the only one in the database.",
)
watch_option = click.option(
    "--watch",
    "every_seconds",
    is_flag=False,
    flag_value="2",
    metavar="[SECONDS]",
    type=click.FloatRange(0.2, 3600),
    help="Look again every 2 (or so many) seconds until Ctrl-C: redrawn in a terminal; into a pipe what changed is"
    " appended, with --json one value a line.",
)


def reason_option(help_text: str) -> Callable[[FC], FC]:
    """--reason TEXT: required, and asked for where a person sits at a terminal."""
    return click.option("--reason", callback=_reason, help=f"{help_text} Asked for at a terminal, else required.")


def _reason(context: click.Context, parameter: click.Parameter, text: str | None) -> str:
    from live.terminal import ask_line, can_ask

    if text is None and can_ask() and not context.params.get("as_json"):
        text = ask_line(f"why {context.info_name}? ")
    if text is None:
        raise click.MissingParameter(ctx=context, param=parameter)
    if not text.strip():
        raise click.BadParameter("say why, in words")
    return text.strip()


@dataclass(frozen=True, slots=True)
class Operator:
    """What was asked for. `scope` as given with --scope; `url` of the worker's database."""

    environment: Environment
    url: str
    scope: str | None

    @contextmanager
    def reading(self) -> Iterator[tuple[Reader, str]]:
        """A reader, and the account that is meant. Raises DatabaseRefused or GateRefused."""
        from live.operators import choose_scope, scope_of
        from live.reader import open_reader

        with open_reader(self.url, application_name="live/operator") as reader:
            yield reader, choose_scope(self.scope, scope_of(self.environment), reader.scopes())


def operator_of(scope: str | None) -> Operator:
    environment = this_environment()
    return Operator(environment, database_url(environment), scope)


@contextmanager
def writing(url: str) -> Iterator[Connection]:
    """A connection that may write the latch; PostgreSQL's refusals become ours."""
    import psycopg

    from live.reader import unreadable
    from prodsafe.postgres import connect

    with connect(url, application_name="live/operator") as connection:
        try:
            with connection.transaction():  # for its length only: what a session sets leaks through a pooler
                connection.execute("SET LOCAL lock_timeout = 3000")
                yield connection
        except psycopg.Error as error:
            raise unreadable(error) from error


def is_alive(reader: Reader, account: str) -> bool:
    """Whether a worker holds the account now."""
    from live.reader import is_beating

    lease = reader.lease(account)
    return lease is not None and is_beating(lease)


def nobody_watches(reader: Reader, account: str) -> str:
    """What to say beside an answer that nobody keeps up to date; blank while a worker does."""
    if is_alive(reader, account):
        return ""
    return f"no worker holds {account} now: this is the journal's last word, the venue's may differ"


def who() -> str:
    """The person, for the record: user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def now() -> datetime:
    return datetime.now(UTC)


def utc(_context: click.Context, _parameter: click.Parameter, text: str | None) -> datetime | None:
    """ISO 8601; a time without a zone is UTC, as every time here is."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no date or time, as 2026-03-01 or 2026-03-01T12:00Z") from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def seconds(_context: click.Context, _parameter: click.Parameter, text: str | None) -> float | None:
    try:
        return None if text is None else read_seconds(text)
    except ValueError as wrong:
        raise click.BadParameter(f"{text!r} {wrong}") from None


def this_environment() -> Environment:
    """Read the environment, once."""
    from prodsafe.environment import read_environment

    environment = read_environment(os.environ)
    register_secrets(environment.secrets())
    return environment


def database_url(environment: Environment) -> str:
    """Raises GateRefused where the environment names no usable database."""
    if environment.database_url is None:
        malformed = [each for each in environment.problems if (each.seen or "").startswith("DATABASE_URL=")]
        missing = OPERATOR_DATABASE.because(
            "DATABASE_URL is not set; operators' commands look into the worker's database",
            mend="set DATABASE_URL as the worker has it",
        )
        raise GateRefused(*(malformed or [missing]))
    return environment.database_url
