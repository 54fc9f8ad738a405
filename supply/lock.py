"""The hash-locked files that production installs from: complete, within bounds, free of addresses. [E]"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from supply.distributions import BASE, BUILD, installed, requirements
from supply.findings import Finding, git, tracked_texts

LOCKS = {
    "deploy/requirements.lock": (BASE, "live", "migrate"),
    "deploy/requirements-dashboard.lock": (BASE, "live", "dashboard"),
    "deploy/backend.lock": (BUILD,),
}
"""Each lock, and what of pyproject.toml it holds."""
PYTHONS = ("3.11", "3.12", "3.13")
PLATFORMS = ("x86_64", "aarch64")
# in parts, so that this file is no finding
REGISTRIES = (
    *(f"{name}.org" for name in ("pypi", "pythonhosted", "npmjs", "deb.debian", "proxy.golang", "anaconda")),
    *(f"{name}.io" for name in ("static.crates", "ghcr", "quay")),
    *(f"{name}.com" for name in ("npmjs", "yarnpkg")),
)
_PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)(?P<rest>.*)")
_HASH = re.compile(r"\s+--hash=sha256:[0-9a-f]{64}(?: \\)?$")
_RENEW = "run `make lock`"


def pins(text: str) -> dict[str, tuple[str, list[str]]]:
    """{canonical name: (version, the lines below it)}; ValueError names a line that is no pin, hash or comment."""
    found: dict[str, tuple[str, list[str]]] = {}
    below: list[str] = []
    for line in text.splitlines():
        if pin := _PIN.fullmatch(line):
            below = []
            found[canonicalize_name(pin["name"])] = (pin["version"], below)
        elif line.startswith((" ", "\t")) and line.strip():
            below.append(line)
        elif line.strip() and not line.startswith("#"):
            raise ValueError(f"neither a pin, a hash nor a comment: {line[:60]!r}")
    return found


def check_locks(project: Path) -> list[Finding]:
    """Whether every lock still satisfies pyproject.toml on each Python; asks no registry."""
    found = [finding for name, extras in LOCKS.items() for finding in _check_lock(project, name, extras)]
    return found or list(_differing(project))


def _check_lock(project: Path, name: str, extras: tuple[str, ...]) -> Iterator[Finding]:
    try:
        pinned = pins((project / name).read_text())
    except (OSError, ValueError) as error:
        yield Finding(name, str(error), _RENEW)
        return
    for distribution, (_, lines) in pinned.items():
        if not lines or not all(_HASH.fullmatch(line) for line in lines):
            yield Finding(name, f"{distribution} has something else than sha256 hashes, or none", _RENEW)
    asked = [one for extra in extras for one in requirements(project)[extra]]
    for requirement in _needed(asked, pinned):
        version = pinned.get(canonicalize_name(requirement.name), (None, []))[0]
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            yield Finding(name, f"{requirement} is asked for, and {version or 'nothing'} is pinned", _RENEW)


def _needed(asked: list[Requirement], pinned: dict[str, tuple[str, list[str]]]) -> Iterator[Requirement]:
    """What is asked for, and what that needs on any Python of ours, where the very version pinned is installed here."""
    there, waiting, seen = installed(), list(asked), set()
    while waiting:
        requirement = waiting.pop(0)
        yield requirement
        name, extras = canonicalize_name(requirement.name), ("", *sorted(requirement.extras))
        if (name, extras) not in seen and name in there and pinned.get(name, ("", []))[0] == there[name].version:
            seen.add((name, extras))
            waiting += [need for text in there[name].requires or () if _applies(need := Requirement(text), extras)]


def _applies(need: Requirement, extras: tuple[str, ...]) -> bool:
    machines = (_machine(python, extra) for python in PYTHONS for extra in extras)
    return not need.marker or any(need.marker.evaluate(machine) for machine in machines)


def _machine(python: str, extra: str) -> dict[str, str]:
    return {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "platform_machine": PLATFORMS[0],
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "extra": extra,
    }


def _differing(project: Path) -> Iterator[Finding]:
    """One worker and its dashboard read the same journal: what both pin, they pin alike."""
    (first, ours), *others = ((name, pins((project / name).read_text())) for name in LOCKS)
    for name, theirs in others:
        for distribution in sorted(ours.keys() & theirs.keys()):
            if ours[distribution][0] != theirs[distribution][0]:
                cause = f"{distribution} is {theirs[distribution][0]} here and {ours[distribution][0]} in {first}"
                yield Finding(name, cause, _RENEW)


def wheels(project: Path, name: str, python: str, platform: str) -> str:
    """pip's complaint when not every pin of the lock has a wheel with a listed hash for that Python and Linux; "" else.

    Asks the registry that pip is set up with, and installs nothing.
    """
    tags = [f"--platform={tag}_{platform}" for tag in ("manylinux_2_28", "manylinux_2_17", "manylinux2014")]
    command = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--dry-run", "--require-hashes"]
    target = ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}", "--target=build/none", *tags]
    done = subprocess.run([sys.executable, *command, *target, "-r", name], cwd=project, capture_output=True, text=True)
    return done.stderr if done.returncode else ""


def check_addresses(project: Path) -> list[Finding]:
    """No tracked file and no commit's message names a registry's host: who installs says where packages come from."""
    known = re.compile("|".join(map(re.escape, REGISTRIES)), re.IGNORECASE)
    messages = ("messages of commits", git(project, "log", "--all", "--format=%B").decode(errors="replace"))
    return [
        Finding(f"{name}:{number}", f"the registry {match[0]} is named", "take the address out")
        for name, text in (*tracked_texts(project), messages)
        for number, line in enumerate(text.splitlines(), 1)
        if (match := known.search(line))
    ]
