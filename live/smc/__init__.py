"""Smart Money Concepts as one causal streaming engine: closed candles in, events and signals with known_at out. [P]"""

from live.smc.engine import Engine
from live.smc.events import Event, Kind, Observation, Scope
from live.smc.parameters import Session, SmcParameters
from live.smc.reasons import Code
from live.smc.snapshot import SnapshotRefused

__all__ = ["Code", "Engine", "Event", "Kind", "Observation", "Scope", "Session", "SmcParameters", "SnapshotRefused"]
