"""Small repositories for the tests of supply/."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

IDENTITY = ("-c", "user.name=t", "-c", "user.email=t@host.example", "-c", "commit.gpgsign=false")


def git(project: Path, *arguments: str) -> str:
    command = ["git", *IDENTITY, *arguments]
    return subprocess.run(command, cwd=project, check=True, stdout=subprocess.PIPE, text=True).stdout


def repository(folder: Path, files: Mapping[str, str], message: str = "a commit") -> Path:
    """A repository of git with these files in its one commit."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "--quiet")
    commit(folder, files, message)
    return folder


def commit(project: Path, files: Mapping[str, str | None], message: str = "a commit") -> None:
    """Write these files, remove those that are None, commit all."""
    for name, text in files.items():
        path = project / name
        if text is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--allow-empty", "-m", message)
