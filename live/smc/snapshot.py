"""The engine's memory as one line of canonical JSON that only the same strategy on the same symbol takes back. [P]"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from live.smc.parameters import SmcParameters

VERSION = 1  # raised with every change of a definition or of the state: an older memory is then refused


class SnapshotRefused(ValueError):
    """It cannot be gone on from: other parameters, symbol or version, or not what was once saved. Warm up instead."""


def seal(state: dict[str, Any], parameters: SmcParameters, symbol: str) -> str:
    return _sealed(_header(parameters, symbol), state)


def unseal(text: str, parameters: SmcParameters, symbol: str) -> dict[str, Any]:
    """The state. Raises SnapshotRefused, which says what differs."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise SnapshotRefused("the snapshot is no JSON") from None
    if not isinstance(body, dict) or not isinstance(body.get("state"), dict):
        raise SnapshotRefused("the snapshot is not of an engine")
    header = _header(parameters, symbol)
    for name, mine in header.items():
        if (theirs := body.get(name)) != mine:
            raise SnapshotRefused(f"the snapshot's {name} is {theirs!r:.80}, not {mine!r}")
    state: dict[str, Any] = body["state"]
    if text != _sealed(header, state):
        raise SnapshotRefused("the snapshot is not as it was saved: its checksum differs")
    return state


def _header(parameters: SmcParameters, symbol: str) -> dict[str, Any]:
    return {"version": VERSION, "symbol": symbol, "parameters": parameters.fingerprint()}


def _sealed(header: dict[str, Any], state: dict[str, Any]) -> str:
    body = {**header, "state": state}
    return _canonical({**body, "checksum": sha256(_canonical(body).encode()).hexdigest()[:16]})


def _canonical(value: dict[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
