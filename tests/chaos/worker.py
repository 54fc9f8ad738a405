"""One worker of a schedule, a process of its own: the real `live.prod_live`, observed. [S]"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from live import prod_live, worker
from live.limiter import Budget
from tests.chaos.mutations import mutate
from tests.chaos.observe import Diary, Observer
from tests.chaos.sender import Sender

WIDE = Budget(per_second=10_000, burst=10_000, reserved=0)  # more sends, so that a fault meets every step of one


def main(arguments: dict[str, Any]) -> int:
    """diary: path. kind: "sender" or "whole". pace_seconds, linger_seconds: see Sender, Observer. mutations: names."""
    diary = Diary(Path(arguments["diary"]))
    diary.say("boot")
    for name in arguments["mutations"]:
        mutate(name)
    room: Any = worker  # live.worker's own names are replaced, as nothing in it is made for that
    trading = room.LiveTrading
    if arguments["kind"] == "sender":
        trading = functools.partial(Sender, pace_seconds=arguments["pace_seconds"])
        room.open_venue = functools.partial(room.open_venue, budget=WIDE)
    Observer(diary, linger_seconds=arguments["linger_seconds"]).install(trading)
    return prod_live.main(["--force"])
