"""The first line of a worker's log: which program, on which account, with which settings. [E]"""

from __future__ import annotations

import json
from dataclasses import asdict
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from live.settings import Settings


def settings_hash(settings: Settings) -> str:
    """Twelve hex digits: equal for equal trading and risk settings."""
    text = json.dumps(asdict(settings), default=str, sort_keys=True)
    return sha256(text.encode()).hexdigest()[:12]


def commit() -> str:
    """The commit that runs: of the checkout, else of what pip installed from; "" where neither knows."""
    return _of_checkout(Path(__file__).resolve().parents[1] / ".git") or _of_installation()


def _of_checkout(git: Path) -> str:
    try:
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head[:12]
        reference = head.removeprefix("ref: ")
        if (git / reference).exists():
            return (git / reference).read_text().strip()[:12]
        packed = (line.split(" ") for line in (git / "packed-refs").read_text().splitlines())
        return next((words[0][:12] for words in packed if words[-1] == reference), "")
    except OSError:
        return ""


def _of_installation() -> str:
    try:
        told = distribution("prodsafe").read_text("direct_url.json")
        return str(json.loads(told or "{}").get("vcs_info", {}).get("commit_id", ""))[:12]
    except (PackageNotFoundError, ValueError):
        return ""
