"""Plays a Dockerfile on a machine without Docker: each stage is a folder, each step is done in it.

RUN, COPY (through .dockerignore), ENV, WORKDIR, CMD; absolute paths that the file makes lie under the stage's folder.
What it cannot show: the base image, another uid, a root file system that is read-only to the kernel.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from pathlib import Path

MADE = re.compile(r"(?<![\w/.])/(opt|src|wheels|app)\b")  # the folders that deploy/Dockerfile makes


@dataclass
class Stage:
    root: Path
    env: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)

    def here(self, text: str) -> str:
        return MADE.sub(rf"{self.root}/\1", text)

    def environment(self, machine: Mapping[str, str]) -> dict[str, str]:
        """The image's own, after what the machine must lend; PATH leads into the stage first."""
        env = {**machine, **{name: self.here(value) for name, value in self.env.items()}}
        env["PATH"] = os.pathsep.join([env.get("PATH", ""), f"{self.root}/usr/local/bin", "/usr/bin:/bin"])
        return env


def build(dockerfile: Path, context: Path, folder: Path, machine: Mapping[str, str]) -> Stage:
    """Every step, in order; the last stage. Raises CalledProcessError with the output of a RUN that fails."""
    stages: dict[str, Stage] = {}
    stage = Stage(folder)
    for word, rest in steps(dockerfile.read_text()):
        match word:
            case "FROM":
                stage = Stage(folder / f"stage{len(stages)}")
                stages[rest.rpartition(" AS ")[2]] = stage
                _base(stage.root)
            case "RUN":
                rest = re.sub(r"--mount=\S+ ", "", rest)  # the builder's cache of downloads is pip's own here
                env = stage.environment(machine)
                subprocess.run(
                    ["sh", "-ec", stage.here(rest)], env=env, cwd=stage.root, check=True, capture_output=True, text=True
                )
            case "COPY":
                _copy(rest.split(), stage, stages, context)
            case "ENV":
                stage.env |= dict(re.findall(r"(\w+)=(\S+)", rest))
            case "WORKDIR":
                stage.folder = rest
            case "CMD":
                stage.command = json.loads(rest)
            case "HEALTHCHECK":
                stage.health = json.loads(rest.partition("CMD ")[2])
            case "LABEL" | "USER" | "EXPOSE" | "STOPSIGNAL":
                pass
            case other:
                raise ValueError(f"nobody plays {other}")
    return stage


def steps(text: str) -> Iterator[tuple[str, str]]:
    for line in re.sub(r"(?m)^\s*#.*\n", "", text).replace("\\\n", " ").splitlines():
        if line.strip():
            word, _, rest = line.partition(" ")
            yield word, rest.strip()


def _base(root: Path) -> None:
    """The base image's python with its pip: the test's own."""
    python = root / "usr/local/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)


def _copy(words: list[str], stage: Stage, stages: Mapping[str, Stage], context: Path) -> None:
    *sources, target = [word for word in words if not word.startswith("--")]
    place = Path(stage.here(target))
    if words[0].startswith("--from="):
        (source,) = sources
        made = Path(stages[words[0].removeprefix("--from=")].here(source))
        shutil.copytree(made, place, symlinks=True, copy_function=os.link)
        return
    ignore = (context / ".dockerignore").read_text()
    for source in sources:
        into = place / Path(source).name if target.endswith("/") else place
        sent = [path for path in _files(context / source) if is_sent(str(path.relative_to(context)), ignore)]
        if not sent:
            raise FileNotFoundError(f"COPY {source}: the context does not hold it")
        for path in sent:
            copy = into / path.relative_to(context / source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [each for each in sorted(path.rglob("*")) if each.is_file()]


def is_sent(path: str, ignore: str) -> bool:
    """Whether the builder gets the file: the last pattern that matches it, or a folder above it, decides."""
    parts = path.split("/")
    above = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    sent = True
    for pattern in (line.strip() for line in ignore.splitlines()):
        if pattern and not pattern.startswith("#"):
            wanted = re.compile(_translated(pattern.removeprefix("!")))
            if any(wanted.fullmatch(each) for each in above):
                sent = pattern.startswith("!")
    return sent


def _translated(pattern: str) -> str:
    """As Docker reads it: * stays within a folder, **/ is any number of them."""
    inner = pattern.removeprefix("**/")
    words = "/".join(translate(word)[:-2].replace(".*", "[^/]*") for word in inner.split("/"))
    return (r"(?:.*/)?" if inner != pattern else "") + words
