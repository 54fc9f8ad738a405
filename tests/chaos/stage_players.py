"""What the tests of the stage let forked children do."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from typing import Any
from uuid import uuid4

import psycopg


def introduce(arguments: dict[str, Any]) -> int:
    """Print what we are as one line of JSON; the exit code is asked for."""
    facts = {
        "arguments": arguments, "environ": dict(os.environ), "group": os.getpgid(0), "stdin": sys.stdin.read(),
        "sigterm": signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, "random": random.random(), "uuid": str(uuid4()),
    }  # fmt: skip
    print(json.dumps(facts))
    return int(arguments.get("code", 0))


def leave(arguments: dict[str, Any]) -> int:
    sys.exit(arguments["with"])


def fail(arguments: dict[str, Any]) -> int:
    raise ValueError("nobody expected this")


def linger(arguments: dict[str, Any]) -> int:
    """Have a child of our own, say its pid, and do nothing."""
    print(subprocess.Popen(["sleep", "600"], start_new_session=True).pid)
    time.sleep(600)
    return 0


def stand_still(arguments: dict[str, Any]) -> int:
    os.kill(os.getpid(), signal.SIGSTOP)
    return 0


def query(arguments: dict[str, Any]) -> int:
    """The exit code is what the server answers."""
    with psycopg.connect(arguments["url"]) as conn:
        row = conn.execute("SELECT %s::int + 1", (arguments["number"],)).fetchone()
    assert row is not None
    return int(row[0])
