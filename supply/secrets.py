"""No secret in the tracked files, in any file that a commit ever held, or in a commit's message (I62). [E: git]

detect-secrets looks, with detectors of our own for what it does not know. What a person has judged harmless stands in
audited.toml, by its file and SHA-1. No finding holds the secret itself.
"""

from __future__ import annotations

import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from detect_secrets.core.potential_secret import PotentialSecret
from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import transient_settings

from supply.findings import Finding, git, tracked_texts

HERE = Path(__file__).resolve().parent
AUDITED = HERE / "audited.toml"
MESSAGES = "commit messages"
_DETECTORS = f"file://{HERE / 'detectors.py'}"
_HEURISTICS = ("sequential_string", "potential_uuid", "templated_secret", "prefixed_with_dollar_sign")
SETTINGS: dict[str, Any] = {
    "plugins_used": [
        *({"name": f"{name}HighEntropyString", "limit": limit} for name, limit in (("Base64", 4.5), ("Hex", 3.3))),
        *({"name": f"{name}Detector"} for name in ("AWSKey", "BasicAuth", "GitHubToken", "GitLabToken", "JwtToken")),
        *({"name": f"{name}Detector"} for name in ("Keyword", "Npm", "OpenAI", "PrivateKey", "PypiToken", "SendGrid")),
        *({"name": f"{name}Detector"} for name in ("Slack", "Stripe", "TelegramBotToken", "TwilioKey")),
        *({"name": f"{name}Detector", "path": _DETECTORS} for name in ("ExchangeKey", "Webhook")),
    ],
    "filters_used": [
        *({"path": f"detect_secrets.filters.heuristic.is_{name}"} for name in _HEURISTICS),
        {"path": "detect_secrets.filters.heuristic.is_indirect_reference"},
        {"path": "detect_secrets.filters.heuristic.is_not_alphanumeric_string"},
        {"path": f"{_DETECTORS}::is_nobodys"},
        {  # a hash of a lock, and this room's own list
            "path": "detect_secrets.filters.regex.should_exclude_line",
            "pattern": [r"^\s+--hash=sha256:[0-9a-f]{64}( \\)?$", r'^sha1 = "[0-9a-f]{40}"$'],
        },
    ],
}


def check_secrets(project: Path, audited: Path = AUDITED) -> list[Finding]:
    """Every value that looks secret and that nobody has judged harmless, once for each file.

    A clone without its whole history is told on stderr: only what it holds can be looked at.
    """
    known = {(entry["file"], entry["sha1"]) for entry in tomllib.loads(audited.read_text())["audited"]}
    if git(project, "rev-parse", "--is-shallow-repository").strip() == b"true":
        print("secrets: a shallow clone; `git fetch --unshallow` lets the whole history be searched", file=sys.stderr)
    return sorted(_found(project, known))


def _found(project: Path, known: set[tuple[str, str]]) -> Iterator[Finding]:
    present, past = dict(tracked_texts(project)), history(project)
    with TemporaryDirectory() as folder:
        for name, text in present.items():
            _write(Path(folder, "now", name), text)
        for name, lines in past.items():
            for line in present.get(name, "").split("\n"):
                lines.pop(line, None)
            _write(Path(folder, "then", name), "\n".join(lines))
        for place, secret in _scan(Path(folder)):
            when, _, name = place.partition("/")
            if (name, secret.secret_hash) not in known:
                yield _finding(secret, name, past[name] if when == "then" else {})


def _finding(secret: PotentialSecret, name: str, past: dict[str, str]) -> Finding:
    """past: the lines of the file in which it stands, when it stands in history only."""
    objects = list(past.values())[secret.line_number - 1 : secret.line_number]
    show = "show " if name == MESSAGES else "log --all --find-object="
    return Finding(
        f"{name} in history, see git {show}{objects[0][:12]}" if objects else f"{name}:{secret.line_number}",
        f"this looks like a secret ({secret.type})",
        "revoke it at whoever gave it, then take it out; if it never was one, add "
        f'file = "{name}", sha1 = "{secret.secret_hash}" to supply/{AUDITED.name} with the reason',
    )


def _scan(folder: Path) -> list[tuple[str, PotentialSecret]]:
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    with transient_settings(SETTINGS):
        found = SecretsCollection(root=str(folder))
        found.scan_files(*names)
        return list(found)


def history(project: Path) -> dict[str, dict[str, str]]:
    """{path: {line: the first object that held it}} of every text that any commit holds, and of all their messages."""
    lines: dict[str, dict[str, str]] = defaultdict(dict)
    listed = git(project, "rev-list", "--objects", "--all").decode().splitlines()
    paths = dict(entry.partition(" ")[::2] for entry in listed)
    for object_id, kind, content in _objects(project, list(paths)):
        if kind == "blob" and b"\0" not in content:
            name = paths[object_id]
        elif kind in ("commit", "tag"):
            name, content = MESSAGES, content.partition(b"\n\n")[2]
        else:
            continue
        for line in content.decode(errors="replace").split("\n"):
            lines[name].setdefault(line, object_id)
    return lines


def _objects(project: Path, ids: Sequence[str]) -> Iterator[tuple[str, str, bytes]]:
    """(id, kind, content) of each, as `git cat-file --batch` tells them."""
    told, start = git(project, "cat-file", "--batch", stdin="\n".join(ids).encode()), 0
    while start < len(told):
        end = told.index(b"\n", start)
        object_id, kind, size = told[start:end].decode().split()
        start = end + 1 + int(size) + 1
        yield object_id, kind, told[end + 1 : start - 1]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
