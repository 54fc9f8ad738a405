"""Which user runs PostgreSQL, which refuses to run as root, and how its programs are started. [E]

No account is made and no folder above ours is opened to others: a child is handed a descriptor of its folder instead.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from prodsafe.errors import DatabaseRefused, RefusalKind

FOLDER_NOT_OURS = RefusalKind("E03", "folder-not-ours")
NO_ACCOUNT = RefusalKind("E06", "no-unprivileged-account")
FOLDER_UNREACHABLE = RefusalKind("E07", "folder-unreachable")
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Account:
    """The user that runs postgres, which refuses to run as root. uid None: the one we are already."""

    uid: int | None = None
    gid: int | None = None
    name: str = ""

    def own(self, path: Path) -> None:
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def can_reach(self, path: Path) -> bool:
        """Whether every parent of the path lets this account through."""
        return self.uid is None or all(self._can_enter(parent) for parent in path.resolve().parents)

    def _can_enter(self, folder: Path) -> bool:
        facts = folder.stat()
        shift = 6 if facts.st_uid == self.uid else 3 if facts.st_gid == self.gid else 0
        return bool(facts.st_mode >> shift & 1)

    def path_to(self, folder: Path, descriptor: int) -> Path:
        """The folder as a child with the open descriptor finds it, however closed the folders above are."""
        return folder if self.can_reach(folder) else Path(f"/proc/self/fd/{descriptor}")

    def popen(self, command: Sequence[str | Path], claim: int, output: int | IO[bytes]) -> subprocess.Popen[bytes]:
        """Start a program of PostgreSQL with the claim on its folder and nothing else of ours."""
        try:
            return subprocess.Popen(
                command,
                cwd="/",  # PostgreSQL wants to be able to come back to where it started
                env={"PATH": str(Path(command[0]).parent), "LC_ALL": "C", "TZ": "UTC"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[claim],
                user=self.uid,
                group=self.gid,
                extra_groups=None if self.gid is None else [self.gid],
                start_new_session=True,  # Ctrl-C is for us; we stop the server in order
                umask=0o077,
                preexec_fn=_die_with_parent(),
            )
        except PermissionError as error:
            raise refused(
                NO_ACCOUNT, f"cannot run {command[0]} as {self.name or 'this user'}: {error}", "start as another user"
            ) from error


def account_for(folder: Path) -> Account:
    """Ourselves, or when we are root the owner of the data, else postgres or nobody. Changes no account."""
    owner = (folder / "data").stat().st_uid if (folder / "data").exists() else None
    if os.geteuid() != 0:
        if owner not in (None, os.geteuid()):
            raise refused(FOLDER_NOT_OURS, f"{folder} belongs to user {owner}", "use another --dir, or that user")
        return Account()
    for candidate in (owner, "postgres", "nobody"):
        with contextlib.suppress(KeyError):
            if candidate:  # root's own data folder (0) is no account to run as
                found = pwd.getpwuid(candidate) if isinstance(candidate, int) else pwd.getpwnam(candidate)
                account = Account(found.pw_uid, found.pw_gid, found.pw_name)
                return _require_way_in(account, folder)
    raise refused(NO_ACCOUNT, "no user 'postgres' or 'nobody' to run PostgreSQL as", "start as a user that is not root")


def _require_way_in(account: Account, folder: Path) -> Account:
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if sys.platform != "linux" and not account.can_reach(nearest / "data"):  # no /proc to lead there
        raise refused(
            FOLDER_UNREACHABLE,
            f"user {account.name}, who would run PostgreSQL, cannot pass the folders above {folder}",
            "choose a --dir below a folder that others may enter, e.g. /var/lib or /tmp, or start as a normal user",
        )
    return account


def _die_with_parent() -> Callable[[], None] | None:
    """What a child does before exec so that the kernel ends it (fast shutdown) when our thread is gone."""
    if sys.platform != "linux":
        return None
    import ctypes  # loaded before the fork: a child must not import

    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def before_exec() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGINT)
        if os.getppid() != parent:  # it died between fork and prctl
            os._exit(1)

    return before_exec


def refused(kind: RefusalKind, cause: str, mend: str) -> DatabaseRefused:
    return DatabaseRefused(kind.because(cause, mend=mend))
