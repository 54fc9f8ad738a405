"""What a check found, and the files it looks at. [E: git]"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """place: a path below the project, with `:line` where there is one. Never holds a secret."""

    place: str
    cause: str
    mend: str

    def as_text(self) -> str:
        return f"{self.place}: {self.cause}\n  mend: {self.mend}"


def tracked_files(project: Path) -> list[Path]:
    """What git tracks and is still there, sorted."""
    names = git(project, "ls-files", "-z").decode().split("\0")
    return sorted(path for name in names if name and (path := project / name).is_file())


def tracked_texts(project: Path) -> Iterable[tuple[str, str]]:
    """(path below the project, text) of every tracked file that is text."""
    for path in tracked_files(project):
        content = path.read_bytes()
        if b"\0" not in content:
            yield path.relative_to(project).as_posix(), content.decode(errors="replace")


def git(project: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    """git's stdout; subprocess.CalledProcessError when it fails, as outside of a repository."""
    return subprocess.run(["git", *arguments], cwd=project, input=stdin, check=True, stdout=subprocess.PIPE).stdout
