"""A whole process from its start to a held lease and its end, beside the same work without the lease, and beside peers.

The floor is python, the same imports, connect, one query. Every side lets its lock go before it ends.
"""

from __future__ import annotations

from common.pairs import Figures, in_turns, middle, ratio
from common.processes import python, work

from lease_parts.peers import ASYNCPG_LOCK, ASYNCPG_LOCK_BOOT, SQLALCHEMY_DLOCK, SQLALCHEMY_DLOCK_BOOT

FLOOR = "import os, psycopg, prodsafe.lease; psycopg.connect(os.environ['DATABASE_URL']).execute('SELECT 1').fetchone()"
BOOT = "import os, prodsafe.lease as lease; lease.acquire(os.environ['DATABASE_URL'], ['account/bench']).release()"
PEERS = {SQLALCHEMY_DLOCK: SQLALCHEMY_DLOCK_BOOT, ASYNCPG_LOCK: ASYNCPG_LOCK_BOOT}


def measure(url: str, rounds: int, peers: list[str]) -> tuple[Figures, Figures]:
    codes = {"boot": BOOT, "floor": FLOOR, **{peer: PEERS[peer] for peer in peers}}
    taken = in_turns({name: work(python(code, url)) for name, code in codes.items()}, rounds, warm_up=1)
    figures = {"boot_s": middle(taken, "boot", 1), "floor_s": middle(taken, "floor", 1)}
    figures |= {f"boot_{peer}_s": middle(taken, peer, 1) for peer in PEERS}
    return figures, {f"boot_beside_{name}": ratio(taken, "boot", name) for name in ("floor", *PEERS)}
