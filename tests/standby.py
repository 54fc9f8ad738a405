"""A streaming standby of an embedded server, for tests: as pg_basebackup makes it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from prodsafe.embedded import EmbeddedPostgres
from prodsafe.embedded_account import account_for
from prodsafe.embedded_binaries import find_binaries


def standby_of(
    primary: EmbeddedPostgres, folder: Path, binaries: Path | None, settings: Mapping[str, str] | None = None
) -> EmbeddedPostgres:
    """Not started yet: use it as a context. folder: of the standby, made here."""
    folder.mkdir()
    subprocess.run(
        [find_binaries(binaries)[0] / "pg_basebackup", "--pgdata", folder / "data", "--write-recovery-conf",
         "--checkpoint=fast", "--no-sync", "--dbname", primary.url],
        check=True, capture_output=True,
    )  # fmt: skip
    shutil.copy(primary.dir / "password", folder)
    account = account_for(primary.dir)
    for path in (folder / "password", folder / "data", *(folder / "data").rglob("*")):
        account.own(path)
    return EmbeddedPostgres(folder, fsync=False, binaries=binaries, settings=settings)
