"""The categories of hazards: names, severities, what each means and what to do instead; for --explain and SARIF. [P]

error: exit 4. warning: wrong more often than not, but a person can judge it in a minute. note: worth knowing.
"""

from __future__ import annotations

from dataclasses import dataclass

ERROR, WARNING, NOTE = "error", "warning", "note"
BLOCKING, RUNTIME, COMPATIBILITY, OPAQUE = "blocking", "runtime-failure", "compatibility-or-data-loss", "opaque"
HYGIENE, STYLE, FILE = "hygiene", "style", "file"


@dataclass(frozen=True, slots=True)
class Category:
    name: str
    group: str
    severity: str
    what: str
    why: str
    instead: str


_ROWS: dict[str, tuple[tuple[str, str, str, str, str], ...]] = {
    BLOCKING: (
        ("index-not-concurrent", ERROR, "CREATE INDEX without CONCURRENTLY on an existing table",
         "It holds SHARE on the table until the index is built: every INSERT, UPDATE and DELETE waits, minutes on a"
         " big table.",
         "CREATE INDEX CONCURRENTLY, in a file of its own; the runner then runs it outside a transaction and"
         " repairs a broken try."),
        ("index-drop-not-concurrent", ERROR, "DROP INDEX without CONCURRENTLY",
         "It takes ACCESS EXCLUSIVE on the table: it waits for the longest running query, and all new queries wait"
         " behind it.",
         "DROP INDEX CONCURRENTLY, one index a statement."),
        ("reindex-not-concurrent", ERROR, "REINDEX without CONCURRENTLY (or with CONCURRENTLY false)",
         "Writers of the table wait while it is rebuilt, and readers that would use the index.",
         "REINDEX INDEX CONCURRENTLY or REINDEX TABLE CONCURRENTLY."),
        ("detach-not-concurrent", ERROR, "DETACH PARTITION without CONCURRENTLY",
         "It takes ACCESS EXCLUSIVE on the parent: every query of every partition waits.",
         "ALTER TABLE parent DETACH PARTITION child CONCURRENTLY; FINALIZE after an interruption."),
        ("attach-partition-scan", ERROR, "ATTACH PARTITION of a table without a CHECK that proves its bounds",
         "PostgreSQL reads the whole child, and the DEFAULT partition, under ACCESS EXCLUSIVE on them.",
         "Add the bounds as CHECK ... NOT VALID, VALIDATE it in a next file, then ATTACH, then drop the CHECK."),
        ("matview-refresh-not-concurrent", ERROR, "REFRESH MATERIALIZED VIEW without CONCURRENTLY",
         "Readers of the view wait while its whole query runs.",
         "A unique index on the view and REFRESH MATERIALIZED VIEW CONCURRENTLY."),
        ("constraint-without-not-valid", ERROR, "ADD CHECK on an existing table without NOT VALID",
         "It reads the whole table under ACCESS EXCLUSIVE: reads and writes wait.",
         "ADD CONSTRAINT ... NOT VALID; VALIDATE CONSTRAINT in a next file, which only holds off other DDL."),
        ("fk-without-not-valid", ERROR, "ADD FOREIGN KEY or REFERENCES on an existing table without NOT VALID",
         "Writers of both tables wait while every row is checked.",
         "ADD CONSTRAINT ... FOREIGN KEY ... NOT VALID; VALIDATE CONSTRAINT in a next file."),
        ("validate-in-same-transaction", ERROR, "VALIDATE in the transaction that added the constraint NOT VALID",
         "The lock of ADD CONSTRAINT is still held while the table is read: as if NOT VALID were not there.",
         "VALIDATE CONSTRAINT in the next file."),
        ("unique-without-index", ERROR, "ADD UNIQUE that builds its index itself",
         "ACCESS EXCLUSIVE is held while the index is built: reads and writes wait.",
         "CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT ... UNIQUE USING INDEX."),
        ("pk-without-index", ERROR, "ADD PRIMARY KEY that builds its index itself",
         "ACCESS EXCLUSIVE is held while the index is built and NULLs are looked for: reads and writes wait.",
         "CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT ... PRIMARY KEY USING INDEX."),
        ("pk-using-nullable-index", WARNING, "PRIMARY KEY USING INDEX over a column that may be NULL",
         "PostgreSQL makes the column NOT NULL and for that reads the whole table under ACCESS EXCLUSIVE.",
         "First a validated CHECK (column IS NOT NULL), then SET NOT NULL, then the key."),
        ("exclusion-constraint", ERROR, "EXCLUDE on an existing table",
         "It builds an index and compares all rows under ACCESS EXCLUSIVE; there is no NOT VALID and no USING INDEX"
         " for it.",
         "A new table that has it, filled in batches and swapped in; or a constraint trigger."),
        ("set-not-null-full-scan", ERROR, "SET NOT NULL without a validated CHECK that proves it",
         "It reads the whole table under ACCESS EXCLUSIVE.",
         "ADD CHECK (c IS NOT NULL) NOT VALID; VALIDATE in a next file; SET NOT NULL in a further one; drop the"
         " CHECK."),
        ("volatile-default-rewrite", ERROR, "ADD COLUMN with a volatile or unknown default",
         "Every row is rewritten under ACCESS EXCLUSIVE to store its own value.",
         "ADD COLUMN without it, SET DEFAULT, fill the old rows in committed batches."),
        ("generated-stored-rewrite", ERROR, "ADD COLUMN GENERATED ... STORED",
         "Every row is rewritten under ACCESS EXCLUSIVE.",
         "VIRTUAL (PostgreSQL 18), a view, or a plain column that a trigger fills."),
        ("serial-column-rewrite", ERROR, "ADD COLUMN serial or GENERATED AS IDENTITY",
         "Every row is rewritten under ACCESS EXCLUSIVE to be numbered.",
         "A plain column with a sequence as its default; number the old rows in committed batches."),
        ("domain-column-scan", ERROR, "ADD COLUMN of a domain with a constraint",
         "Every row is rewritten and checked under ACCESS EXCLUSIVE.",
         "The base type and a CHECK ... NOT VALID, validated in a next file."),
        ("domain-add-constraint", ERROR, "ALTER DOMAIN that checks all columns of the domain",
         "Every table with such a column is locked against writes and read.",
         "ADD CONSTRAINT ... NOT VALID; VALIDATE CONSTRAINT in a next file."),
        ("change-column-type", ERROR, "ALTER COLUMN TYPE that is not known to keep the rows",
         "The table and its indexes are rewritten under ACCESS EXCLUSIVE, and running workers' prepared statements"
         " break.",
         "A new column, kept equal by a trigger, filled in batches; switch readers; drop the old one in a contract"
         " file."),
        ("table-rewrite-command", ERROR, "VACUUM FULL, CLUSTER, SET LOGGED/UNLOGGED/TABLESPACE/ACCESS METHOD",
         "The whole table is copied under ACCESS EXCLUSIVE.",
         "pg_repack, or a new table filled in batches; plain VACUUM for bloat."),
        ("unbatched-dml", ERROR, "UPDATE, DELETE, MERGE or INSERT ... SELECT over a whole existing table",
         "Row locks, dead rows and WAL for the whole table in one transaction; VACUUM and CONCURRENTLY wait,"
         " replicas lag.",
         "A data file: batches by key, each committed."),
        ("locked-then-more-statements", ERROR, "slow work while the transaction holds a strong lock",
         "The lock is kept until the commit, so that its table waits for work that does not concern it.",
         "One file for the lock, another for the work."),
        ("explicit-lock", ERROR, "LOCK TABLE in a mode that writers wait for",
         "The lock is held until the transaction ends.", "No LOCK: every statement takes what it needs."),
        ("create-trigger", WARNING, "CREATE TRIGGER on an existing table",
         "SHARE ROW EXCLUSIVE waits for open writers and holds up new ones; the function then runs for an older"
         " worker too.",
         "A file of its own, a function that bears old rows, and a directive that says why."),
        ("create-rule", WARNING, "CREATE RULE on an existing table",
         "ACCESS EXCLUSIVE, and every query is rewritten from then on.", "A trigger or an updatable view."),
    ),
    RUNTIME: (
        ("adding-not-null-without-default", ERROR, "ADD COLUMN NOT NULL without a default",
         "It fails as soon as the table has a row, and an older worker could not insert any more.",
         "ADD COLUMN nullable or with a constant default; NOT NULL later, by way of a validated CHECK."),
        ("concurrent-in-transaction", ERROR, "a statement that cannot run inside a transaction",
         "PostgreSQL refuses it (25001) and the whole file fails.",
         "A file of its own: the runner sees the statement and opens no transaction."),
        ("concurrent-on-partitioned", ERROR, "CREATE INDEX CONCURRENTLY on a partitioned table",
         "PostgreSQL refuses it.",
         "CREATE INDEX ON ONLY parent, CONCURRENTLY on each partition, then ALTER INDEX ... ATTACH PARTITION."),
        ("enum-value-used-in-same-transaction", ERROR, "a new enum value used in the transaction that added it",
         "PostgreSQL refuses it (55P04).", "Use it in the next file."),
        ("enum-add-value-in-transaction", NOTE, "ALTER TYPE ... ADD VALUE inside BEGIN ... COMMIT",
         "Legal since PostgreSQL 12, an error before.", "Without BEGIN."),
        ("syntax-error", ERROR, "PostgreSQL cannot parse it, or it is a command of psql",
         "The whole file fails.", "Plain SQL."),
        ("transaction-nesting", ERROR, "BEGIN inside a transaction, COMMIT without one or inside the runner's",
         "What follows runs in another transaction than its author thinks.",
         "No BEGIN and COMMIT in files: the runner decides by the statements."),
        ("uncommitted-transaction", ERROR, "BEGIN without COMMIT or ROLLBACK",
         "Its locks stay until the connection ends, then its work is undone.", "COMMIT, or no BEGIN."),
    ),
    COMPATIBILITY: (
        ("drop-column", ERROR, "DROP COLUMN",
         "An older worker's queries fail; the data is gone.",
         "A contract file, after the release without its last reader and writer."),
        ("drop-table", ERROR, "DROP TABLE", "An older worker's queries fail; the data is gone.", "A contract file."),
        ("drop-view", ERROR, "DROP VIEW or MATERIALIZED VIEW", "An older worker's queries fail.", "A contract file."),
        ("drop-schema", ERROR, "DROP SCHEMA", "Everything in it is gone.", "A contract file, object by object."),
        ("drop-database", ERROR, "DROP DATABASE",
         "Everything is gone; only a backup brings it back.", "Never in a migration."),
        ("drop-type", ERROR, "DROP TYPE or DOMAIN, or a new name for it",
         "Casts, columns and functions of an older worker fail.", "A contract file."),
        ("drop-sequence", ERROR, "DROP SEQUENCE",
         "Who takes numbers from it fails; its position is lost.", "A contract file."),
        ("drop-function", ERROR, "DROP FUNCTION, PROCEDURE, AGGREGATE or EXTENSION, or a new name for it",
         "Queries, defaults and triggers that call it fail.", "CREATE OR REPLACE beside it; drop in a contract file."),
        ("drop-trigger", ERROR, "DROP TRIGGER",
         "What it checked or copied no longer is, for an older worker's writes too.",
         "A contract file; CREATE OR REPLACE TRIGGER to change it."),
        ("drop-owned", ERROR, "DROP OWNED",
         "Everything a role owns here goes, unnamed.", "REASSIGN OWNED; drops by name."),
        ("drop-cascade", ERROR, "DROP ... CASCADE",
         "Objects that the file does not name go too.", "Drop each by name."),
        ("drop-constraint", ERROR, "DROP CONSTRAINT",
         "Rows it refused come in; ON CONFLICT on it fails.",
         "A contract file, or DROP and ADD of the new form in one statement."),
        ("drop-not-null", ERROR, "DROP NOT NULL",
         "An older worker meets a NULL it does not expect.", "First a release that reads NULL."),
        ("truncate", ERROR, "TRUNCATE of an existing table",
         "The rows are gone; readers and writers wait.", "DELETE in committed batches, in a data file."),
        ("truncate-cascade", ERROR, "TRUNCATE ... CASCADE",
         "Tables the file does not name are emptied.", "Name each table."),
        ("rename-column", ERROR, "RENAME COLUMN",
         "An older worker's queries fail.",
         "A new column, kept equal by a trigger; the old one goes in a contract file."),
        ("rename-table", ERROR, "RENAME TO or SET SCHEMA of a table, view or sequence",
         "An older worker's queries fail.",
         "RENAME and CREATE VIEW of the old name in one transaction; the view goes in a contract file."),
        ("rename-schema", ERROR, "ALTER SCHEMA ... RENAME",
         "An older worker's queries fail.", "A new schema with views."),
        ("rename-enum-value", ERROR, "ALTER TYPE ... RENAME VALUE",
         "An older worker still writes the old value.", "ADD VALUE; move the rows in batches."),
        ("disable-trigger", ERROR, "triggers or rules switched off",
         "What they check or copy is not, for anybody.", "A way round inside the trigger function."),
        ("rls-change", ERROR, "row security or a policy of an existing table changed",
         "A role suddenly sees other rows.", "Policies that let today's roles see what they see first."),
        ("revoke", ERROR, "REVOKE on an existing object",
         "An older worker fails with 'permission denied'.", "A contract file."),
        ("change-default", ERROR, "a default dropped, or changed to another value",
         "An older worker that leaves the column out writes NULL, fails, or writes what it does not expect.",
         "A contract file, after the release that always names the column."),
        ("cluster-wide-change", ERROR, "ALTER SYSTEM, ALTER DATABASE, ALTER or DROP ROLE, DROP TABLESPACE",
         "It reaches other databases and programs of the server.",
         "Outside migrations, with whoever runs the server."),
        ("json-column", WARNING, "a column of type json",
         "json has no equality: DISTINCT, GROUP BY, UNION, = fail.", "jsonb."),
    ),
    OPAQUE: (
        ("opaque-do-block", WARNING, "a DO block or dynamic SQL that cannot be seen through, or that hides hazards",
         "Nobody can say beforehand what it locks, rewrites or drops.", "The statements themselves, written out."),
    ),
    HYGIENE: (
        ("missing-lock-timeout", WARNING,
         "a strong lock without lock_timeout (reported without --hygiene only where the file switches the runner's"
         " off)",
         "Every later query of the table waits behind the waiting lock.",
         "SET LOCAL lock_timeout = '400ms'; the runner does it by itself."),
        ("missing-statement-timeout", NOTE, "no statement_timeout",
         "Nothing ends a statement that went wrong.", "SET LOCAL statement_timeout."),
        ("lock-timeout-too-long", WARNING, "lock_timeout so long that readers notice (without --hygiene: over 10 s)",
         "Every later query of the table waits that long behind the waiting lock.",
         "400 ms and retries, as the runner does."),
        ("cic-if-not-exists-keeps-invalid", NOTE, "CREATE INDEX CONCURRENTLY IF NOT EXISTS",
         "A broken earlier try leaves an INVALID index, which IF NOT EXISTS accepts; our runner looks and rebuilds"
         " it.",
         "Without IF NOT EXISTS."),
        ("multiple-concurrent-in-one-file", NOTE, "several CONCURRENTLY statements in one file",
         "After a failure only some of them are done.", "One a file."),
        ("empty-migration", NOTE, "no statement in the file", "It does nothing for ever.", "Remove it."),
        ("fk-missing-index", NOTE, "a foreign key without an index on its columns",
         "Each DELETE or key change on the other table reads this one whole.",
         "CREATE INDEX CONCURRENTLY on its columns."),
        ("multiple-alter-same-table", NOTE, "several ALTER TABLE of one table",
         "Several locks and scans where one will do.", "One ALTER TABLE with several commands."),
    ),
    STYLE: (
        ("int-type", NOTE, "integer", "Keys run out at 2 147 483 647.", "bigint."),
        ("smallint-type", NOTE, "smallint", "It runs out at 32 767.", "bigint."),
        ("serial-type", NOTE, "serial",
         "Its sequence has its own rights and owner.", "bigint GENERATED ALWAYS AS IDENTITY."),
        ("varchar-limit", NOTE, "varchar(n)", "The limit is hard to lower later.", "text, with a CHECK."),
        ("char-type", NOTE, "char(n)", "It pads with blanks.", "text."),
        ("timestamp-without-tz", NOTE, "timestamp without time zone",
         "Nobody knows what moment it means.", "timestamptz."),
        ("enum-create", NOTE, "CREATE TYPE ... AS ENUM",
         "Values cannot be removed.", "text with a CHECK, or a table."),
        ("enum-add-value-unordered", NOTE, "ADD VALUE without BEFORE or AFTER",
         "Its place in the order is left to chance.", "ADD VALUE ... AFTER."),
        ("domain-with-constraint", NOTE, "CREATE DOMAIN with a constraint",
         "To change it, all tables are checked.", "A CHECK on the table."),
        ("identifier-too-long", NOTE, "a name over 63 bytes",
         "PostgreSQL cuts it off without a word.", "A shorter one."),
    ),
    FILE: (
        ("malformed-directive", ERROR, "a `-- prodsafe:` line that has no effect",
         "What it was to allow is not allowed, or it allows nothing.", "-- prodsafe: allow CATEGORY because REASON"),
    ),
}  # fmt: skip

CATEGORIES: dict[str, Category] = {
    name: Category(name, group, severity, what, why, instead)
    for group, rows in _ROWS.items()
    for name, severity, what, why, instead in rows
}
