"""What the ledger keeps: a changed comment is told from a changed meaning; older ledgers work; a boot reads it."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from prodsafe import postgres
from prodsafe.errors import SchemaNotReady
from prodsafe.migrations import MigrationSet, boot, check_schema, meaning, plan
from prodsafe.migrations.fingerprints import DRIFTED
from prodsafe.migrations.repair import repair
from prodsafe.migrations.runner import status_for
from tests.migrating import App

TABLE = "CREATE TABLE a (id int DEFAULT 5, note text);\n"
AS_BEFORE = "ALTER TABLE prodsafe.migration DROP state, DROP steps_begun, DROP steps_done, DROP content"


@pytest.fixture
def app(tmp_path: Path, empty_database_url: str) -> App:
    app = App(tmp_path, empty_database_url)
    app.write(TABLE)
    app.migrate()
    return app


def boot_refusals(app: App):
    with psycopg.connect(app.url, autocommit=True) as conn:
        return check_schema(conn, [app.set])


def boot_kinds(app: App):
    with postgres.connect(app.url) as conn:
        return [refusal.kind for refusal in check_schema(conn, [app.set])]


@pytest.mark.parametrize(
    "changed",
    [
        TABLE.replace("\n", "\r\n"),
        "\ufeff" + TABLE,
        "-- Copyright 2026, all rights reserved.\n/* licence */\n" + TABLE,
        "create table a(id INT default 5, note text) -- what for",
    ],
)
def test_a_changed_comment_or_layout_is_a_notice_and_repair_records_it(app, changed):
    """Acceptance 5 of migrations.md 7: a licence header once crash-looped a service."""
    (app.set.folder / "0001_expand_step1.sql").write_bytes(changed.encode())

    result = app.migrate()

    assert "repair app=1" in result.notices[0] and boot_kinds(app) == []
    assert [row.state for row in status_for(app.url, [app.set])[1]] == ["reworded"]
    repair(app.url, app.set, 1, wait_seconds=1, report=app.said.append)
    assert app.migrate().notices == ()


@pytest.mark.parametrize(
    "changed",
    [
        TABLE.replace("DEFAULT 5", "DEFAULT 6"),  # the parser's fingerprint is the same for both
        TABLE.replace("note text", "note text, more text"),
        TABLE + "SELECT 1;",
        "CREATE TABL a (id int)",
    ],
)
def test_a_changed_meaning_is_refused_and_repair_refuses_it_too(app, changed):
    app.write(changed)

    assert app.refused().kind is plan.EDITED and boot_kinds(app) == [plan.EDITED]
    with pytest.raises(SchemaNotReady) as caught:
        repair(app.url, app.set, 1, wait_seconds=1, report=app.said.append)
    assert [refusal.kind for refusal in caught.value.refusals] == [plan.EDITED]


def test_without_the_parser_a_changed_text_is_refused_and_says_what_is_missing(app, monkeypatch):
    def missing(name: str):
        raise ImportError(name)

    app.write("-- a comment\n" + TABLE)
    monkeypatch.setattr(meaning.importlib, "import_module", missing)

    assert "pip install postgast" in app.refused().cause


def test_repair_of_what_never_ran_is_refused(app):
    with pytest.raises(SchemaNotReady) as caught:
        repair(app.url, app.set, 2, wait_seconds=1, report=app.said.append)

    assert [refusal.kind for refusal in caught.value.refusals] == [plan.NO_SUCH_MIGRATION]


def test_a_ledger_of_an_older_release_is_read_as_it_is_and_extended_by_the_next_work(tmp_path, empty_database_url):
    app = App(tmp_path, empty_database_url)
    app.write(TABLE)
    app.migrate()
    app.query(AS_BEFORE)

    assert app.migrate().applied == () and boot_kinds(app) == []
    app.write("-- new comment\n" + TABLE)
    assert "kept no text" in app.refused().cause
    app.write(TABLE, "CREATE INDEX CONCURRENTLY a_note ON a (note)")
    app.migrate()

    assert app.rows() == [(1, "applied", 0, 0), (2, "applied", 1, 1)]
    app.write(TABLE.strip(), "CREATE INDEX CONCURRENTLY a_note ON a (note)")
    repair(app.url, app.set, 1, wait_seconds=1, report=app.said.append)
    app.write("-- new comment\n" + TABLE, "CREATE INDEX CONCURRENTLY a_note ON a (note)")
    assert app.migrate().notices


def test_a_half_done_file_keeps_the_worker_from_starting_and_says_how_to_go_on(app):
    app.query("INSERT INTO a VALUES (1), (1)")
    app.add(2, "expand", "CREATE UNIQUE INDEX CONCURRENTLY a_id ON a (id)")
    app.refused()

    assert boot_kinds(app) == [plan.UNFINISHED]
    assert [row.state for row in status_for(app.url, [app.set])[1]] == ["applied", "unfinished"]


def test_an_older_worker_restarts_beside_a_newer_release_that_is_in_the_middle_of_its_files(app):
    app.query("INSERT INTO a VALUES (1), (1)")
    newer = app.add(2, "expand", "CREATE UNIQUE INDEX CONCURRENTLY a_id ON a (id)")
    app.refused()
    newer.unlink()

    assert boot_kinds(app) == []


def test_an_invalid_index_keeps_the_worker_from_starting_and_one_that_is_being_built_does_not(app):
    with psycopg.connect(app.url) as other, psycopg.connect(app.url, autocommit=True) as conn:
        other.execute("INSERT INTO a VALUES (0)")
        conn.execute("SET lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            conn.execute("CREATE INDEX CONCURRENTLY a_note ON a (note)")
    with postgres.connect(app.url) as conn:
        refusals = check_schema(conn, [app.set])
    assert refusals[0].kind is boot.INVALID_INDEX and refusals[0].mend == "REINDEX INDEX CONCURRENTLY a_note"

    app.query("REINDEX INDEX CONCURRENTLY a_note")

    assert boot.INVALID_INDEX not in boot_kinds(app)


def test_a_constraint_that_a_file_validated_and_that_is_not_valid_keeps_the_worker_from_starting(app):
    """Before the file that validates it has run, it is on its way, and nobody is kept from starting."""
    app.add(2, "expand", "CREATE TABLE t (id int, b int); CREATE TABLE other (id int)")
    app.add(
        3,
        "expand",
        "ALTER TABLE t ADD CONSTRAINT positive CHECK (id > 0) NOT VALID;\n"
        'ALTER TABLE t ADD CONSTRAINT "B" CHECK (b > 0) NOT VALID;\n'
        "ALTER TABLE other ADD CONSTRAINT positive CHECK (id > 0) NOT VALID",
    )
    app.migrate()
    assert boot_refusals(app) == []

    app.add(4, "expand", 'ALTER TABLE ONLY public.t VALIDATE CONSTRAINT positive, VALIDATE CONSTRAINT "B"')
    app.migrate()
    assert boot_refusals(app) == []

    app.query('ALTER TABLE t DROP CONSTRAINT "B", ADD CONSTRAINT "B" CHECK (b > 0) NOT VALID')
    app.query("DELETE FROM prodsafe.catalog_fingerprint")
    (refusal,) = boot_refusals(app)

    assert refusal.kind is boot.NOT_VALID and refusal.mend == 'ALTER TABLE t VALIDATE CONSTRAINT "B"'
    app.query(refusal.mend)
    assert boot_refusals(app) == []


def test_a_drifted_schema_keeps_the_worker_from_starting(app):
    """The set says which schemas are its own; what anybody changes there by hand is seen at boot."""
    app.query("ALTER TABLE a ADD COLUMN by_hand text")

    assert boot_kinds(app) == [DRIFTED]


def test_sets_that_are_not_the_programs_do_not_matter(app):
    with postgres.connect(app.url) as conn:
        other = MigrationSet("other", app.set.folder)
        assert [refusal.kind for refusal in check_schema(conn, [other])] == [plan.BEHIND]
