"""The linter's corpus: every hazard in the forms people write it, and beside it the safe form that must pass.

Each case is SQL as one file on standard input. HAZARDS: the category must be found. SAFE: nothing at all may be found.
"""

from __future__ import annotations

import pytest

from prodsafe.migrations.lint.categories import BLOCKING, CATEGORIES, RUNTIME
from prodsafe.migrations.lint.linter import SqlFile, lint
from prodsafe.migrations.lint.parser import parse
from prodsafe.migrations.lint.schema import Schema
from prodsafe.migrations.lint.transactions import COMMIT_IN_BLOCK, alone
from prodsafe.migrations.statements import Way, split
from tests.lint_cases import TWINS, Case, case, found, report

USERS = """
CREATE TABLE users (id bigint PRIMARY KEY, email varchar(20) NOT NULL, note text, price numeric(10,2), n int,
                    seen timestamp, name text DEFAULT 'x');
CREATE INDEX users_note_idx ON users (note);
"""
PARTITIONED = """
CREATE TABLE logs (id bigint, at timestamptz NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE logs_2024 (id bigint, at timestamptz NOT NULL);
"""
DAYS = """
CREATE TABLE days (day date NOT NULL, n int) PARTITION BY RANGE (day);
CREATE TABLE days_2024 (day date NOT NULL, n int);
"""
ATTACH_2024 = "ALTER TABLE days ATTACH PARTITION days_2024 FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');"
LISTED = """
CREATE TABLE places (country text NOT NULL) PARTITION BY LIST (country);
CREATE TABLE places_de (country text NOT NULL);
"""

HAZARDS: dict[str, list[Case]] = {
    "index-not-concurrent": [
        case("CREATE INDEX i ON ONLY users (note);", USERS),
        case("CREATE INDEX i ON t (c);"),
        case("create unique index on t (lower(c)) where c is not null"),
        case('CREATE INDEX "My Idx" ON "My Schema"."T" ("C");'),
        case("CREATE INDEX IF NOT EXISTS i ON public.t USING gin (c);"),
        case("BEGIN; CREATE INDEX i ON t (c); COMMIT;"),
        case("CREATE TABLE a (id int); CREATE INDEX i ON b (id);"),
        case("CREATE TABLE other.t (c int); CREATE INDEX i ON t (c);"),
        case("CREATE INDEX i ON users (note);", USERS),
        case("DO $$ BEGIN IF true THEN CREATE INDEX i ON t (c); END IF; END $$;"),
        case("CREATE INDEX i ON logs (at);", PARTITIONED),
        case("CREATE MATERIALIZED VIEW v AS SELECT 1 AS a; CREATE INDEX i ON w (a);"),
        case("CREATE TABLE t (a int); ALTER TABLE t RENAME TO u; CREATE INDEX i ON t (a);"),
    ],
    "index-drop-not-concurrent": [
        case("DROP INDEX i;"),
        case('DROP INDEX IF EXISTS s."I", j;'),
        case("DROP INDEX i CASCADE;"),
        case("DROP INDEX users_note_idx;", USERS),
        case("DO $$ BEGIN DROP INDEX i; END $$"),
    ],
    "reindex-not-concurrent": [
        case("REINDEX (CONCURRENTLY 0) TABLE t;"),
        case("REINDEX TABLE t;"),
        case("REINDEX INDEX i;"),
        case("REINDEX (CONCURRENTLY false) TABLE t;"),
        case("REINDEX (VERBOSE, CONCURRENTLY off) INDEX i;"),
        case("REINDEX SCHEMA s;"),
        case("REINDEX DATABASE d;"),
        case("REINDEX SYSTEM d;"),
    ],
    "detach-not-concurrent": [
        case("ALTER TABLE p DETACH PARTITION c;"),
        case('ALTER TABLE IF EXISTS "P" DETACH PARTITION s."C";'),
    ],
    "attach-partition-scan": [
        case(ATTACH_2024, DAYS + "ALTER TABLE days_2024 ADD CONSTRAINT b CHECK (day IS NOT NULL);"),
        case(ATTACH_2024,
             DAYS + "ALTER TABLE days_2024 ADD CONSTRAINT b CHECK (day >= '2020-01-01' AND day < '2021-01-01');"),
        case(ATTACH_2024, DAYS + "ALTER TABLE days_2024 ADD CONSTRAINT b CHECK (day >= '2024-01-01');"),
        case(ATTACH_2024,
             DAYS + "ALTER TABLE days_2024 ADD CONSTRAINT b CHECK (day >= '2024-01-01' AND day <= '2025-01-01');"),
        case("ALTER TABLE places ATTACH PARTITION places_de FOR VALUES IN ('DE');",
             LISTED + "ALTER TABLE places_de ADD CHECK (country = 'FR');"),
        case("ALTER TABLE p ATTACH PARTITION c FOR VALUES FROM (1) TO (2);"),
        case("ALTER TABLE logs ATTACH PARTITION logs_2024 FOR VALUES FROM ('2024-01-01') TO (MAXVALUE);", PARTITIONED),
        case("ALTER TABLE p ATTACH PARTITION c DEFAULT;"),
        case(
            "ALTER TABLE logs ATTACH PARTITION logs_2024 FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');",
            PARTITIONED + "ALTER TABLE logs_2024 ADD CONSTRAINT b CHECK (at >= '2024-01-01') NOT VALID;",
        ),
        case(
            "ALTER TABLE logs ATTACH PARTITION logs_2024 FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');",
            PARTITIONED + "ALTER TABLE logs_2024 ADD CONSTRAINT b CHECK (id > 0);",
        ),
    ],
    "matview-refresh-not-concurrent": [
        case("REFRESH MATERIALIZED VIEW v;"),
        case("REFRESH MATERIALIZED VIEW s.v WITH NO DATA;"),
        case("REFRESH MATERIALIZED VIEW v;", "CREATE MATERIALIZED VIEW v AS SELECT 1 AS a;"),
    ],
    "constraint-without-not-valid": [
        case("ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0);"),
        case("ALTER TABLE t ADD CHECK (a > 0);"),
        case("ALTER TABLE ONLY s.t ADD CONSTRAINT c CHECK (a > 0), ADD COLUMN b int;"),
        case("ALTER TABLE t ADD COLUMN b int CHECK (b > 0);"),
        case("ALTER TABLE t ADD COLUMN b int DEFAULT 1 CONSTRAINT positive CHECK (b > 0);"),
    ],
    "fk-without-not-valid": [
        case("ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES o (id);"),
        case("ALTER TABLE t ADD FOREIGN KEY (a, b) REFERENCES o ON DELETE CASCADE DEFERRABLE;"),
        case("ALTER TABLE t ADD COLUMN o_id bigint REFERENCES o (id);"),
        case("ALTER TABLE t ADD COLUMN o_id bigint CONSTRAINT f REFERENCES o ON DELETE SET NULL;"),
        case("CREATE TABLE o (id int PRIMARY KEY); ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES o;"),
    ],
    "validate-in-same-transaction": [
        case("ALTER TABLE t ADD CHECK (a > 0) NOT VALID; ALTER TABLE t VALIDATE CONSTRAINT t_a_check;"),
        case("ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES b NOT VALID; ALTER TABLE t VALIDATE CONSTRAINT t_a_fkey;"),
        case("ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID; ALTER TABLE t RENAME CONSTRAINT c TO d;"
             " ALTER TABLE t VALIDATE CONSTRAINT d;"),
        case("ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID; ALTER TABLE t VALIDATE CONSTRAINT c;"),
        case("BEGIN; ALTER TABLE t ADD CONSTRAINT c CHECK (a>0) NOT VALID; ALTER TABLE t VALIDATE CONSTRAINT c;"
             " COMMIT;"),
        case(
            'ALTER TABLE "T" ADD CONSTRAINT "F" FOREIGN KEY (a) REFERENCES o (id) NOT VALID;'
            ' ALTER TABLE "T" VALIDATE CONSTRAINT "F";',
            transaction=True,
        ),
        case("ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID, VALIDATE CONSTRAINT c;", transaction=False),
        case(
            "ALTER TABLE public.t ADD CONSTRAINT c CHECK (a>0) NOT VALID; ALTER TABLE t VALIDATE CONSTRAINT c;",
            transaction=True,
        ),
    ],
    "unique-without-index": [
        case("ALTER TABLE t ADD CONSTRAINT u UNIQUE (a);"),
        case("ALTER TABLE t ADD UNIQUE (a, b);"),
        case("ALTER TABLE t ADD UNIQUE NULLS NOT DISTINCT (a) INCLUDE (b);"),
        case("ALTER TABLE t ADD COLUMN a text UNIQUE;"),
        case("ALTER TABLE t ADD COLUMN a text CONSTRAINT u UNIQUE;"),
    ],
    "pk-without-index": [
        case("ALTER TABLE t ADD PRIMARY KEY (id);"),
        case("ALTER TABLE t ADD CONSTRAINT p PRIMARY KEY (a, b);"),
        case("ALTER TABLE t ADD COLUMN id bigserial PRIMARY KEY;"),
        case("ALTER TABLE t ADD COLUMN id uuid DEFAULT gen_random_uuid() PRIMARY KEY;"),
    ],
    "pk-using-nullable-index": [
        case(
            "ALTER TABLE t ADD CONSTRAINT p PRIMARY KEY USING INDEX i;",
            "CREATE TABLE t (a int); CREATE UNIQUE INDEX i ON t (a);",
        ),
        case(
            "ALTER TABLE t ADD CONSTRAINT p PRIMARY KEY USING INDEX i;",
            "CREATE TABLE t (a int NOT NULL, b int); CREATE UNIQUE INDEX CONCURRENTLY i ON t (a, b);",
        ),
    ],
    "exclusion-constraint": [
        case("ALTER TABLE t ADD CONSTRAINT e EXCLUDE USING gist (a WITH &&);"),
        case("ALTER TABLE t ADD EXCLUDE (a WITH =);"),
    ],
    "set-not-null-full-scan": [
        case("ALTER TABLE t ALTER COLUMN a SET NOT NULL;"),
        case('ALTER TABLE IF EXISTS ONLY "T" ALTER "A" SET NOT NULL;'),
        case("ALTER TABLE users ALTER COLUMN note SET NOT NULL;", USERS),
        case(
            "ALTER TABLE users ALTER COLUMN note SET NOT NULL;",
            USERS + "ALTER TABLE users ADD CONSTRAINT c CHECK (note IS NOT NULL) NOT VALID;",
        ),
        case(
            "ALTER TABLE users ALTER COLUMN note SET NOT NULL;",
            USERS + "ALTER TABLE users ADD CONSTRAINT c CHECK (price IS NOT NULL);",
        ),
        case(
            "ALTER TABLE users ALTER COLUMN note SET NOT NULL;",
            USERS + "ALTER TABLE users ADD CONSTRAINT c CHECK (note IS NOT NULL OR n > 0);",
        ),
        case("ALTER TABLE t ADD COLUMN a int DEFAULT 0; ALTER TABLE t ALTER COLUMN a SET NOT NULL;"),
        case("ALTER TABLE t ADD CONSTRAINT c NOT NULL a;"),
        case("ALTER TABLE t VALIDATE CONSTRAINT other; ALTER TABLE t ALTER COLUMN a SET NOT NULL;"),
    ],
    "volatile-default-rewrite": [
        case("ALTER TABLE t ADD COLUMN a uuid DEFAULT gen_random_uuid();"),
        case("ALTER TABLE t ADD a timestamptz NOT NULL DEFAULT clock_timestamp();"),
        case("ALTER TABLE t ADD COLUMN a int DEFAULT (random() * 10)::int;"),
        case("ALTER TABLE t ADD COLUMN a int DEFAULT nextval('s');"),
        case("ALTER TABLE t ADD COLUMN a jsonb DEFAULT my_default();"),
        case("ALTER TABLE t ADD COLUMN a uuid DEFAULT uuid_generate_v4();"),
        case("ALTER TABLE t ADD COLUMN a int DEFAULT f();", "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS"
                                                            " 'SELECT 1';"),
        case("ALTER TABLE t ADD COLUMN a text DEFAULT coalesce(my.f(), 'x');"),
    ],
    "generated-stored-rewrite": [
        case("ALTER TABLE t ADD COLUMN a int GENERATED ALWAYS AS (b * 2) STORED;"),
        case("ALTER TABLE t ALTER COLUMN a SET EXPRESSION AS (b * 3);"),
    ],
    "serial-column-rewrite": [
        case("ALTER TABLE t ADD COLUMN id serial;"),
        case("ALTER TABLE t ADD COLUMN id bigserial NOT NULL;"),
        case("ALTER TABLE t ADD COLUMN id smallserial;"),
        case("ALTER TABLE t ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY;"),
        case("ALTER TABLE t ADD COLUMN id int GENERATED BY DEFAULT AS IDENTITY (START 5);"),
    ],
    "domain-column-scan": [
        case("ALTER TABLE t ADD COLUMN a d;", "CREATE DOMAIN d AS int CHECK (value > 0);"),
        case('ALTER TABLE t ADD COLUMN a s."D" DEFAULT 1;', 'CREATE DOMAIN s."D" AS text NOT NULL;'),
        case("CREATE DOMAIN d AS int CHECK (value > 0); ALTER TABLE t ADD COLUMN a d;"),
        case("ALTER TABLE t ADD COLUMN a e;", "CREATE DOMAIN d AS int CHECK (value > 0); CREATE DOMAIN e AS d;"),
    ],
    "domain-add-constraint": [
        case("ALTER DOMAIN d ADD CONSTRAINT c CHECK (value > 0);"),
        case("ALTER DOMAIN s.d ADD CHECK (value <> '');"),
        case("ALTER DOMAIN d SET NOT NULL;"),
    ],
    "change-column-type": [
        case("ALTER TABLE t ALTER COLUMN a TYPE bigint;"),
        case("ALTER TABLE t ALTER a SET DATA TYPE text USING a::text;"),
        case("ALTER TABLE users ALTER COLUMN n TYPE bigint;", USERS),
        case("ALTER TABLE users ALTER COLUMN email TYPE varchar(10);", USERS),
        case("ALTER TABLE users ALTER COLUMN email TYPE varchar(40) USING lower(email);", USERS),
        case("ALTER TABLE users ALTER COLUMN price TYPE numeric(12,3);", USERS),
        case("ALTER TABLE users ALTER COLUMN price TYPE numeric(8,2);", USERS),
        case("ALTER TABLE users ALTER COLUMN seen TYPE timestamptz;", USERS),
        case("ALTER TABLE users ALTER COLUMN note TYPE jsonb USING note::jsonb;", USERS),
        case("ALTER TABLE users ALTER COLUMN email TYPE char(20);", USERS),
        case('ALTER TABLE users ALTER COLUMN email TYPE varchar(40) COLLATE "C";', USERS),
        case("ALTER TYPE comp ALTER ATTRIBUTE a TYPE text;"),
        case("ALTER TABLE t ADD COLUMN b int, ALTER COLUMN a TYPE text;"),
        case("ALTER TABLE t ALTER a TYPE text;", "CREATE TABLE t (a citext UNIQUE);"),
        case("ALTER TABLE t ALTER a TYPE timestamp(3);", "CREATE TABLE t (a timestamp);"),
        case("ALTER TABLE t ALTER a TYPE text[];", "CREATE TABLE t (a int[]);"),
    ],
    "table-rewrite-command": [
        case("VACUUM FULL t;"),
        case("VACUUM (FULL, ANALYZE) s.t;"),
        case("VACUUM FULL;"),
        case("CLUSTER t USING i;"),
        case("CLUSTER t;"),
        case("ALTER TABLE t SET UNLOGGED;"),
        case("ALTER TABLE t SET LOGGED;"),
        case("ALTER TABLE t SET TABLESPACE fast;"),
        case("ALTER TABLE t SET ACCESS METHOD heap;"),
        case("ALTER INDEX i SET TABLESPACE fast;"),
        case("ALTER MATERIALIZED VIEW v SET TABLESPACE fast;"),
        case("ALTER TABLE ALL IN TABLESPACE a SET TABLESPACE b;"),
        case("ALTER DATABASE d SET TABLESPACE b;"),
    ],
    "unbatched-dml": [
        case("INSERT INTO a SELECT * FROM b LIMIT ALL;"),
        case("UPDATE t SET a = 1;"),
        case("UPDATE t SET a = 0 WHERE a IS NULL;"),
        case("UPDATE t SET a = b WHERE a IS DISTINCT FROM b;"),
        case("DELETE FROM t;"),
        case("DELETE FROM t WHERE created_at < now() - interval '1 year';"),
        case("DELETE FROM t WHERE active = false;"),
        case("DELETE FROM t WHERE status = 'old';"),
        case("UPDATE t SET a = o.b FROM o WHERE o.id = t.o_id;"),
        case("DELETE FROM t USING o WHERE o.id = t.o_id;"),
        case("INSERT INTO t SELECT * FROM o;"),
        case("INSERT INTO t (a) SELECT a FROM o WHERE b;"),
        case("INSERT INTO t SELECT a.id FROM a JOIN b USING (id);"),
        case("MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN UPDATE SET a = s.a;"),
        case("WITH d AS (DELETE FROM t RETURNING *) INSERT INTO archive SELECT * FROM d;"),
        case("WITH x AS (SELECT id FROM o) UPDATE t SET a = 1 FROM x WHERE x.id = t.id;"),
        case("WITH u AS (UPDATE t SET a = 1 RETURNING 1) SELECT count(*) FROM u;"),
        case("UPDATE t SET a = 1 WHERE id IN (SELECT t_id FROM o);"),
        case("UPDATE t SET a = 1 WHERE EXISTS (SELECT 1 FROM o WHERE o.id = t.id);"),
        case("UPDATE t SET a = 1 WHERE true;"),
        case("UPDATE t SET a = 1 WHERE id = 1 OR b IS NULL;"),
        case("UPDATE t SET a = 1 WHERE id > 0;"),
        case("DO $$ BEGIN UPDATE t SET a = 1; END $$;"),
        case(
            "DO $$ BEGIN LOOP UPDATE t SET a = 1 WHERE id IN (SELECT id FROM t WHERE a IS NULL LIMIT 1000);"
            " EXIT WHEN NOT FOUND; END LOOP; END $$;"
        ),
        case("DO $$ DECLARE r record; BEGIN FOR r IN SELECT id FROM t LOOP UPDATE t SET a = 1 WHERE id = r.id; END"
             " LOOP; END $$"),
        case("SELECT backfill();", "CREATE FUNCTION backfill() RETURNS void LANGUAGE sql AS 'UPDATE t SET a = 1';"),
        case(
            "CALL fill();",
            "CREATE PROCEDURE fill() LANGUAGE plpgsql AS $$ BEGIN IF true THEN DELETE FROM t; END IF; END $$;",
        ),
        case('UPDATE "Odd Table" SET "a b" = 1;'),
        case("EXPLAIN ANALYZE DELETE FROM t;"),
    ],
    "locked-then-more-statements": [
        case("ALTER TABLE a ADD COLUMN x int; ALTER TABLE b ALTER COLUMN y TYPE bigint;"),
        case("BEGIN; ALTER TABLE a ADD COLUMN x int; ALTER TABLE b ADD CONSTRAINT c CHECK (d > 0); COMMIT;"),
        case("ALTER TABLE t ADD COLUMN a int; UPDATE o SET b = 1;"),
        case("ALTER TABLE t ADD COLUMN a int; SELECT count(*) FROM t;"),
        case("BEGIN; ALTER TABLE t ADD COLUMN a int; SELECT * FROM o; COMMIT;"),
        case("ALTER TABLE t ADD COLUMN a int; CREATE INDEX i ON o (a);", transaction=True),
        case("ALTER TABLE t ADD COLUMN a int; ALTER TABLE t VALIDATE CONSTRAINT old;"),
        case("DO $$ BEGIN ALTER TABLE t ADD COLUMN a int; PERFORM count(*) FROM t; END $$", transaction=False),
        case("LOCK TABLE t; DELETE FROM o;"),
        case("ALTER TABLE a ADD COLUMN x int; ALTER TABLE b VALIDATE CONSTRAINT old;"),
    ],
    "explicit-lock": [
        case("LOCK TABLE t;"),
        case("LOCK t IN SHARE MODE;"),
        case('LOCK TABLE ONLY s."T" IN EXCLUSIVE MODE NOWAIT;'),
        case("DO $$ BEGIN LOCK TABLE t IN ACCESS EXCLUSIVE MODE; END $$"),
    ],
    "create-trigger": [
        case("CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();"),
        case("CREATE OR REPLACE TRIGGER x AFTER UPDATE OF a ON s.t EXECUTE PROCEDURE f();"),
        case("CREATE CONSTRAINT TRIGGER x AFTER INSERT ON t DEFERRABLE FOR EACH ROW EXECUTE FUNCTION f();"),
    ],
    "create-rule": [case("CREATE RULE r AS ON INSERT TO t DO INSTEAD NOTHING;"), case("CREATE OR REPLACE RULE r AS"
                                                                                      " ON UPDATE TO t DO ALSO"
                                                                                      " SELECT 1;")],
    "adding-not-null-without-default": [
        case("ALTER TABLE t ADD COLUMN a int NOT NULL;"),
        case("ALTER TABLE t ADD a int NOT NULL DEFAULT NULL;"),
        case("ALTER TABLE IF EXISTS t ADD COLUMN IF NOT EXISTS a text NOT NULL CHECK (a <> '');"),
        case("ALTER TABLE t ADD COLUMN a int PRIMARY KEY;"),
    ],
    "concurrent-in-transaction": [
        case("CREATE INDEX CONCURRENTLY i ON t (c);", transaction=True),
        case("BEGIN; CREATE INDEX CONCURRENTLY i ON t (c); COMMIT;"),
        case("BEGIN; DROP INDEX CONCURRENTLY i; COMMIT;", transaction=False),
        case("START TRANSACTION; REINDEX INDEX CONCURRENTLY i; COMMIT;"),
        case("REINDEX (CONCURRENTLY) TABLE t;", transaction=True),
        case("ALTER TABLE p DETACH PARTITION c CONCURRENTLY;", transaction=True),
        case("VACUUM t;", transaction=True),
        case("BEGIN; VACUUM (ANALYZE) t; COMMIT;"),
        case("CREATE DATABASE d;", transaction=True),
        case("DROP DATABASE d;", transaction=True),
        case("ALTER SYSTEM SET work_mem = '1GB';", transaction=True),
        case("CREATE TABLESPACE x LOCATION '/x';", transaction=True),
        case("CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p;", transaction=True),
        case("DO $$ BEGIN CREATE INDEX CONCURRENTLY i ON t (c); END $$;"),
        case("REINDEX SCHEMA s;", transaction=True),
        case("CLUSTER;", transaction=True),
    ],
    "concurrent-on-partitioned": [
        case("CREATE INDEX CONCURRENTLY i ON logs (at);", PARTITIONED),
        case("CREATE TABLE p (a int) PARTITION BY LIST (a); CREATE INDEX CONCURRENTLY i ON p (a);"),
        case("CREATE UNIQUE INDEX CONCURRENTLY i ON ONLY logs (at);", PARTITIONED),
        case("DROP INDEX CONCURRENTLY i;", PARTITIONED + "CREATE INDEX i ON logs (at);"),
    ],
    "enum-value-used-in-same-transaction": [
        case("ALTER TYPE e ADD VALUE 'x'; INSERT INTO t (a) VALUES ('x');"),
        case("ALTER TYPE e ADD VALUE IF NOT EXISTS 'x' AFTER 'y'; ALTER TABLE t ALTER COLUMN a SET DEFAULT 'x';"),
        case("BEGIN; ALTER TYPE e ADD VALUE 'x'; UPDATE t SET a = 'x' WHERE id = 1; COMMIT;"),
        case("ALTER TYPE s.e ADD VALUE 'x'; UPDATE t SET a = 'x'::s.e WHERE id = 5;", transaction=True),
        case("ALTER TYPE e ADD VALUE 'x'; DO $$ BEGIN UPDATE t SET a = 'x' WHERE id = 1; END $$;"),
    ],
    "enum-add-value-in-transaction": [case("BEGIN; ALTER TYPE e ADD VALUE 'x'; COMMIT;")],
    "syntax-error": [
        case("/* open comment"),
        case("SELECT 1; /* open comment"),
        case("ALTER TABEL t ADD COLUMN a int;"),
        case("SELECT 1; CREATE TABLE t (a int,);"),
        case("\\connect other\nSELECT 1;"),
        case("SELECT 1;\n\\i other.sql\n"),
        case("SELECT 'open"),
        case("CREATE TABLE t (a int"),
        case("SELECT 1;\0 DROP TABLE t;"),
    ],
    "transaction-nesting": [
        case("BEGIN; BEGIN; SELECT 1; COMMIT;"),
        case("BEGIN; START TRANSACTION; COMMIT;", transaction=False),
        case("COMMIT;"),
        case("SELECT 1; ROLLBACK;", transaction=False),
        case("BEGIN; COMMIT; COMMIT;"),
        case("BEGIN; SELECT 1; COMMIT;", transaction=True),
        case("SELECT 1; COMMIT;", transaction=True),
        case("DO $$ BEGIN COMMIT; END $$;", transaction=True),
    ],
    "uncommitted-transaction": [
        case("BEGIN; ALTER TABLE t ADD COLUMN a int;"),
        case("BEGIN; SELECT 1; COMMIT; BEGIN; SELECT 2;", transaction=False),
        case("START TRANSACTION; SELECT 1;"),
        case("BEGIN; SELECT 1; COMMIT AND CHAIN;"),
    ],
    "drop-column": [
        case("ALTER TABLE t DROP COLUMN a;"),
        case('ALTER TABLE s."T" ADD COLUMN b int, DROP IF EXISTS "A" CASCADE;'),
        case("ALTER TYPE comp DROP ATTRIBUTE a;"),
        case("DO $$ BEGIN EXECUTE 'ALTER TABLE t DROP COLUMN a'; END $$"),
    ],
    "drop-table": [
        case("DROP TABLE t;"),
        case('DROP TABLE IF EXISTS s."T", u CASCADE;'),
        case("DROP FOREIGN TABLE t;"),
        case("CREATE TABLE t (a int); DROP TABLE u;"),
    ],
    "drop-view": [case("DROP VIEW v;"), case("DROP MATERIALIZED VIEW IF EXISTS v;")],
    "drop-schema": [case("DROP SCHEMA s;"), case("DROP SCHEMA IF EXISTS s CASCADE;")],
    "drop-database": [case("DROP DATABASE d;"), case("DROP DATABASE IF EXISTS d WITH (FORCE);")],
    "drop-type": [case("DROP TYPE e;"), case("DROP DOMAIN d;"), case("ALTER TYPE e RENAME TO f;")],
    "drop-sequence": [case("DROP SEQUENCE s;")],
    "drop-function": [
        case("DROP FUNCTION f(int);"), case("DROP PROCEDURE p;"), case("DROP AGGREGATE a(int);"),
        case("ALTER FUNCTION f(int) RENAME TO g;"), case("DROP EXTENSION hstore;"),
    ],
    "drop-trigger": [case("DROP TRIGGER x ON t;"), case("DROP TRIGGER IF EXISTS x ON s.t;")],
    "drop-owned": [case("DROP OWNED BY r;"), case("DROP OWNED BY CURRENT_USER CASCADE;")],
    "drop-cascade": [
        case("DROP OWNED BY r CASCADE;"),
        case("DROP TABLE t CASCADE;"), case("ALTER TABLE t DROP COLUMN a CASCADE;"), case("DROP TYPE e CASCADE;"),
        case("ALTER TABLE t DROP CONSTRAINT c CASCADE;"), case("DROP EXTENSION x CASCADE;"),
    ],
    "drop-constraint": [
        case("ALTER TABLE t DROP CONSTRAINT c;"),
        case("ALTER TABLE users DROP CONSTRAINT IF EXISTS users_pkey;", USERS),
        case("ALTER DOMAIN d DROP CONSTRAINT c;"),
    ],
    "drop-not-null": [
        case("ALTER DOMAIN d DROP NOT NULL;"),
        case("ALTER TABLE t ALTER COLUMN a DROP NOT NULL;"), case('ALTER TABLE ONLY "T" ALTER "A" DROP NOT NULL;'),
    ],
    "truncate": [case("TRUNCATE t;"), case("TRUNCATE TABLE ONLY s.t, u RESTART IDENTITY;")],
    "truncate-cascade": [case("TRUNCATE t CASCADE;")],
    "rename-column": [
        case("ALTER TABLE t RENAME COLUMN a TO b;"), case('ALTER TABLE "T" RENAME "A" TO b;'),
        case("ALTER VIEW v RENAME COLUMN a TO b;"), case("ALTER TYPE c RENAME ATTRIBUTE a TO b;"),
    ],
    "rename-table": [
        case("ALTER TABLE t RENAME TO u;"), case("ALTER VIEW v RENAME TO w;"), case("ALTER TABLE t SET SCHEMA s;"),
        case("ALTER MATERIALIZED VIEW v RENAME TO w;"), case("ALTER SEQUENCE s RENAME TO r;"),
        case("ALTER TABLE t RENAME TO u; CREATE VIEW t AS SELECT * FROM u;", transaction=False),
    ],
    "rename-schema": [case("ALTER SCHEMA a RENAME TO b;")],
    "rename-enum-value": [case("ALTER TYPE e RENAME VALUE 'a' TO 'b';")],
    "disable-trigger": [
        case("ALTER TABLE t DISABLE TRIGGER ALL;"), case("ALTER TABLE t DISABLE TRIGGER x;"),
        case("ALTER TABLE t DISABLE TRIGGER USER;"), case("SET session_replication_role = replica;"),
        case("SET LOCAL session_replication_role TO 'replica';"),
        case("SELECT set_config('session_replication_role', 'replica', true);"),
        case("ALTER EVENT TRIGGER x DISABLE;"), case("ALTER TABLE t DISABLE RULE r;"),
    ],
    "rls-change": [
        case("ALTER TABLE t ENABLE ROW LEVEL SECURITY;"), case("ALTER TABLE t FORCE ROW LEVEL SECURITY;"),
        case("ALTER TABLE t DISABLE ROW LEVEL SECURITY;"), case("CREATE POLICY p ON t USING (true);"),
        case("DROP POLICY p ON t;"), case("ALTER POLICY p ON t TO r;"),
    ],
    "revoke": [
        case("ALTER DEFAULT PRIVILEGES IN SCHEMA s REVOKE SELECT ON TABLES FROM app;"),
        case("REVOKE SELECT ON t FROM app;"), case("REVOKE ALL ON ALL TABLES IN SCHEMA s FROM app;"),
        case("REVOKE admin FROM app;"), case("REVOKE USAGE ON SCHEMA s FROM app;"),
    ],
    "change-default": [
        case("ALTER TABLE t ALTER COLUMN a DROP DEFAULT;"),
        case("ALTER TABLE users ALTER COLUMN name SET DEFAULT 'y';", USERS),
        case("ALTER TABLE t ALTER COLUMN a DROP IDENTITY;"),
        case("ALTER TABLE t ADD COLUMN a int NOT NULL DEFAULT 5; ALTER TABLE t ALTER COLUMN a DROP DEFAULT;"),
    ],
    "cluster-wide-change": [
        case("ALTER DATABASE d OWNER TO o;"),
        case("ALTER SYSTEM SET max_connections = 10;"), case("ALTER DATABASE d SET work_mem = '1GB';"),
        case("ALTER ROLE r SET search_path = x;"), case("ALTER ROLE r NOLOGIN;"), case("DROP ROLE r;"),
        case("ALTER DATABASE d RENAME TO e;"), case("ALTER SYSTEM RESET ALL;"), case("ALTER USER r WITH SUPERUSER;"),
    ],
    "json-column": [
        case("ALTER TABLE t ADD COLUMN a json;"), case("ALTER TABLE t ALTER COLUMN a TYPE json;"),
        case("CREATE TABLE t (a json);"), case("ALTER TABLE t ADD a pg_catalog.json;"),
    ],
    "opaque-do-block": [
        case("DO $$ BEGIN EXECUTE format('DROP TABLE %I', 'x'); END $$;"),
        case("DO $$ DECLARE r record; BEGIN FOR r IN SELECT tablename FROM pg_tables LOOP"
             " EXECUTE 'ALTER TABLE ' || r.tablename || ' ADD COLUMN a int'; END LOOP; END $$;"),
        case("DO LANGUAGE plpython3u $$ plpy.execute('x') $$;"),
        case("DO $$ DECLARE q text := 'x'; BEGIN EXECUTE q USING 1; END $$;"),
        case("DO $$ BEGIN UPDATE t SET a = 1; END $$;"),
        case("SELECT f();", "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE x; END $$;"),
    ],
    "missing-lock-timeout": [
        case("SET lock_timeout = '1s'; DISCARD ALL; ALTER TABLE t ADD COLUMN a int;"),
        case("SET lock_timeout = 0; ALTER TABLE t ADD COLUMN a int;"),
        case("RESET lock_timeout; ALTER TABLE t ADD COLUMN a int;"),
        case("SET LOCAL lock_timeout = '1s'; ALTER TABLE t ADD COLUMN a int;", transaction=False),
        case("SET lock_timeout = '1s'; RESET ALL; ALTER TABLE t ADD COLUMN a int;"),
        case("SELECT set_config('lock_timeout', '0', true); ALTER TABLE t ADD COLUMN a int;"),
    ],
    "lock-timeout-too-long": [
        case("SET lock_timeout = '5min'; ALTER TABLE t ADD COLUMN a int;"),
        case("SET LOCAL lock_timeout TO 60000; ALTER TABLE t ADD COLUMN a int;"),
    ],
    "malformed-directive": [
        case("-- prodsafe: allow drop-table\nSELECT 1;"),
        case("-- prodsafe: allow drop-everything because it is old\nSELECT 1;"),
        case("-- prodsafe: skip drop-table because reasons\nSELECT 1;"),
        case("SELECT 1;\n-- prodsafe: allow drop-table because it is old\nDROP TABLE t;"),
    ],
}  # fmt: skip

SAFE: list[Case] = [
    # indexes
    case("CREATE INDEX CONCURRENTLY i ON t (c);"),
    case("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON s.t (c) WHERE c > 0;"),
    case("CREATE TABLE t (id bigint PRIMARY KEY); CREATE INDEX i ON t (id);"),
    case('CREATE TABLE "S"."T" (id bigint); CREATE UNIQUE INDEX i ON "S"."T" (id); DROP INDEX "S".i;'),
    case("CREATE TABLE public.t (id bigint); CREATE INDEX i ON t (id);"),
    case("CREATE TABLE t AS SELECT 1 AS a; CREATE INDEX i ON t (a);"),
    case("SET search_path = app, public; CREATE TABLE t (a int); CREATE INDEX i ON app.t (a);"),
    case("SET LOCAL search_path TO app; CREATE TABLE app.t (a int); CREATE INDEX i ON t (a);"),
    case("SELECT 1 AS a INTO t; CREATE INDEX i ON t (a);"),
    case("CREATE TABLE t (LIKE o INCLUDING ALL); CREATE INDEX i ON t (a);"),
    case("CREATE TABLE t PARTITION OF p FOR VALUES IN (1); CREATE INDEX i ON t (a);"),
    case("CREATE TEMP TABLE t (a int); CREATE INDEX i ON t (a); UPDATE t SET a = 1; DROP TABLE t;"),
    case("CREATE TABLE t (a int); ALTER TABLE t RENAME TO u; CREATE INDEX i ON u (a);"),
    case("CREATE MATERIALIZED VIEW v AS SELECT 1 AS a WITH NO DATA; CREATE UNIQUE INDEX i ON v (a); REFRESH"
         " MATERIALIZED VIEW v;"),
    case("CREATE TABLE IF NOT EXISTS t (a int); CREATE INDEX IF NOT EXISTS i ON t (a);"),
    case("CREATE INDEX i ON ONLY logs (at);", PARTITIONED),
    case("ALTER INDEX i ATTACH PARTITION j;"),
    case("CREATE INDEX CONCURRENTLY i ON logs_2024 (at);", PARTITIONED),
    case("DROP INDEX CONCURRENTLY IF EXISTS s.i;"),
    case("REINDEX INDEX CONCURRENTLY i;"),
    case("REINDEX (CONCURRENTLY, VERBOSE) TABLE t;"),
    case("REINDEX (CONCURRENTLY true) TABLE t;"),
    case("REFRESH MATERIALIZED VIEW CONCURRENTLY v;"),
    case("REFRESH MATERIALIZED VIEW v;", "CREATE MATERIALIZED VIEW v AS SELECT 1 AS a WITH NO DATA;"),
    case("CREATE INDEX CONCURRENTLY i ON t (c);", transaction=False),
    case("ALTER TABLE t ADD COLUMN a int; CREATE INDEX CONCURRENTLY i ON t (a);"),
    case("BEGIN; ALTER TABLE t ADD COLUMN a int; COMMIT; CREATE INDEX CONCURRENTLY i ON t (a);", transaction=False),
    case("BEGIN; CREATE TABLE t (a int); CREATE INDEX i ON t (a); COMMIT;"),
    case("ALTER INDEX i RENAME TO j;"),
    case("ALTER INDEX i SET (fillfactor = 70);"),
    # constraints
    case("ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID;"),
    case("ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT ENFORCED;"),
    case("ALTER TABLE t VALIDATE CONSTRAINT c;"),
    case("ALTER TABLE t ADD CONSTRAINT c CHECK (a) NOT VALID; ALTER TABLE t VALIDATE CONSTRAINT c;", transaction=False),
    case(
        "BEGIN; ALTER TABLE t ADD CONSTRAINT c CHECK (a>0) NOT VALID; COMMIT; ALTER TABLE t VALIDATE CONSTRAINT c;",
        transaction=False,
    ),
    case("ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES o (id) NOT VALID;"),
    case("CREATE TABLE t (id int PRIMARY KEY, o_id int REFERENCES o (id), CHECK (id > 0), UNIQUE (o_id));"),
    case("CREATE TABLE t (id int); ALTER TABLE t ADD CHECK (id > 0); ALTER TABLE t ADD FOREIGN KEY (id) REFERENCES o;"),
    case("CREATE TABLE t (id int); ALTER TABLE t ADD PRIMARY KEY (id), ADD UNIQUE (id), ADD EXCLUDE (id WITH =);"),
    case("CREATE TABLE t (a int); ALTER TABLE t ADD CONSTRAINT c CHECK (a>0) NOT VALID; ALTER TABLE t VALIDATE"
         " CONSTRAINT c;"),
    case("ALTER TABLE t ADD CONSTRAINT u UNIQUE USING INDEX i;"),
    case("ALTER TABLE t ADD CONSTRAINT p PRIMARY KEY USING INDEX i;"),
    case(
        "ALTER TABLE t ADD CONSTRAINT p PRIMARY KEY USING INDEX i;",
        "CREATE TABLE t (a int NOT NULL); CREATE UNIQUE INDEX CONCURRENTLY i ON t (a);",
    ),
    case("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a); ALTER TABLE t ADD CONSTRAINT p PRIMARY KEY USING INDEX i;"),
    case("ALTER TABLE t DROP CONSTRAINT t_pkey, ADD CONSTRAINT t_pkey PRIMARY KEY USING INDEX i;"),
    case("ALTER TABLE t RENAME CONSTRAINT a TO b;"),
    case(
        "ALTER TABLE users ALTER COLUMN note SET NOT NULL; ALTER TABLE users DROP CONSTRAINT c;",
        USERS
        + "ALTER TABLE users ADD CONSTRAINT c CHECK (note IS NOT NULL) NOT VALID;"
        + "ALTER TABLE users VALIDATE CONSTRAINT c;",
    ),
    case(
        "ALTER TABLE users ALTER COLUMN note SET NOT NULL;",
        USERS + "ALTER TABLE users ADD CONSTRAINT c CHECK (n > 0 AND note IS NOT NULL);",
    ),
    case("ALTER TABLE users ALTER COLUMN email SET NOT NULL, ALTER COLUMN id SET NOT NULL;", USERS),
    case("ALTER TABLE t VALIDATE CONSTRAINT t_a_not_null; ALTER TABLE t ALTER COLUMN a SET NOT NULL;"),
    case("CREATE TABLE t (a int); ALTER TABLE t ALTER COLUMN a SET NOT NULL;"),
    case("ALTER TABLE t ADD CONSTRAINT c NOT NULL a NOT VALID;"),
    # columns
    case("ALTER TABLE t ADD COLUMN a int;"),
    case("ALTER TABLE t ADD COLUMN IF NOT EXISTS a text, ADD b jsonb;"),
    case("ALTER TABLE t ADD COLUMN a int NOT NULL DEFAULT 5;"),
    case("ALTER TABLE t ADD COLUMN a int DEFAULT -1 NOT NULL;"),
    case("ALTER TABLE t ADD COLUMN a timestamptz NOT NULL DEFAULT now();"),
    case("ALTER TABLE t ADD COLUMN a timestamptz DEFAULT CURRENT_TIMESTAMP;"),
    case("ALTER TABLE t ADD COLUMN a date DEFAULT current_date + 1;"),
    case("ALTER TABLE t ADD COLUMN a timestamp DEFAULT (now() AT TIME ZONE 'utc');"),
    case("ALTER TABLE t ADD COLUMN a jsonb NOT NULL DEFAULT '{}'::jsonb;"),
    case("ALTER TABLE t ADD COLUMN a text[] DEFAULT ARRAY[]::text[];"),
    case("ALTER TABLE t ADD COLUMN a mood DEFAULT 'happy'::mood;"),
    case("ALTER TABLE t ADD COLUMN a text DEFAULT lower('X') || upper('y');"),
    case("ALTER TABLE t ADD COLUMN a int DEFAULT 2 + 2;"),
    case("ALTER TABLE t ADD COLUMN a boolean DEFAULT false;"),
    case("ALTER TABLE t ADD COLUMN a interval DEFAULT interval '1 day';"),
    case("ALTER TABLE t ADD COLUMN a int DEFAULT f();", "CREATE FUNCTION f() RETURNS int LANGUAGE sql IMMUTABLE AS"
                                                        " 'SELECT 1';"),
    case("ALTER TABLE t ADD COLUMN a int GENERATED ALWAYS AS (b * 2) VIRTUAL;"),
    case("ALTER TABLE t ADD COLUMN a uuid; ALTER TABLE t ALTER COLUMN a SET DEFAULT gen_random_uuid();"),
    case("ALTER TABLE t ADD COLUMN a d;", "CREATE DOMAIN d AS int;"),
    case("CREATE TABLE t (id serial, b bigint GENERATED ALWAYS AS IDENTITY, c int GENERATED ALWAYS AS (b * 2)"
         " STORED);"),
    case("CREATE TABLE t (a int); ALTER TABLE t ADD COLUMN b bigserial, ADD c int NOT NULL, ALTER COLUMN a TYPE"
         " bigint;"),
    case("ALTER TABLE t ALTER COLUMN a SET STATISTICS 500;"),
    case("ALTER TABLE t ALTER COLUMN a SET STORAGE external, ALTER COLUMN a SET COMPRESSION lz4;"),
    case("ALTER TABLE t SET (fillfactor = 70), SET (autovacuum_enabled = true);"),
    case("ALTER TABLE t ADD COLUMN a int; ALTER TABLE t DROP COLUMN a;"),
    case("ALTER TABLE t ADD COLUMN a int; ALTER TABLE t RENAME COLUMN a TO b;"),
    case("ALTER TABLE t OWNER TO r;"),
    case("ALTER TABLE t REPLICA IDENTITY USING INDEX i;"),
    case("ALTER TABLE t ALTER COLUMN a SET DEFAULT 5;"),
    case("ALTER TYPE comp ADD ATTRIBUTE a int;"),
    # types, known before
    case("ALTER TABLE users ALTER COLUMN email TYPE varchar(40);", USERS),
    case("ALTER TABLE users ALTER COLUMN email TYPE text;", USERS),
    case("ALTER TABLE users ALTER COLUMN email TYPE text USING email::text;", USERS),
    case("ALTER TABLE users ALTER COLUMN email TYPE varchar;", USERS),
    case("ALTER TABLE users ALTER COLUMN price TYPE numeric(12,2);", USERS),
    case("ALTER TABLE users ALTER COLUMN price TYPE numeric;", USERS),
    case("ALTER TABLE users ALTER COLUMN note TYPE varchar;", USERS),
    case("SET TIME ZONE 'UTC'; ALTER TABLE users ALTER COLUMN seen TYPE timestamptz;", USERS),
    case("SET timezone = 'UTC'; ALTER TABLE users ALTER COLUMN seen TYPE timestamptz;", USERS),
    case("ALTER TABLE users ALTER COLUMN n TYPE integer;", USERS),
    case("ALTER TABLE t ALTER a TYPE text;", "CREATE TABLE t (a citext);"),
    case("ALTER TABLE t ALTER a TYPE timestamp(6);", "CREATE TABLE t (a timestamp(3));"),
    case("ALTER TABLE t ALTER a TYPE inet;", "CREATE TABLE t (a cidr);"),
    case("ALTER TABLE users ALTER COLUMN email TYPE varchar(40), ALTER COLUMN email TYPE varchar(80);", USERS),
    # partitions
    case("ALTER TABLE p DETACH PARTITION c CONCURRENTLY;"),
    case("ALTER TABLE p DETACH PARTITION c FINALIZE;"),
    case("CREATE TABLE c (LIKE p); ALTER TABLE p ATTACH PARTITION c FOR VALUES IN (1);"),
    case("CREATE TABLE c PARTITION OF p FOR VALUES FROM (1) TO (2);"),
    case(
        "ALTER TABLE logs ATTACH PARTITION logs_2024 FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');",
        PARTITIONED
        + "ALTER TABLE logs_2024 ADD CONSTRAINT b CHECK (at >= '2024-01-01' AND at < '2025-01-01') NOT VALID;"
        + "ALTER TABLE logs_2024 VALIDATE CONSTRAINT b;",
    ),
    case("ALTER TABLE logs SET TABLESPACE fast;", PARTITIONED),
    case(
        ATTACH_2024 + " ALTER TABLE days_2024 DROP CONSTRAINT b;",
        DAYS + "ALTER TABLE days_2024 ADD CONSTRAINT b CHECK (day >= DATE '2024-01-01' AND DATE '2025-01-01' > day);",
    ),
    case(ATTACH_2024, DAYS + "ALTER TABLE days_2024 ADD CHECK (day BETWEEN '2024-01-01' AND '2024-12-31');"),
    case(ATTACH_2024, DAYS + "ALTER TABLE days_2024 ADD CHECK (day >= first_day() AND day < last_day());"),
    case(
        "ALTER TABLE days ATTACH PARTITION days_2024 FOR VALUES FROM (MINVALUE) TO ('2025-01-01');",
        DAYS + "ALTER TABLE days_2024 ADD CHECK (day < '2025-01-01');",
    ),
    case(
        "ALTER TABLE places ATTACH PARTITION places_de FOR VALUES IN ('DE', 'AT');",
        LISTED + "ALTER TABLE places_de ADD CHECK (country IN ('DE', 'AT'));",
    ),
    case("CREATE INDEX i ON ONLY t (c);"),
    case("ALTER TABLE users ALTER COLUMN name SET DEFAULT 'x';", USERS),
    case("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO app;"),
    case("ALTER TABLE t OWNER TO o;"),
    case("INSERT INTO a SELECT * FROM b LIMIT 100;"),
    # rows
    case("UPDATE t SET a = 1 WHERE id = 5;"),
    case("UPDATE t SET a = 1 WHERE id IN (1, 2, 3);"),
    case("UPDATE t SET a = 1 WHERE id BETWEEN 1 AND 1000;"),
    case("UPDATE t SET a = 1 WHERE id >= 1 AND id < 1000 AND a IS NULL;"),
    case("UPDATE t SET a = 1 WHERE id IN (SELECT id FROM t WHERE a IS NULL ORDER BY id LIMIT 1000);"),
    case("DELETE FROM t WHERE ctid = ANY (ARRAY(SELECT ctid FROM t WHERE b LIMIT 100));"),
    case("WITH batch AS (SELECT id FROM t WHERE a IS NULL LIMIT 1000 FOR UPDATE SKIP LOCKED)"
         " UPDATE t SET a = 1 FROM batch WHERE t.id = batch.id;"),
    case("UPDATE t SET a = v.a FROM (VALUES (1, 'x'), (2, 'y')) AS v (id, a) WHERE t.id = v.id;"),
    case("DELETE FROM t WHERE id = ANY ('{1,2,3}'::bigint[]);"),
    case("WITH gone AS (DELETE FROM a WHERE id IN (SELECT id FROM a LIMIT 100) RETURNING *)"
         " INSERT INTO b SELECT * FROM gone;"),
    case("CREATE TEMP TABLE ids (id bigint); UPDATE t SET a = 1 FROM ids WHERE ids.id = t.id;"),
    case("DELETE FROM t USING (SELECT id FROM t WHERE a LIMIT 10) AS b WHERE b.id = t.id;"),
    case("DELETE FROM settings WHERE key = 'old_flag';"),
    case("UPDATE users SET note = 'x' WHERE email = 'a@b.c';", USERS),
    case("INSERT INTO t (a, b) VALUES (1, 2), (3, 4) ON CONFLICT DO NOTHING;"),
    case("INSERT INTO t (a) SELECT generate_series(1, 10);"),
    case("INSERT INTO t (a) SELECT a FROM (VALUES (1), (2)) AS v (a);"),
    case("INSERT INTO t (a) SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM t WHERE a = 1);"),
    case("INSERT INTO t SELECT * FROM o WHERE id BETWEEN 1 AND 500;"),
    case("INSERT INTO t DEFAULT VALUES;"),
    case("CREATE TABLE t (a int); UPDATE t SET a = 1; DELETE FROM t; INSERT INTO t SELECT 1 FROM o; TRUNCATE t;"),
    case("MERGE INTO t USING (VALUES (1, 2)) AS s (id, a) ON t.id = s.id WHEN NOT MATCHED THEN INSERT VALUES (s.id,"
         " s.a);"),
    case("SELECT 1; SELECT version();"),
    case("UPDATE t SET a = 1 WHERE CURRENT OF c;"),
    case("DELETE FROM t WHERE (a, b) IN ((1, 2), (3, 4));"),
    # names and objects made here
    case("CREATE TABLE t (a int); DROP TABLE t;"),
    case("CREATE SCHEMA s; CREATE TABLE s.t (a int); DROP SCHEMA s CASCADE;"),
    case("CREATE SCHEMA s CREATE TABLE t (a int); CREATE INDEX i ON s.t (a);"),
    case("CREATE TYPE e AS ENUM ('a'); DROP TYPE e;"),
    case("CREATE TYPE e AS ENUM ('a'); ALTER TYPE e ADD VALUE 'x'; CREATE TABLE t (a e DEFAULT 'x');"),
    case("ALTER TYPE e ADD VALUE IF NOT EXISTS 'x' AFTER 'y';"),
    case("ALTER TYPE e ADD VALUE 'x'; ALTER TYPE e ADD VALUE 'y' AFTER 'x';"),
    case("ALTER TYPE e ADD VALUE 'x'; INSERT INTO t (id, a) VALUES (1, 'x');", transaction=False),
    case("ALTER TABLE t RENAME TO u; CREATE VIEW t AS SELECT * FROM u;"),
    case("BEGIN; ALTER TABLE t RENAME TO u; CREATE VIEW t AS SELECT * FROM u; COMMIT;"),
    case("DROP VIEW v; CREATE VIEW v AS SELECT 1 AS a;"),
    case("CREATE OR REPLACE VIEW v AS SELECT 1 AS a;"),
    case("DROP FUNCTION IF EXISTS f(); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';"),
    case("CREATE OR REPLACE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.a := 1; DELETE FROM t;"
         " RETURN NEW; END $$;"),
    case("CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; DELETE FROM t; SELECT CASE WHEN true"
         " THEN 1 END; END;"),
    case("CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN EXECUTE format('DROP TABLE %I', 'x'); END $$;"),
    case("CREATE TABLE t (a int); CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f(); DROP"
         " TRIGGER x ON t;"),
    case("CREATE VIEW v AS SELECT 1 AS a; CREATE TRIGGER x INSTEAD OF INSERT ON v FOR EACH ROW EXECUTE FUNCTION f();"),
    case("CREATE TABLE t (a int); ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (true);"),
    case("CREATE TABLE t (a int); GRANT SELECT ON t TO app; REVOKE ALL ON t FROM PUBLIC;"),
    case("GRANT SELECT, INSERT ON t TO app; GRANT USAGE ON SCHEMA s TO app;"),
    case("CREATE ROLE r NOLOGIN; GRANT r TO app;"),
    case("COMMENT ON TABLE t IS 'DROP TABLE t; UPDATE t SET a = 1';"),
    case("CREATE EXTENSION IF NOT EXISTS pgcrypto;"),
    case("CREATE SEQUENCE s; ALTER SEQUENCE s OWNED BY t.a;"),
    case("CREATE STATISTICS st (dependencies) ON a, b FROM t;"),
    case("ALTER DOMAIN d ADD CONSTRAINT c CHECK (value > 0) NOT VALID;"),
    case("CREATE DOMAIN d AS int CHECK (value > 0); ALTER DOMAIN d ADD CHECK (value < 9);"),
    case("ANALYZE t;"),
    case("VACUUM t;"),
    case("VACUUM (FULL false, ANALYZE) t;"),
    case("LOCK TABLE t IN ROW EXCLUSIVE MODE;"),
    case("CREATE TABLE t (a int); LOCK TABLE t; VACUUM FULL t;", transaction=False),
    # DO blocks that can be read
    case("DO $$ BEGIN CREATE TYPE e AS ENUM ('a'); EXCEPTION WHEN duplicate_object THEN NULL; END $$;"),
    case("DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'r') THEN CREATE ROLE r; END IF; END $$;"),
    case("DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_constraint WHERE conname = 'c') THEN"
         " ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID; END IF; END $$;"),
    case("DO $$ DECLARE n int; BEGIN SELECT count(*) INTO n FROM pg_class; RAISE NOTICE '%', n; END $$;"),
    case("DO $body$ BEGIN EXECUTE 'CREATE TABLE t (a int)'; EXECUTE 'CREATE INDEX i ON t (a)'; END $body$;"),
    case("DO $$ BEGIN LOOP UPDATE t SET a = 1 WHERE id IN (SELECT id FROM t WHERE a IS NULL LIMIT 1000);"
         " EXIT WHEN NOT FOUND; COMMIT; END LOOP; END $$;"),
    case("DO $$ DECLARE v int := 5; BEGIN UPDATE t SET a = CASE WHEN b THEN 1 ELSE 2 END WHERE id = v; END $$;"),
    case("DO $$ BEGIN EXECUTE format('GRANT SELECT ON t TO %I', current_user); END $$;"),
    # transactions and settings
    case("BEGIN; SELECT 1; COMMIT;"),
    case("BEGIN; SET LOCAL lock_timeout = '2s'; ALTER TABLE t ADD COLUMN a int; COMMIT;", transaction=False),
    case("START TRANSACTION; SELECT 1; ROLLBACK;"),
    case("BEGIN; ALTER TABLE t ADD CONSTRAINT c CHECK (a) NOT VALID; COMMIT; BEGIN; ALTER TABLE t VALIDATE"
         " CONSTRAINT c; END;"),
    case("BEGIN; SAVEPOINT a; SELECT 1; ROLLBACK TO a; RELEASE a; COMMIT;"),
    case("SET lock_timeout = '1s'; SET statement_timeout = '5s'; ALTER TABLE t ADD COLUMN a int; RESET lock_timeout;"),
    case("SELECT set_config('lock_timeout', '1s', false); ALTER TABLE t ADD COLUMN a int;"),
    case("SET lock_timeout = 0; CREATE INDEX CONCURRENTLY i ON t (c);"),
    case("SET search_path = s, public; SELECT pg_catalog.set_config('search_path', '', false);"),
    case("SET session_replication_role = DEFAULT;"),
    case("ALTER TABLE a ADD COLUMN x int; ALTER TABLE b ADD COLUMN x int;"),
    case("ALTER TABLE t ADD COLUMN a int; INSERT INTO t (a) VALUES (1); UPDATE t SET a = 2 WHERE id = 1;"),
    case("CREATE TABLE t (a int); INSERT INTO t SELECT 1; SELECT count(*) FROM t;"),
    case("-- nothing but a comment"),
    case(""),
    case("-- prodsafe: allow drop-table because the last reader went with release 41\nDROP TABLE t;"),
    case("/* header */\n-- prodsafe: allow drop-column, drop-cascade because nothing reads it\nALTER TABLE t DROP"
         " COLUMN a CASCADE;"),
    case("SELECT '-- prodsafe rocks; BEGIN; DROP TABLE t;';"),
    case("SELECT $tag$ ; DROP TABLE t; $tag$;"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("category", "each"), [(category, each) for category, cases in HAZARDS.items() for each in cases], ids=str
)
def test_each_hazard_is_found_in_each_of_its_forms(category: str, each: Case) -> None:
    assert category in found(each)


@pytest.mark.parametrize(
    ("category", "each"), [(category, each) for category, (cases, _) in TWINS.items() for each in cases], ids=str
)
def test_each_hazard_is_told_from_its_safe_twins(category: str, each: Case) -> None:
    assert category in found(each)


@pytest.mark.parametrize("each", [each for _, twins in TWINS.values() for each in twins], ids=str)
def test_what_looks_like_a_hazard_and_is_none_raises_no_alarm(each: Case) -> None:
    assert found(each) == []


@pytest.mark.parametrize("each", SAFE, ids=str)
def test_safe_code_raises_no_alarm(each: Case) -> None:
    assert found(each) == []


def test_every_category_that_is_on_by_default_has_a_hazard_in_the_corpus() -> None:
    optional = {name for name, category in CATEGORIES.items() if category.group in ("hygiene", "style")}

    assert set(CATEGORIES) - optional <= set(HAZARDS)
    assert set(TWINS) == set(CATEGORIES) - optional - {"malformed-directive"}
    assert all(len(hazards) >= 5 <= len(twins) for hazards, twins in TWINS.values())


def test_the_mend_of_attach_partition_writes_the_bounds_and_is_clean_itself() -> None:
    [finding] = lint([SqlFile("<stdin>", ATTACH_2024)], setup=[DAYS]).findings
    files = [
        SqlFile(f"{number:04}_expand_x.sql", text.partition("\n")[2], "expand")
        for number, text in enumerate(finding.mend.split("-- in ")[1:], 1)
    ]

    assert "day IS NOT NULL AND day >= '2024-01-01' AND day < '2025-01-01'" in finding.mend
    assert len(files) == 3
    assert lint(files, setup=[DAYS]).findings == ()


def test_the_mend_of_a_delete_inside_with_is_not_a_where_of_the_statement_around_it() -> None:
    sql = "WITH gone AS (DELETE FROM t WHERE ts < now() RETURNING *) INSERT INTO archive SELECT * FROM gone;"

    assert all("gone WHERE" not in each.mend for each in lint([SqlFile("<stdin>", sql)]).findings)


def test_the_mend_of_a_primary_key_on_a_new_column_makes_it_not_null_first() -> None:
    findings = lint([SqlFile("<stdin>", "ALTER TABLE t ADD COLUMN id bigserial PRIMARY KEY;")]).findings
    [mend] = [each.mend for each in findings if each.category == "pk-without-index"]

    assert mend.index("VALIDATE CONSTRAINT") < mend.index("SET NOT NULL") < mend.index("USING INDEX")


ALL_HAZARDS = [
    *(each for cases in HAZARDS.values() for each in cases),
    *(each for cases, _ in TWINS.values() for each in cases),
]


@pytest.mark.parametrize("each", ALL_HAZARDS, ids=str)
def test_every_finding_says_where_and_what_and_its_mend_is_sql(each: Case) -> None:
    lines = each.sql.split("\n")
    for finding in report(each).findings:
        assert 1 <= finding.column <= len(lines[finding.line - 1]) + 1
        assert finding.message.endswith((".", ")")) and finding.mend
        assert parse(finding.mend).errors == (), finding.mend


@pytest.mark.parametrize("each", ALL_HAZARDS, ids=str)
def test_a_mend_neither_blocks_nor_fails_in_any_way(each: Case) -> None:
    """Its steps as the files that it says they are; what only a contract file may do is a note there."""
    bad = [name for name, category in CATEGORIES.items() if category.group in (BLOCKING, RUNTIME)]
    for finding in report(each).findings:
        if finding.category in MENDS_BY_HAND:
            continue
        files = [SqlFile(f"{number}.sql", *step) for number, step in enumerate(_steps(finding.mend))]
        again = [one for one in lint(files, setup=[each.setup]).findings if one.severity == "error"]
        assert not [one for one in again if one.category in (finding.category, *bad)], finding.mend


# the form to fill in; a statement that is wrong only because of another one, and stays as it is in a file of its own
MENDS_BY_HAND = ("malformed-directive", "locked-then-more-statements", "concurrent-in-transaction",
                 "enum-value-used-in-same-transaction", "concurrent-on-partitioned")  # fmt: skip


def _steps(mend: str) -> list[tuple[str, str]]:
    """(SQL, kind of file) of each step: a line `-- in ...` heads it, `-- in the same file` goes on with it."""
    found: list[tuple[str, str]] = []
    for line in mend.split("\n"):
        if not found or (line.startswith("-- in ") and not line.startswith("-- in the same file")):
            kinds = [kind for kind in ("contract", "data") if f"{kind} file" in line]
            found.append(("", kinds[0] if kinds else "expand"))
        text, kind = found.pop()
        found.append((f"{text}{line}\n", kind))
    return found


def test_runner_and_linter_agree_on_what_no_transaction_can_hold() -> None:
    for each in [*ALL_HAZARDS, *SAFE, *(each for _, twins in TWINS.values() for each in twins)]:
        parsed = parse(each.sql)
        if parsed.errors or each.setup:
            continue
        for one, other in zip(split(each.sql), parsed.statements, strict=True):
            if one.way is not Way.NEVER:  # which the runner refuses in any form
                assert (one.way is Way.ALONE) == (alone(other, Schema()) not in ("", COMMIT_IN_BLOCK)), one.text
