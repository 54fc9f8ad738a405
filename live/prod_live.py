"""python -m live.prod_live: the production worker. Gates first, on a light process; only then anything heavy. [S]"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace

from live import last_words
from live.gates import LIVE_GATES
from live.settings import Settings, read_settings
from prodsafe.dotenv_guard import suppress
from prodsafe.environment import Environment, read_environment
from prodsafe.gates import evaluate_gates, look_around, pass_gates, require_gates
from prodsafe.output import register_secrets, run_entry, say, say_json, warn

HELP = """\
The production worker: gates -> schema -> lease -> reconcile -> trade.

Every setting comes from the environment (`prodsafe env` lists them); no dotenv file is ever read here.
Exit codes: 0 stopped cleanly, 1 refused by a gate, 3 lease held by another worker, 4 schema not ready,
5 lease lost while running, 6 venue or database unreadable at boot, 70 a bug. RUNBOOK.md has a section for each refusal.
"""


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    return run_entry(lambda: _start(options), as_json=options.json)


def _start(options: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: nothing is held yet, so the end is clean
    suppress(os.environ, why="the production worker never reads one")
    env = read_environment(os.environ)
    register_secrets(env.secrets())
    if options.check:
        surroundings = look_around(os.environ)
        results = evaluate_gates(env, replace(surroundings, interactive=False), LIVE_GATES)
        require_gates(results, force=options.force)
        passed = [result for result in results if result.passed]
        if options.json:
            say_json({"ok": True, "gates": [result.as_dict() for result in results]})
        else:
            say(f"{len(passed)} of {len(results)} gates passed; nothing was started")
        return 0
    with last_words.told(env.alert_webhook_url, f"worker of {env.exchange_account or 'no account'}"):
        settings = pass_worker_gates(env, force=options.force)
        from live.systemd import Systemd
        from live.worker import run_worker

        return run_worker(env, settings, systemd=Systemd.of(os.environ))


def pass_worker_gates(env: Environment, *, force: bool) -> Settings:
    """Every gate of the worker, for whatever may become one. Raises GateRefused."""
    warn(pass_gates(env, look_around(os.environ), LIVE_GATES, force=force, ask=input))
    return read_settings(env.settings)[0]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m live.prod_live", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--force", action="store_true", help="skip soft gates (warnings); no hard gate is ever skipped")
    parser.add_argument("--check", action="store_true", help="run every gate, start nothing")
    parser.add_argument("--json", action="store_true", help="print refusals as one JSON object on stdout")
    return parser


if __name__ == "__main__":
    sys.exit(main())
