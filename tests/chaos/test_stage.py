"""Each tool of the stage does what a fault schedule relies on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio
from psycopg import AsyncConnection

from live.simulator.world import Customer
from tests.chaos.stage.cluster import Cluster
from tests.chaos.stage.proxy import Proxy
from tests.chaos.stage.venue import SimulatedVenue
from tests.chaos.stage.zygote import PROJECT, Child, Zygote, ZygoteEnded

pytestmark = pytest.mark.asyncio(loop_scope="module")

PRELOAD = ["tests.chaos.stage.venue", "tests.chaos.stage_players"]
PLAYERS = "tests.chaos.stage_players"
SILENCE_SECONDS = 0.1
SOON_SECONDS = 10


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def zygote() -> AsyncIterator[Zygote]:
    async with Zygote(PRELOAD) as zygote:
        yield zygote


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory, postgres_binaries: Path | None) -> AsyncIterator[Cluster]:
    async with Cluster(tmp_path_factory.mktemp("cluster"), binaries=postgres_binaries) as cluster:
        yield cluster


@pytest.fixture
def play(zygote: Zygote, tmp_path: Path) -> Callable[..., object]:
    def play(function: str, **arguments: object) -> object:
        return zygote.start(f"{PLAYERS}:{function}", arguments, environ={"A": "b"}, log=tmp_path / "log")

    return play


def alive(pid: int) -> bool:
    """Whether it is there and more than an unreaped remainder."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON_SECONDS):
        while not reached():
            await asyncio.sleep(0.01)


# --- zygote --------------------------------------------------------------------------------------------------------


async def test_a_child_has_its_own_environment_group_log_and_chance(play, tmp_path):
    children = [await play("introduce", code=code) for code in (0, 3)]
    codes = [await child.wait(SOON_SECONDS) for child in children]

    facts = sorted(map(json.loads, (tmp_path / "log").read_text().splitlines()), key=lambda f: f["arguments"]["code"])
    assert codes == [0, 3]
    assert [f["group"] for f in facts] == [child.pid for child in children]
    assert all((f["environ"], f["stdin"], f["sigterm"]) == ({"A": "b"}, "", True) for f in facts)
    assert facts[0]["random"] != facts[1]["random"] and facts[0]["uuid"] != facts[1]["uuid"]


async def test_every_way_to_leave_gives_its_exit_code(play, tmp_path):
    ways = [("leave", {"with": 5}), ("leave", {"with": None}), ("leave", {"with": "a reason"}), ("fail", {})]

    codes = [await (await play(function, **arguments)).wait(SOON_SECONDS) for function, arguments in ways]

    assert codes == [5, 0, 1, 70]
    assert "a reason" in (tmp_path / "log").read_text() and "nobody expected this" in (tmp_path / "log").read_text()


async def test_a_frozen_and_a_killed_child_are_reported(play):
    child: Child = await play("linger")

    child.stop()
    assert await child.wait_stopped(SOON_SECONDS) and child.stopped
    child.resume()
    await until(lambda: not child.stopped)
    with pytest.raises(TimeoutError):
        await child.wait(0.01)
    child.stop()
    child.kill()

    assert await child.wait(SOON_SECONDS) == -9 == child.returncode
    assert not await child.wait_stopped(SOON_SECONDS), "it has ended instead"
    child.kill()  # nothing to kill, and nobody else either


async def test_a_child_that_stops_itself_is_seen_standing_until_it_is_resumed(play):
    child: Child = await play("stand_still")

    assert await child.wait_stopped(SOON_SECONDS)
    child.resume()

    assert await child.wait(SOON_SECONDS) == 0


async def test_children_of_one_zygote_talk_to_the_database_side_by_side(play, cluster):
    url = cluster.url_of("postgres")

    children = [await play("query", url=url, number=number) for number in range(5)]

    assert [await child.wait(SOON_SECONDS) for child in children] == [1, 2, 3, 4, 5]


async def test_who_waits_for_a_child_is_told_that_the_zygote_died(tmp_path):
    async with Zygote([PLAYERS]) as mortal:
        child = await mortal.start(f"{PLAYERS}:stand_still", {}, environ={}, log=tmp_path / "log")
        await child.wait_stopped(SOON_SECONDS)

        os.kill(mortal.pid, 9)

        with pytest.raises(ZygoteEnded):
            await child.wait(SOON_SECONDS)
        with pytest.raises(ZygoteEnded):
            await mortal.start(f"{PLAYERS}:stand_still", {}, environ={}, log=tmp_path / "log")
        await until(lambda: not alive(child.pid))


async def test_a_zygote_that_cannot_import_says_so(capfd):
    with pytest.raises(ZygoteEnded, match="exit code 1"):
        await Zygote(["no_such_module"]).__aenter__()

    assert "no_such_module" in capfd.readouterr().err


# --- proxy ---------------------------------------------------------------------------------------------------------


class Wire:
    """A proxy with both of its ends in our hands."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.opened: list[asyncio.StreamWriter] = []
        self.arrivals: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def call(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        opened = await asyncio.open_connection("127.0.0.1", self.proxy.port)
        self.opened.append(opened[1])
        return opened

    async def pair(
        self,
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection: what the client reads and writes, what the server reads and writes."""
        client = await self.call()
        server = await self.arrivals.get()
        self.opened.append(server[1])
        return (*client, *server)


@pytest_asyncio.fixture(loop_scope="module")
async def wire() -> AsyncIterator[Wire]:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.arrivals.put((reader, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with Proxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
        wire = Wire(proxy)
        yield wire
        for writer in wire.opened:
            writer.close()
    server.close()


async def silent(reader: asyncio.StreamReader) -> bool:
    """Neither bytes nor an end nor an error come for a moment."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SILENCE_SECONDS):
            await reader.read(1)
            return False
    return True


async def is_reset(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(SOON_SECONDS):
            await reader.read()
            return False
    except ConnectionResetError:
        return True


async def test_a_cut_is_silent_for_both_sides_and_after_it_heals_what_lost_bytes_is_reset(wire):
    hears, says, server_hears, server_says = await wire.pair()

    wire.proxy.cut()
    says.write(b"lost")
    server_says.write(b"lost too")
    assert await silent(hears) and await silent(server_hears)
    late_hears, late_says = await wire.call()
    late_says.write(b"is anybody there?")
    assert await silent(late_hears) and wire.arrivals.empty(), "accepted, and it hangs"
    wire.proxy.heal()

    assert [await is_reset(reader) for reader in (hears, server_hears, late_hears)] == [True, True, True]
    _, says, server_hears, _ = await wire.pair()
    says.write(b"new")
    assert await server_hears.readexactly(3) == b"new"


async def test_a_cut_in_one_direction_lets_the_other_pass(wire):
    hears, says, server_hears, server_says = await wire.pair()

    wire.proxy.cut(up=False, down=True)
    says.write(b"arrives")
    server_says.write(b"lost")

    assert await server_hears.readexactly(7) == b"arrives"
    assert await silent(hears)


async def test_a_connection_that_said_nothing_during_the_cut_goes_on(wire):
    hears, says, server_hears, server_says = await wire.pair()

    wire.proxy.cut()
    wire.proxy.heal()
    says.write(b"up")
    server_says.write(b"down")

    assert (await server_hears.readexactly(2), await hears.readexactly(4)) == (b"up", b"down")


async def test_a_death_behind_a_cut_is_not_told(wire):
    _, says, server_hears, _ = await wire.pair()
    _, other_says, other_server_hears, _ = await wire.pair()
    no_lingering = struct.pack("ii", 1, 0)
    other_says.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_lingering)

    wire.proxy.cut(up=True, down=False)
    says.close()  # FIN
    other_says.transport.abort()  # RST
    assert await silent(server_hears) and await silent(other_server_hears)
    wire.proxy.heal()

    assert await is_reset(server_hears) and await is_reset(other_server_hears)


async def test_ends_and_resets_pass_an_open_way(wire):
    hears, says, server_hears, server_says = await wire.pair()
    says.write(b"last words")
    says.write_eof()
    assert await server_hears.read() == b"last words"
    server_says.write(b"answer")
    server_says.close()
    assert await hears.read() == b"answer"

    hears, says, server_hears, server_says = await wire.pair()
    wire.proxy.reset()
    assert await is_reset(hears) and await is_reset(server_hears)
    assert wire.proxy.links == []


async def test_delayed_bytes_come_late_and_in_order(wire):
    _, says, server_hears, _ = await wire.pair()

    wire.proxy.delay(up=0.15)
    says.write(b"first ")
    assert await silent(server_hears)
    wire.proxy.delay()
    says.write(b"second")
    says.write_eof()

    assert await server_hears.read() == b"first second"


async def test_more_than_the_sockets_hold_passes_whole(wire):
    _, says, server_hears, _ = await wire.pair()
    much = os.urandom(1 << 20) * 8

    says.write(much)
    await asyncio.sleep(SILENCE_SECONDS)  # nobody reads: everybody on the way must wait
    says.write_eof()

    assert await server_hears.read() == much


async def test_a_new_target_is_for_new_connections_and_one_that_refuses_is_a_reset(wire, free_port):
    _, says, server_hears, _ = await wire.pair()

    wire.proxy.retarget("127.0.0.1", free_port)
    hears, _ = await wire.call()
    says.write(b"old")

    assert await is_reset(hears)
    assert await server_hears.readexactly(3) == b"old"


async def test_an_address_is_rewritten_for_the_proxy(wire):
    port = wire.proxy.port

    assert wire.proxy.url_for("postgresql://me:p%40ss@db.example:5432/x?sslmode=prefer") == (
        f"postgresql://me:p%40ss@127.0.0.1:{port}/x?sslmode=prefer"
    )
    assert wire.proxy.url_for("http://127.0.0.1:8000") == f"http://127.0.0.1:{port}"


@pytest_asyncio.fixture(loop_scope="module")
async def pooler(cluster: Cluster) -> AsyncIterator[Proxy]:
    async with Proxy("127.0.0.1", cluster.port) as proxy:
        yield proxy


async def connect(url: str, name: str) -> AsyncConnection[tuple[object, ...]]:
    return await AsyncConnection.connect(url, autocommit=True, application_name=name)


async def test_an_injected_discard_strips_the_lock_and_the_client_sees_nothing(cluster, pooler):
    url = await cluster.make_database()
    async with await connect(pooler.url_for(url), "prodsafe/main/1") as holder:
        await holder.execute("SELECT pg_try_advisory_lock(7)")

        assert await pooler.inject("DISCARD ALL", application_name_prefix="prodsafe/")

        [(taken,)] = await cluster.execute("SELECT pg_try_advisory_lock(7)", database=url.rpartition("/")[2])
        assert taken, "the holder has lost it"
        assert await (await holder.execute("SELECT 'still here'")).fetchone() == ("still here",)
        assert await pooler.inject("SELECT 1", application_name_prefix="prodsafe/"), "and again"


async def test_an_injection_waits_for_an_idle_moment_and_says_when_there_is_none(cluster, pooler):
    async with await connect(pooler.url_for(cluster.url_of("postgres")), "prodsafe/main/1") as holder:
        async with holder.transaction():
            await holder.execute("SELECT 1")
            assert not await pooler.inject("SELECT 1", application_name_prefix="prodsafe/", timeout=SILENCE_SECONDS)
            waiting = asyncio.create_task(pooler.inject("SELECT 1", application_name_prefix="prodsafe/"))
        assert await waiting

        assert not await pooler.inject("SELECT 1", application_name_prefix="somebody else")
        assert not await pooler.inject("no SQL", application_name_prefix="prodsafe/")
        assert await (await holder.execute("SELECT 1")).fetchone() == (1,)


# --- cluster -------------------------------------------------------------------------------------------------------


async def test_a_promoted_standby_is_writable_on_the_next_timeline_and_lacks_what_it_had_not_received(cluster):
    await cluster.execute("CREATE TABLE received (number int)")
    standby = await cluster.add_standby()
    await cluster.execute("INSERT INTO received VALUES (1)")
    await standby.caught_up()

    await standby.freeze()
    await cluster.execute("INSERT INTO received VALUES (2)")
    await standby.promote()

    timeline = "SELECT left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)"
    assert await standby.execute("INSERT INTO received VALUES (3) RETURNING number") == [(3,)]
    assert await standby.execute("SELECT number FROM received ORDER BY number") == [(1,), (3,)]
    assert await cluster.execute("SELECT number FROM received ORDER BY number") == [(1,), (2,)], "it runs on"
    assert (await cluster.execute(timeline), await standby.execute(timeline)) == ([("00000001",)], [("00000002",)])
    await standby.stop()


async def test_a_frozen_synchronous_standby_holds_up_commits_until_it_thaws(cluster):
    standby = await cluster.add_standby(synchronous=True)
    await cluster.execute("CREATE TABLE safe (number int)")

    await standby.freeze()
    commit = asyncio.create_task(cluster.execute("INSERT INTO safe VALUES (1)"))
    await asyncio.sleep(SILENCE_SECONDS)
    assert not commit.done()
    await standby.thaw()
    await commit
    await standby.caught_up()

    assert await standby.execute("SELECT number FROM safe") == [(1,)]
    await standby.stop()
    await standby.stop()
    await cluster.execute("INSERT INTO safe VALUES (2)")  # nobody to wait for


@pytest.mark.parametrize("mode", ["immediate", "fast"])
async def test_a_restarted_server_keeps_its_port_and_its_commits_and_no_session(cluster, mode):
    await cluster.execute("CREATE TABLE IF NOT EXISTS kept (mode text)")
    await cluster.execute("INSERT INTO kept VALUES (%s)", (mode,))
    port, pid = cluster.port, cluster.pid
    async with await connect(cluster.url_of("postgres"), "a client") as client:
        await cluster.restart(mode)

        with pytest.raises(psycopg.OperationalError):
            await client.execute("SELECT 1")
    assert (port, pid == cluster.pid) == (cluster.port, False)
    assert (mode,) in await cluster.execute("SELECT mode FROM kept")


async def test_one_named_backend_is_terminated_and_its_namesake_elsewhere_is_not(cluster):
    mine, other = await cluster.make_database(), await cluster.make_database()
    async with await connect(mine, "prodsafe/main/1") as victim, await connect(other, "prodsafe/main/1") as bystander:
        assert not await cluster.terminate_lock_backend(mine, "prodsafe/other")
        assert await cluster.terminate_lock_backend(mine, "prodsafe/main")

        with pytest.raises(psycopg.errors.AdminShutdown):
            await victim.execute("SELECT 1")
        await bystander.execute("SELECT 1")


async def test_a_backend_killed_hard_takes_every_session_along_and_the_server_recovers(cluster):
    mine = await cluster.make_database()
    pid = cluster.pid
    async with await connect(mine, "prodsafe/main/1"), await connect(mine, "journal") as bystander:
        assert await cluster.kill9_backend(mine, "prodsafe/")

        with pytest.raises(psycopg.OperationalError):
            while True:  # the server takes a moment to notice
                await bystander.execute("SELECT 1")
    assert not await cluster.kill9_backend(mine, "prodsafe/")
    assert cluster.pid == pid


async def test_each_database_is_its_own_and_can_have_the_whole_schema(cluster):
    template = await cluster.migrated_template()

    first, second = await cluster.make_database(template), await cluster.make_database(template)

    assert first != second and await cluster.migrated_template() == template
    names = [url.rpartition("/")[2] for url in (first, second)]
    assert [await cluster.execute("SELECT count(*) FROM prodsafe.lease", database=name) for name in names] == [
        [(0,)]
    ] * 2
    async with await connect(first, "somebody"):
        await cluster.drop_database(first)
    assert await cluster.execute("SELECT count(*) FROM pg_database WHERE datname = ANY (%s)", (names,)) == [(1,)]


# --- venue ---------------------------------------------------------------------------------------------------------


async def test_the_venue_keeps_a_ledger_and_takes_a_clock_offset_and_faults(zygote, tmp_path):
    customers = [Customer("one", "key-one", "c2VjcmV0"), Customer("two", "key-two", "c2VjcmV0")]
    async with SimulatedVenue(zygote, tmp_path / "venue.log", customers=customers) as venue:
        await venue.set_clock_offset(-3.5)
        await venue.set_faults([{"kind": "http_status", "path": "tickers"}])

        assert (await venue.get("/sim/clock"))["offset_seconds"] == -3.5
        assert [rule["kind"] for rule in (await venue.get("/sim/faults"))["rules"]] == ["http_status"]
        assert (await venue.ledger())["summary"]["orders"] == 0
        with pytest.raises(ValueError, match="kind"):
            await venue.set_faults([{"kind": "no such fault"}])
    assert venue.child.returncode == -9


async def test_the_venue_can_stand_behind_a_proxy(zygote, tmp_path):
    async with SimulatedVenue(zygote, tmp_path / "venue.log") as venue, Proxy("127.0.0.1", venue.port) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"GET /sim/clock HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

        assert b"offset_seconds" in await reader.read()
        writer.close()


# --- the end -------------------------------------------------------------------------------------------------------


async def doomed_driver(folder: Path) -> None:
    """Start one of everything, say the pids, and wait for death."""
    async with Zygote([PLAYERS]) as zygote, Cluster(folder / "cluster") as cluster:
        children = [await zygote.start(f"{PLAYERS}:linger", {}, environ={}, log=folder / "log") for _ in range(2)]
        await until(lambda: len((folder / "log").read_text().splitlines()) == 2)
        standby = await cluster.add_standby(synchronous=True)
        await standby.freeze()
        stuck = asyncio.create_task(cluster.execute("CREATE TABLE never_committed ()"))
        children[0].stop()
        await children[0].wait_stopped()
        orphans = map(int, (folder / "log").read_text().split())
        pids = [zygote.pid, cluster.pid, standby.pid, *(child.pid for child in children), *orphans]
        print(json.dumps(pids), flush=True)
        await stuck


async def test_the_drivers_death_takes_everything_along(tmp_path):
    program = f"import asyncio, pathlib, {__name__} as t; asyncio.run(t.doomed_driver(pathlib.Path({str(tmp_path)!r})))"
    driver = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, cwd=PROJECT, stdout=asyncio.subprocess.PIPE
    )
    assert driver.stdout is not None
    pids = json.loads(await driver.stdout.readline())
    assert len(pids) == 7 and all(map(alive, pids))

    driver.kill()
    await driver.wait()

    await until(lambda: not any(map(alive, pids)))
