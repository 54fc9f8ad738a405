"""The stages on which RUNBOOK.md is played: for each section the state that it is for, and what must hold after it.

A lane is one database, one venue and the workers of one story; lanes run side by side. Whatever a section leaves to the
platform, to a person at the venue's page or to whoever keeps the database, the stage does in their place.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from urllib.parse import quote

import psycopg

from live import latch
from live.demo import wait_out_boundary
from live.schema import SETS
from live.simulator import DEMO_ACCOUNT, DEMO_API_KEY, DEMO_API_SECRET
from live.simulator.scenarios import LISTINGS
from prodsafe.embedded import EmbeddedPostgres
from prodsafe.embedded_binaries import find_binaries
from prodsafe.lease import account_scope
from prodsafe.migrations import migrate
from tests.processes import PROJECT, Process, Venue, base_environment, entered_and_protected, until, worker_environment
from tests.runbook import Block, Ran, bash, run_block
from tests.standby import standby_of

SCOPE = account_scope("krakenfutures", "main", "prod")
SECOND_KEY, SECOND_SECRET = "second-key-of-the-demo", "c2Vjb25kIHNlY3JldCBvZiB0aGUgZGVtbyBhY2NvdW50"
LANES_AT_ONCE = 3


class Shell(Process):
    """A block that runs until it is told to stop: bash and the worker that it starts, ended together."""

    def __init__(self, block: Block, env: Mapping[str, str], folder: Path, cwd: Path) -> None:
        self.block = block
        words, beside, self.failures = bash(block, folder)
        self.log = folder / f"block-{block.line}.log"
        with self.log.open("w") as log:
            self.popen = subprocess.Popen(
                words, env={**env, **beside}, cwd=cwd, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def end(self) -> None:
        if self.popen.poll() is None:
            os.killpg(self.popen.pid, 9)
            self.popen.wait()


class Theatre:
    """What the lanes share: one PostgreSQL server, a migrated template, a folder."""

    def __init__(self, stack: ExitStack) -> None:
        given = os.environ.get("PRODSAFE_PG_BIN")
        self.binaries = Path(given) if given else None
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="runbook-")))
        self.server = stack.enter_context(EmbeddedPostgres(fsync=False, binaries=self.binaries))
        self._numbers, self._making = count(1), threading.Lock()
        template = self.database("template1")
        migrate(template, SETS, wait_seconds=10.0, report=lambda line: None)
        self.template = template.rpartition("/")[2]

    def database(self, template: str | None = None, *, owner: str = "postgres") -> str:
        """The URL of a new database: with the whole schema, or a copy of `template`."""
        with self._making, psycopg.connect(self.server.url, autocommit=True) as admin:
            name = f"d{next(self._numbers)}"
            admin.execute(f"CREATE DATABASE {name} TEMPLATE {template or self.template} OWNER {owner}")
        return self.server.url_of(name)


class Lane:
    """One story: its database, its venue, who works in it, and the environment that a person has then."""

    def __init__(self, theatre: Theatre, stack: ExitStack, name: str, blocks: Mapping[str, Sequence[Block]]) -> None:
        self.theatre, self.stack = theatre, stack
        self.folder = theatre.folder / name
        self.folder.mkdir()
        self.ran: list[Ran] = []
        self.workers: list[Process] = []
        self._left = {heading: iter(of) for heading, of in blocks.items()}
        self._heading = ""
        self._venue: Venue | None = None
        self._other: EmbeddedPostgres | None = None
        path = [Path(sys.executable).parent, find_binaries(theatre.binaries)[0], base_environment()["PATH"]]
        self.env = worker_environment("", "", SCOPE=SCOPE, PATH=os.pathsep.join(map(str, path)))
        self.work_in(PROJECT)

    # --- what the stages say ------------------------------------------------------------------------------------------

    def enter(self, heading: str) -> None:
        self._heading = heading

    @contextmanager
    def within(self, heading: str) -> Iterator[None]:
        """A section that the one being played sends its reader to, played at that point of it."""
        outer, self._heading = self._heading, heading
        yield
        self._heading = outer

    def _blocks(self) -> Iterator[Block]:
        """Those of this section that are left."""
        return self._left.get(self._heading, iter(()))

    def run(self, **changes: str) -> str:
        """The next block of this section, as it stands; what it printed."""
        ran = run_block(next(self._blocks()), {**self.env, **changes}, self.folder, cwd=self.tree)
        self.ran.append(ran)
        return ran.output

    def rest(self) -> None:
        for block in self._blocks():
            self.ran.append(run_block(block, self.env, self.folder, cwd=self.tree))

    def begin(self, **changes: str) -> Shell:
        """The next block, which runs until it is told to stop: a worker."""
        shell = Shell(next(self._blocks()), {**self.env, **changes}, self.folder, self.tree)
        self.stack.callback(shell.end)
        self.ran.append(Ran(shell.block, "", 0.0))
        self.workers.append(shell)
        return shell

    def start(self, words: Sequence[str], **changes: str) -> Process:
        """A process that a platform starts, not a block."""
        process = Process(list(words), {**self.env, **changes}, self.folder, cwd=self.tree)
        self.stack.callback(process.end)
        if "live.prod_live" in words:
            self.workers.append(process)
        return process

    def worker(self, **changes: str) -> Process:
        """A worker that trades; what the platform restarts."""
        worker = self.start(["-m", "live.prod_live"], **changes)
        looked(worker)
        return worker

    @property
    def worker_at_work(self) -> Process:
        """The one that was started last and has not ended."""
        return next(each for each in reversed(self.workers) if each.popen.poll() is None)

    # --- what is around -----------------------------------------------------------------------------------------------

    @property
    def venue(self) -> Venue:
        assert self._venue is not None
        return self._venue

    def open_venue(self) -> Venue:
        """A new market that stands still; two keys of one account are good there."""
        accounts = self.folder / "accounts.json"
        keys = [(DEMO_API_KEY, DEMO_API_SECRET), (SECOND_KEY, SECOND_SECRET)]
        accounts.write_text(
            json.dumps([{"name": DEMO_ACCOUNT, "api_key": key, "api_secret": secret} for key, secret in keys])
        )
        wait_out_boundary()
        words = ["-m", "live.simulator", "--scenario", "still", "--accounts", str(accounts)]
        simulator = self.start(words)
        until(lambda: "EXCHANGE_URL=" in simulator.text() and "\n" in simulator.text(), simulator)
        self._venue = Venue(simulator.text().splitlines()[0].removeprefix("EXCHANGE_URL="))
        self.env["EXCHANGE_URL"] = self._venue.url
        return self._venue

    def work_in(self, tree: Path) -> None:
        """A release's folder: what is imported is its."""
        self.tree = tree
        self.env["PYTHONPATH"] = str(tree)

    def other_server(self) -> EmbeddedPostgres:
        """A PostgreSQL of this lane's own: another cluster than the one that all share."""
        if self._other is None:
            self._other = self.stack.enter_context(EmbeddedPostgres(fsync=False, binaries=self.theatre.binaries))
        return self._other

    def use(self, database_url: str) -> None:
        self.env |= {"DATABASE_URL": database_url, "LOCK_DATABASE_URL": database_url}

    def lease(self) -> tuple[int, int]:
        """(pid, epoch) of the account's last holder, as `prodsafe lock status` shows them."""
        with psycopg.connect(self.env["DATABASE_URL"]) as conn:
            row = conn.execute("SELECT pid, epoch FROM prodsafe.lease WHERE scope = %s", [SCOPE]).fetchone()
        assert row is not None
        return int(row[0]), int(row[1])

    def kinds(self) -> list[str]:
        with psycopg.connect(self.env["DATABASE_URL"]) as conn:
            return [kind for (kind,) in conn.execute("SELECT kind FROM live.event ORDER BY id").fetchall()]

    def old_worker(self) -> int:
        return self.lease()[0]

    def stranger(self) -> None:
        """A person buys by hand; return when the worker has adopted it and its stop rests."""
        self.env["SYMBOL"] = "ETH/USD:USD"
        self.venue.post("/sim/fill", {"symbol": "PF_ETHUSD", "side": "buy", "qty": "1"})
        wait_for(lambda: len(self.venue.open_orders("-s")) == 1)

    def is_flat(self) -> bool:
        return not self.venue.get("/sim/positions") and not any(o["open"] for o in self.venue.get("/sim/orders"))

    def one_stop(self) -> str:
        """The stop that rests: exactly one, whatever happened."""
        stops = self.venue.open_orders("-s")
        assert len(stops) == 1, stops
        return str(stops[0]["order_id"])


def looked(worker: Process, looks: int = 2) -> None:
    """Until the worker trades, and has looked so many times more."""
    until(lambda: '"trading"' in worker.text(), worker, 60)
    before = worker.text().count('"tick"')
    until(lambda: worker.text().count('"tick"') >= before + looks, worker)


def symbol_of(venue: Venue) -> str:
    """ccxt's name of what the stop protects."""
    venue_id = venue.open_orders("-s")[0]["symbol"].upper()
    return next(listed.symbol for listed in LISTINGS if listed.venue_id.upper() == venue_id)


def wait_for(holds: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.1)


Stage = Callable[[Lane], None]
_LANES: dict[str, dict[str, Stage]] = {}


def plays(lane: str, *headings: str) -> Callable[[Stage], Stage]:
    """The function sets the stage for these sections; the sections of a lane are played in the order of this file."""

    def register(stage: Stage) -> Stage:
        for heading in headings:
            _LANES.setdefault(lane, {})[heading] = stage
        return stage

    return register


# --- a desk: one worker, and a person who looks -----------------------------------------------------------------------


@plays("desk", "First look")
def first_look(lane: Lane) -> None:
    lane.use(lane.theatre.database())
    lane.open_venue()
    worker = lane.start(["-m", "live.prod_live"])
    entered_and_protected(worker, lane.venue)
    looked(worker)
    lane.env["SYMBOL"] = symbol_of(lane.venue)

    assert "HEALTHY" in lane.run()
    lane.rest()


@plays("desk", "Halt and resume")
def halt_and_resume(lane: Lane) -> None:
    stop = lane.one_stop()
    assert "halted" in lane.run()
    wait_for(lambda: not lane.venue.open_orders("-e"))
    lane.run()
    assert "resumed" in lane.run()

    assert lane.one_stop() == stop


_DESK = (
    *("L01 lease-held", "L02 lease-lost", "L08 lease-no-privilege", "L10 lease-unreadable", "L14 lease-tables-foreign"),
    *("V08 exchange-credentials-unusable", "R02 not-reconciled", "R20 journal-unavailable", "R21 journal-fenced"),
    *("R22 store-unreadable", "H01 health-address", "H04 which-account", "H06 candles-unusable"),
    *("H07 nothing-to-replay", "H08 report-not-written", "H11 lease-not-fresh", "H12 database-not-readable"),
    *("H13 venue-not-readable", "H14 not-reconciled", "H15 position-unprotected", "H16 tick-overdue"),
    *("H17 loop-blocked", "H20 nothing-known-of-symbol", "H25 latch-moved", "H27 search-too-long"),
)


@plays("desk", *_DESK)
def refusals_beside_a_worker(lane: Lane) -> None:
    """Their commands look, or change nothing that a worker at work would feel."""
    if "CANDLES" not in lane.env:
        _give_what_they_name(lane)
    lane.rest()


def _give_what_they_name(lane: Lane) -> None:
    """The role, the file and the range that a person would put into the commands."""
    with psycopg.connect(lane.env["DATABASE_URL"], autocommit=True) as conn:
        conn.execute("CREATE ROLE runbook_worker LOGIN")
        range_ = conn.execute(
            "SELECT max(opened_at) - interval '2 days', max(opened_at) FROM live.candle"
            " WHERE symbol = %s AND timeframe_seconds = 900",
            [lane.env["SYMBOL"]],
        ).fetchone()
    assert range_ is not None
    candles = lane.folder / "candles.csv"
    words = [sys.executable, "-m", "live", "candles", "--scenario", "mixed", "--bars", "200"]
    with candles.open("w") as file:
        subprocess.run([*words, "--symbol", lane.env["SYMBOL"]], stdout=file, env=lane.env, cwd=PROJECT, check=True)
    lane.env |= {
        "WORKER_ROLE": "runbook_worker", "LEDGER_OWNER": "postgres", "CANDLES": str(candles),
        "FROM": range_[0].isoformat(), "TO": range_[1].isoformat(), "REPORT": str(lane.folder / "report"),
        "TEXT": lane.venue.open_orders("-s")[0]["client_order_id"],
    }  # fmt: skip


@plays("desk", "H03 no-account")
def before_any_worker(lane: Lane) -> None:
    url = lane.theatre.database()

    assert "halted" in lane.run(DATABASE_URL=url, LOCK_DATABASE_URL=url)


@plays("desk", "H22 flatten-not-confirmed")
def everything_is_closed(lane: Lane) -> None:
    assert "flat: nothing is held" in lane.run()
    assert lane.is_flat()


@plays("desk", "H24 flatten-still-open")
def a_flatten_that_is_still_open(lane: Lane) -> None:
    with _a_flatten_that_cannot_end(lane):
        refused = lane.start(["-m", "live", "resume", "--reason", "on"])
        assert refused.wait() == 1 and "H24" in refused.text()

        assert "withdrawn" in lane.run()


@plays("desk", "Flatten by hand")
def flatten_by_hand(lane: Lane) -> None:
    assert "flat: nothing is held" in lane.run()
    lane.stranger()
    assert "flat: nothing is held" in lane.run()
    assert lane.is_flat()

    with _a_flatten_that_cannot_end(lane):
        assert "withdrawn" in lane.run()
    assert lane.worker_at_work.terminate() == 0

    assert "flat: nothing is held" in lane.run()
    assert lane.is_flat()


@contextmanager
def _a_flatten_that_cannot_end(lane: Lane) -> Iterator[None]:
    """A position that the venue does not let go, and somebody who wants it closed."""
    lane.stranger()
    rule = {"kind": "result_error", "path": "sendorder", "where": {"cliOrdId": "*-x"}, "error": "apiLimitExceeded"}
    lane.venue.post("/sim/faults", {"rules": [rule]})
    words = ["-m", "live", "flatten", "--all", "--reason", "enough", "--yes", SCOPE, "--wait", "1"]
    waited = lane.start(words)
    assert waited.wait() == 1, waited.text()
    yield
    lane.venue.post("/sim/faults", {"rules": []})


@plays("desk", "H10 worker-not-trading")
def nobody_trades(lane: Lane) -> None:
    assert "STOPPED" in lane.run()


@plays("desk", "H21 no-worker-to-flatten")
def nobody_would_close_anything(lane: Lane) -> None:
    lane.run()
    assert lane.is_flat()


# --- releases: an empty database, and three of them after each other --------------------------------------------------

_EXPAND = "-- lock: none, a new table\nCREATE TABLE live.note (id bigint PRIMARY KEY, text text NOT NULL);\n"
_CONTRACT = "-- lock: ACCESS EXCLUSIVE on live.note for milliseconds\nDROP TABLE live.note;\n"


def _release(lane: Lane, name: str, **files: str) -> None:
    """From here on the lane works with another release: this one and migrations of its own."""
    tree = lane.folder / name
    shutil.copytree(PROJECT / "live", tree / "live")  # compiled files too: they are as good there
    shutil.copy(PROJECT / "migrate_schema.py", tree)
    newest = max(int(path.name[:4]) for path in (tree / "live" / "migrations").glob("*.sql"))
    for number, (file, text) in enumerate(files.items(), newest + 1):
        (tree / "live" / "migrations" / f"{number:04}_{file}.sql").write_text(text)
    lane.work_in(tree)


@plays("releases", "First deploy")
def first_deploy(lane: Lane) -> None:
    lane.use(lane.theatre.database("template1"))
    lane.open_venue()
    lane.run()
    assert "applied live" in lane.run()
    lane.run()
    worker = lane.begin()
    looked(worker)
    assert not lane.venue.sent(), "halted: it looks and enters nothing"
    assert "HALTED" in lane.run()
    assert "resumed" in lane.run()
    lane.stranger()


def _hand_over(lane: Lane) -> None:
    """Two workers and one stop: the old one ends cleanly, the new one needs no grace."""
    stop, old = lane.one_stop(), lane.old_worker()
    new = lane.begin()
    until(lambda: "standing by" in new.text(), new)
    lane.run(OLD_PID=str(old))
    looked(new)
    assert "waiting out the grace" not in new.text()
    lane.rest()
    assert lane.one_stop() == stop


@plays("releases", "Upgrade prodsafe")
def upgrade(lane: Lane) -> None:
    _release(lane, "second", expand_add_note=_EXPAND)
    assert "0004_expand_add_note" in lane.run()
    with lane.within("Rolling deploy"):
        lane.run()
        _hand_over(lane)
    lane.rest()
    lane.one_stop()


@plays("releases", "Roll back")
def roll_back(lane: Lane) -> None:
    """The platform starts the older release beside the newer worker, and does not stop that one by itself."""
    lane.work_in(PROJECT)
    lane.rest()
    migrated = lane.start(["migrate_schema.py"])
    assert migrated.wait() == 0, migrated.text()
    new = lane.start(["-m", "live.prod_live"], LOCK_WAIT_SECONDS="60")
    until(lambda: "standing by" in new.text(), new)
    with lane.within("A deploy that hangs"):
        lane.run(OLD_PID=str(lane.old_worker()))
    looked(new)
    lane.one_stop()


@plays("releases", "Deploy with contract migrations")
def deploy_with_contract_migrations(lane: Lane) -> None:
    _release(lane, "third", expand_add_note=_EXPAND, contract_drop_note=_CONTRACT)
    assert "0005_contract_drop_note" in lane.run()
    assert "deferred" in lane.run()
    with lane.within("Hand over"):
        _hand_over(lane)
    assert "applied live 0005_contract_drop_note" in lane.run()
    lane.rest()
    lane.one_stop()

    older = subprocess.run(
        [sys.executable, "migrate_schema.py", "--plan"],
        env=lane.env | {"PYTHONPATH": str(PROJECT)}, cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert older.returncode == 4 and "M04" in older.stderr, "as the section says of the older release"


@plays("releases", "A worker that is restarted again and again")
def restarted_again_and_again(lane: Lane) -> None:
    lane.rest()


# --- bad days: a stranger, a venue that is gone, a machine that nobody reaches, two keys ------------------------------


@plays("bad days", "Thaw a frozen symbol")
def thaw_a_frozen_symbol(lane: Lane) -> None:
    lane.env["LIVE_FOREIGN_POSITIONS"] = "freeze"
    lane.use(lane.theatre.database())
    lane.open_venue()
    lane.env["SYMBOL"] = "ETH/USD:USD"
    lane.worker()
    lane.venue.post("/sim/fill", {"symbol": "PF_ETHUSD", "side": "buy", "qty": "1"})
    wait_for(lambda: "symbol_frozen" in lane.kinds())
    assert "is frozen" in lane.run()

    lane.venue.post("/sim/fill", {"symbol": "PF_ETHUSD", "side": "sell", "qty": "1"})
    assert "thaws at its next look" in lane.run()
    wait_for(lambda: "person_asked" in lane.kinds())
    looked(lane.worker_at_work)
    assert "symbol_frozen" not in lane.kinds()[lane.kinds().index("person_asked") :]


@plays("bad days", "Venue outage")
def venue_outage(lane: Lane) -> None:
    worker = lane.worker_at_work
    if not lane.venue.open_orders("-s"):
        entered_and_protected(worker, lane.venue)
    stop = lane.one_stop()
    lane.venue.post("/sim/faults", {"rules": [{"kind": "html", "path": "*", "status": 502}]})
    ticks = worker.text().count('"tick"')
    until(lambda: worker.text().count('"tick"') >= ticks + 4, worker)
    assert "H13" in lane.run()
    lane.run()
    lane.venue.post("/sim/faults", {"rules": []})
    looked(worker, 3)
    lane.rest()

    assert lane.one_stop() == stop


@plays("bad days", "Recovery after kill -9")
def recovery_after_kill(lane: Lane) -> None:
    worker, stop = lane.worker_at_work, lane.one_stop()
    worker.popen.kill()
    worker.wait()
    time.sleep(3)  # whoever is woken looks later than that

    assert "NO WORKER" in lane.run()
    successor = lane.worker()
    assert "waiting out the grace" in successor.text()
    assert "unclean" in lane.run()

    assert lane.one_stop() == stop


@plays("bad days", "Take over by force")
def take_over_by_force(lane: Lane) -> None:
    old, stop = lane.worker_at_work, lane.one_stop()
    lane.run()
    assert "fenced" in lane.run()
    assert old.wait() == 5, old.text()
    lane.worker()
    lane.rest()

    assert lane.one_stop() == stop


@plays("bad days", "Rotate the API key")
def rotate_the_api_key(lane: Lane) -> None:
    stop = lane.one_stop()
    keys = {"NEW_API_KEY": SECOND_KEY, "NEW_API_SECRET": SECOND_SECRET}
    lane.run(**keys)
    old = lane.old_worker()
    new = lane.begin(**keys)
    until(lambda: "standing by" in new.text(), new)
    lane.run(OLD_PID=str(old))
    looked(new)
    lane.env |= {"EXCHANGE_API_KEY": SECOND_KEY, "EXCHANGE_API_SECRET": SECOND_SECRET}
    shown = lane.run()
    assert shown.count("key/krakenfutures/") >= 2

    assert lane.one_stop() == stop


@plays("bad days", "Lost or leaked credentials")
def lost_or_leaked_credentials(lane: Lane) -> None:
    lane.rest()
    lane.one_stop()


# --- two workers: what no lease can see -------------------------------------------------------------------------------


@plays("two workers", "Suspected double trading")
def suspected_double_trading(lane: Lane) -> None:
    """As after a failover: the older worker lives on in a database of its own, and the venue tells it of the later."""
    lane.open_venue()
    lane.use(lane.theatre.database())
    lane.env["OTHER_DATABASE_URL"] = other = lane.env["DATABASE_URL"]
    with psycopg.connect(other, autocommit=True) as conn:
        latch.set_halt(conn, SCOPE, reason="it holds nothing", who="test")
    old = lane.worker()
    lane.use(lane.theatre.database())
    new = lane.start(["-m", "live.prod_live"])
    until(lambda: bool(lane.venue.open_orders("-e")), new)
    assert old.wait() == 5 and "R05" in old.text()
    entered_and_protected(new, lane.venue)

    lane.rest()

    epochs = {request["client_order_id"].split("-")[2] for request in lane.venue.sent()}
    assert len(epochs) == 1, "the venue's ledger shows one sender"
    lane.one_stop()


# --- keepers of the database ------------------------------------------------------------------------------------------


@plays("database", "Rotate the database password")
def rotate_the_database_password(lane: Lane) -> None:
    with psycopg.connect(lane.theatre.server.url, autocommit=True) as admin:
        admin.execute("CREATE ROLE runbook_app LOGIN PASSWORD 'before'")
    url = lane.theatre.database("template1", owner="runbook_app")

    def with_password(password: str) -> str:
        return re.sub("//[^@]+@", f"//runbook_app:{quote(password, safe='')}@", url)

    lane.use(with_password("before"))
    lane.open_venue()
    migrated = lane.start(["migrate_schema.py"])
    assert migrated.wait() == 0, migrated.text()
    old = lane.start(["-m", "live.prod_live"])
    looked(old)
    new_password = "after: o'clock/50%"
    lane.run(NEW_PASSWORD=new_password)
    refused = lane.start(["-m", "live.prod_live", "--check"]), lane.start(["migrate_schema.py"])
    assert refused[1].wait() == 1 and "P02" in refused[1].text()
    lane.run(NEW_DATABASE_URL=with_password(new_password))
    lane.use(with_password(new_password))
    assert old.terminate() == 0, "its sessions are open still"
    lane.worker()
    lane.rest()


@plays("database", "Restore from backup")
def restore_from_backup(lane: Lane) -> None:
    """The backup is older than the stop; the restored database lies on another cluster."""
    assert lane.worker_at_work.terminate() == 0
    lane.use(lane.theatre.database())
    lane.open_venue()
    lane.env["BACKUP"] = str(lane.folder / "backup.dump")
    worker = lane.start(["-m", "live.prod_live"])
    until(lambda: bool(lane.venue.open_orders("-e")), worker)
    lane.run()
    entered_and_protected(worker, lane.venue)
    assert worker.terminate() == 0, worker.text()
    epoch = lane.lease()[1]
    lane.use(lane.other_server().url)

    lane.run()
    lane.run()
    lane.run()
    refused = lane.start(["-m", "live.prod_live"])
    assert refused.wait() == 1 and "L06" in refused.text(), refused.text()
    lane.run()
    refused = lane.start(["-m", "live.prod_live"])
    assert refused.wait(60) == 6 and "R04" in refused.text(), refused.text()
    unknown = lane.venue.open_orders("-s")[0]["client_order_id"]
    named = set(re.findall(r"ps-[0-9a-z-]+", refused.text()))
    assert unknown in named
    for client_order_id in named:
        lane.venue.post("/sim/cancel", {"client_order_id": client_order_id})
    lane.worker()
    lane.rest()

    lane.one_stop()
    assert lane.venue.open_orders("-s")[0]["client_order_id"] != unknown
    assert lane.lease()[1] > epoch, "none is used twice"


@plays("database", "Database failover")
def database_failover(lane: Lane) -> None:
    old, stop, epoch = lane.worker_at_work, lane.one_stop(), lane.lease()[1]
    primary = lane.other_server()
    standby = lane.stack.enter_context(standby_of(primary, lane.folder / "standby", lane.theatre.binaries))
    primary.stop()
    assert old.wait() == 5, old.text()
    with psycopg.connect(standby.url, autocommit=True) as conn:
        conn.execute("SELECT pg_promote()")
    lane.use(standby.url)

    assert lane.run().startswith("f|0000000")
    lane.run()
    lane.worker()
    lane.rest()

    assert lane.one_stop() == stop
    assert lane.lease()[1] > epoch + 1000, "it leapt to the clock"


def play(blocks: Sequence[Block], lanes: Sequence[str] = ()) -> tuple[list[Ran], Mapping[str, str]]:
    """The lanes, all unless some are named, side by side."""
    by_heading: dict[str, list[Block]] = {}
    for block in blocks:
        by_heading.setdefault(block.heading, []).append(block)
    with ExitStack() as stack:
        theatre = Theatre(stack)
        with ThreadPoolExecutor(LANES_AT_ONCE) as pool:
            told = list(pool.map(lambda name: _play_lane(theatre, name, by_heading), lanes or _LANES))
    return [ran for each, _ in told for ran in each], {h: why for _, failed in told for h, why in failed.items()}


def _play_lane(
    theatre: Theatre, name: str, blocks: Mapping[str, Sequence[Block]]
) -> tuple[list[Ran], Mapping[str, str]]:
    with ExitStack() as stack:
        lane = Lane(theatre, stack, name, blocks)
        for heading, stage in _LANES[name].items():
            try:
                lane.enter(heading)
                stage(lane)
            except Exception:  # noqa: BLE001 - whatever it is: the report tells it, and what follows has no stage
                return lane.ran, {heading: traceback.format_exc()[-3000:]}
    return lane.ran, {}
