"""What an older worker relies on, and data that goes. Hazards and safe twins of each category."""

from __future__ import annotations

from tests.lint_cases.case import EVENTS, ORDERS, Twins, case

TWINS: Twins = {
    "drop-column": (
        [
            case('ALTER TABLE shop."Order" DROP COLUMN note;', ORDERS),
            case("ALTER TABLE t DROP a, DROP IF EXISTS b;"),
            case('ALTER TABLE IF EXISTS ONLY "T" DROP COLUMN IF EXISTS "Old" RESTRICT;'),
            case("BEGIN; ALTER TABLE t ADD COLUMN b int; ALTER TABLE t DROP COLUMN a; COMMIT;"),
            case("ALTER FOREIGN TABLE f DROP COLUMN a;"),
            case("DO $$ BEGIN IF EXISTS (SELECT 1 FROM information_schema.columns WHERE column_name = 'a') THEN ALTER"
                 " TABLE t DROP COLUMN a; END IF; END $$;"),
            case("ALTER TABLE t ADD COLUMN IF NOT EXISTS a int; ALTER TABLE t DROP COLUMN a;",
                 "CREATE TABLE t (a int);"),
        ],
        [
            case("CREATE TABLE t (a int, b int); ALTER TABLE t DROP COLUMN b;"),
            case("ALTER TABLE t ADD COLUMN a int; ALTER TABLE t DROP COLUMN a;"),
            case("CREATE TEMP TABLE t AS SELECT * FROM o LIMIT 10; ALTER TABLE t DROP COLUMN a;"),
            case("-- prodsafe: allow drop-column because release 41 was its last reader\nALTER TABLE t DROP COLUMN a;"),
            case("COMMENT ON COLUMN t.a IS 'deprecated: DROP COLUMN in release 9';"),
        ],
    ),
    "drop-table": (
        [
            case('DROP TABLE shop."Order";', ORDERS),
            case('DROP TABLE IF EXISTS "a", "b" RESTRICT;'),
            case("BEGIN; CREATE TABLE n (a int); DROP TABLE o; COMMIT;"),
            case("DROP TABLE event_2023;", EVENTS),
            case("DO $$ BEGIN DROP TABLE IF EXISTS t; END $$;"),
            case("CREATE TABLE IF NOT EXISTS t (a int); DROP TABLE t;", "CREATE TABLE t (a int);"),
        ],
        [
            case("CREATE TABLE t (a int); DROP TABLE t;"),
            case("CREATE TEMP TABLE t (a int) ON COMMIT DROP; INSERT INTO t VALUES (1); DROP TABLE t;"),
            case("CREATE TABLE t_new (LIKE t); DROP TABLE t_new;"),
            case("CREATE TABLE a (x int); ALTER TABLE a RENAME TO b; DROP TABLE b;"),
            case("SELECT 'DROP TABLE t'; COMMENT ON TABLE t IS 'DROP TABLE';"),
        ],
    ),
    "drop-view": (
        [
            case("DROP VIEW shop.paid;", ORDERS),
            case("DROP VIEW IF EXISTS a, b;"),
            case("DROP MATERIALIZED VIEW shop.sums;", ORDERS),
            case('BEGIN; DROP VIEW "V"; COMMIT;'),
            case("DROP VIEW a; CREATE VIEW b AS SELECT 1 AS x;"),
        ],
        [
            case("DROP VIEW shop.paid; CREATE VIEW shop.paid AS SELECT id, code FROM shop.\"Order\";", ORDERS),
            case("CREATE OR REPLACE VIEW shop.paid AS SELECT id, code FROM shop.\"Order\";", ORDERS),
            case("CREATE VIEW v AS SELECT 1 AS a; DROP VIEW v;"),
            case("BEGIN; DROP VIEW IF EXISTS v; CREATE VIEW v AS SELECT 2 AS a; COMMIT;"),
            case("ALTER VIEW v OWNER TO o; COMMENT ON VIEW v IS 'x';"),
            case("CREATE TEMP VIEW v AS SELECT 1 AS a; DROP VIEW v;"),
        ],
    ),
    "drop-schema": (
        [
            case("DROP SCHEMA shop RESTRICT;", ORDERS),
            case('DROP SCHEMA IF EXISTS "Old", other;'),
            case("CREATE SCHEMA a; DROP SCHEMA b;"),
            case("BEGIN; DROP SCHEMA app CASCADE; COMMIT;"),
            case("CREATE SCHEMA IF NOT EXISTS shop; DROP SCHEMA shop CASCADE;", ORDERS),
        ],
        [
            case("CREATE SCHEMA a; CREATE TABLE a.t (x int); DROP SCHEMA a CASCADE;"),
            case("CREATE SCHEMA IF NOT EXISTS app AUTHORIZATION owner;"),
            case("ALTER SCHEMA app OWNER TO owner;"),
            case("GRANT USAGE, CREATE ON SCHEMA app TO role_a;"),
            case("COMMENT ON SCHEMA app IS 'DROP SCHEMA app';"),
        ],
    ),
    "drop-database": (
        [
            case("DROP DATABASE shop;"),
            case('DROP DATABASE IF EXISTS "Old Shop";'),
            case("DROP DATABASE shop (FORCE);"),
            case("CREATE DATABASE a; DROP DATABASE b;", transaction=False),
            case("drop\ndatabase /* really */ shop"),
        ],
        [
            case("CREATE DATABASE shop;", transaction=False),
            case("COMMENT ON DATABASE shop IS 'DROP DATABASE shop';"),
            case("SELECT current_database();"),
            case("CREATE TABLE database (a int); INSERT INTO database VALUES (1);"),
            case("GRANT CONNECT ON DATABASE shop TO app;"),
        ],
    ),
    "drop-type": (
        [
            case("DROP TYPE shop.state;", ORDERS),
            case("DROP TYPE IF EXISTS a, b;"),
            case("DROP DOMAIN shop.amount;", ORDERS),
            case("ALTER TYPE shop.state RENAME TO status;", ORDERS),
            case("ALTER TYPE e SET SCHEMA app;"),
            case("CREATE TYPE n AS ENUM ('a'); DROP TYPE o;"),
        ],
        [
            case("CREATE TYPE e AS ENUM ('a'); DROP TYPE e;"),
            case("CREATE DOMAIN d AS int; DROP DOMAIN d;"),
            case("CREATE TYPE c AS (a int, b text); ALTER TYPE c ADD ATTRIBUTE d int; DROP TYPE c;"),
            case("ALTER TYPE e OWNER TO o; COMMENT ON TYPE e IS 'x';"),
            case("CREATE TYPE e AS ENUM ('a'); ALTER TYPE e RENAME TO f; CREATE TABLE t (a f);"),
            case("DO $$ BEGIN CREATE TYPE e AS ENUM ('a'); EXCEPTION WHEN duplicate_object THEN NULL; END $$;"),
        ],
    ),
    "drop-sequence": (
        [
            case("DROP SEQUENCE shop.numbers;"),
            case("DROP SEQUENCE IF EXISTS a, b RESTRICT;"),
            case('BEGIN; DROP SEQUENCE "Order_id_seq"; COMMIT;'),
            case("CREATE SEQUENCE n; DROP SEQUENCE o;"),
            case("DO $$ BEGIN DROP SEQUENCE s; END $$;"),
        ],
        [
            case("CREATE SEQUENCE s; DROP SEQUENCE s;"),
            case("CREATE TEMP SEQUENCE s; DROP SEQUENCE s;"),
            case("ALTER SEQUENCE s INCREMENT BY 50 CACHE 20;"),
            case("CREATE SEQUENCE IF NOT EXISTS s OWNED BY NONE;"),
            case("SELECT setval('s', 1000); COMMENT ON SEQUENCE s IS 'x';"),
        ],
    ),
    "drop-function": (
        [
            case("DROP FUNCTION shop.total(bigint);"),
            case("DROP FUNCTION IF EXISTS a, b;"),
            case("DROP ROUTINE r; CREATE FUNCTION s() RETURNS int LANGUAGE sql AS 'SELECT 1';"),
            case("DROP EXTENSION IF EXISTS pgcrypto;"),
            case("ALTER PROCEDURE p RENAME TO q;"),
            case("ALTER EXTENSION hstore SET SCHEMA app;"),
            case("DROP FUNCTION f(int); CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 1';",
                 transaction=False),
        ],
        [
            case("CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';"),
            case("DROP FUNCTION IF EXISTS f(int); CREATE FUNCTION f(int) RETURNS bigint LANGUAGE sql AS 'SELECT 1';"),
            case("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; SELECT f(); DROP FUNCTION f();"),
            case("ALTER FUNCTION f() STABLE PARALLEL SAFE;"),
            case("ALTER EXTENSION pg_trgm UPDATE;"),
            case("CREATE AGGREGATE a (int) (sfunc = int4pl, stype = int4); DROP AGGREGATE a (int);"),
        ],
    ),
    "drop-trigger": (
        [
            case('DROP TRIGGER x ON shop."Order";', ORDERS),
            case("DROP TRIGGER IF EXISTS x ON t RESTRICT;"),
            case("DROP TRIGGER x ON t; CREATE TRIGGER y BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();"),
            case("DO $$ BEGIN DROP TRIGGER x ON t; END $$;"),
            case('BEGIN; DROP TRIGGER "X" ON "T"; COMMIT;'),
            case("DROP EVENT TRIGGER guard;"),
        ],
        [
            case("CREATE TABLE t (a int); CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();"
                 " DROP TRIGGER x ON t;"),
            case("CREATE EVENT TRIGGER e ON sql_drop EXECUTE FUNCTION f(); DROP EVENT TRIGGER e;"),
            case("ALTER TRIGGER x ON t RENAME TO y;"),
            case("COMMENT ON TRIGGER x ON t IS 'DROP TRIGGER x ON t';"),
            case("ALTER TABLE t ENABLE TRIGGER x;"),
        ],
    ),
    "drop-owned": (
        [
            case("DROP OWNED BY app;"),
            case('DROP OWNED BY "App", other RESTRICT;'),
            case("DROP OWNED BY CURRENT_ROLE;"),
            case("REASSIGN OWNED BY app TO owner; DROP OWNED BY app;"),
            case("BEGIN; DROP OWNED BY app CASCADE; COMMIT;"),
        ],
        [
            case("REASSIGN OWNED BY app TO owner;"),
            case("ALTER TABLE t OWNER TO owner;"),
            case("COMMENT ON ROLE app IS 'DROP OWNED BY app';"),
            case("SELECT 'DROP OWNED BY app';"),
            case("ALTER SEQUENCE s OWNED BY t.a;"),
        ],
    ),
    "drop-cascade": (
        [
            case('DROP TABLE shop."Order" CASCADE;', ORDERS),
            case("ALTER TABLE t DROP COLUMN IF EXISTS a CASCADE;"),
            case("DROP FUNCTION f(int) CASCADE; CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 1';"),
            case("DROP VIEW v CASCADE;"),
            case("ALTER TABLE t DROP CONSTRAINT t_pkey CASCADE;"),
            case("DROP INDEX i CASCADE;"),
            case("ALTER DOMAIN d DROP CONSTRAINT c CASCADE;"),
            case("ALTER TYPE c DROP ATTRIBUTE a CASCADE;"),
            case("DROP POLICY p ON t CASCADE;"),
        ],
        [
            case("CREATE TABLE t (a int); DROP TABLE t CASCADE;"),
            case("CREATE TABLE t (a int REFERENCES o (id) ON DELETE CASCADE ON UPDATE CASCADE);"),
            case("ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES o ON DELETE CASCADE NOT VALID;"),
            case("CREATE SCHEMA s; DROP SCHEMA s CASCADE;"),
            case("CREATE TABLE t (a int, b int); ALTER TABLE t DROP COLUMN b CASCADE;"),
            case("CREATE EXTENSION IF NOT EXISTS earthdistance CASCADE;"),
            case("CREATE VIEW v AS SELECT 1 AS a WITH CASCADED CHECK OPTION;"),
        ],
    ),
    "drop-constraint": (
        [
            case('ALTER TABLE shop."Order" DROP CONSTRAINT total_positive;', ORDERS),
            case("ALTER TABLE t DROP CONSTRAINT IF EXISTS f, ADD COLUMN a int;"),
            case('ALTER TABLE "T" DROP CONSTRAINT "T_pkey";'),
            case("DO $$ BEGIN ALTER TABLE t DROP CONSTRAINT c; END $$;"),
            case("ALTER DOMAIN shop.amount DROP CONSTRAINT IF EXISTS amount_check;", ORDERS),
            case("ALTER TABLE t DROP CONSTRAINT a, ADD CONSTRAINT b CHECK (x > 0) NOT VALID;"),
        ],
        [
            case("ALTER TABLE t DROP CONSTRAINT c, ADD CONSTRAINT c CHECK (a IN (1, 2, 3)) NOT VALID;"),
            case("ALTER TABLE t DROP CONSTRAINT c; ALTER TABLE t ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES o ON"
                 " DELETE CASCADE NOT VALID;"),
            case("CREATE TABLE t (a int CONSTRAINT c CHECK (a > 0)); ALTER TABLE t DROP CONSTRAINT c;"),
            case("ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID; ALTER TABLE t DROP CONSTRAINT c;"),
            case("ALTER TABLE t RENAME CONSTRAINT a TO b;"),
            case("ALTER TABLE t ALTER COLUMN a SET NOT NULL; ALTER TABLE t DROP CONSTRAINT n;",
                 "CREATE TABLE t (a int CONSTRAINT n CHECK (a IS NOT NULL));"),
        ],
    ),
    "drop-not-null": (
        [
            case('ALTER TABLE shop."Order" ALTER COLUMN code DROP NOT NULL;', ORDERS),
            case("ALTER TABLE t ALTER a DROP NOT NULL, ALTER b DROP NOT NULL;"),
            case('ALTER TABLE IF EXISTS ONLY "T" ALTER "A" DROP NOT NULL;'),
            case("BEGIN; ALTER TABLE t ALTER COLUMN a DROP NOT NULL; COMMIT;"),
            case("ALTER DOMAIN shop.amount DROP NOT NULL;", ORDERS),
        ],
        [
            case("CREATE TABLE t (a int NOT NULL); ALTER TABLE t ALTER COLUMN a DROP NOT NULL;"),
            case("ALTER TABLE t ADD COLUMN a int NOT NULL DEFAULT 0; ALTER TABLE t ALTER COLUMN a DROP NOT NULL;"),
            case("CREATE DOMAIN d AS int NOT NULL; ALTER DOMAIN d DROP NOT NULL;"),
            case('ALTER TABLE shop."Order" ALTER COLUMN note DROP NOT NULL;', ORDERS),
            case("ALTER TABLE t ALTER COLUMN a SET STATISTICS 100;"),
        ],
    ),
    "truncate": (
        [
            case('TRUNCATE shop."Order";', ORDERS),
            case("TRUNCATE TABLE a, b RESTART IDENTITY;"),
            case("BEGIN; TRUNCATE ONLY t CONTINUE IDENTITY RESTRICT; COMMIT;"),
            case("DO $$ BEGIN TRUNCATE t; END $$;"),
            case("DO $$ BEGIN EXECUTE 'TRUNCATE t'; END $$;"),
            case("CREATE TABLE n (a int); TRUNCATE n, o;"),
        ],
        [
            case("CREATE TABLE t (a int); INSERT INTO t VALUES (1); TRUNCATE t;"),
            case("CREATE TEMP TABLE t (a int); TRUNCATE t;"),
            case("SELECT date_trunc('day', now()), trunc(1.5);"),
            case("CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'TRUNCATE t';"),
            case("GRANT TRUNCATE ON t TO app;"),
        ],
    ),
    "truncate-cascade": (
        [
            case('TRUNCATE shop.customer CASCADE;', ORDERS),
            case("TRUNCATE TABLE a, b RESTART IDENTITY CASCADE;"),
            case("BEGIN; TRUNCATE t CASCADE; COMMIT;"),
            case("DO $$ BEGIN TRUNCATE t CASCADE; END $$;"),
            case('TRUNCATE "T" CASCADE;'),
        ],
        [
            case("CREATE TABLE t (a int); TRUNCATE t CASCADE;"),
            case("CREATE TEMP TABLE a (x int); CREATE TEMP TABLE b (x int); TRUNCATE a, b CASCADE;"),
            case("SELECT 'TRUNCATE t CASCADE';"),
            case("CREATE OR REPLACE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN TRUNCATE t CASCADE;"
                 " END $$;"),
            case("CREATE TABLE t (a int REFERENCES o ON DELETE CASCADE);"),
        ],
    ),
    "rename-column": (
        [
            case('ALTER TABLE shop."Order" RENAME COLUMN note TO remark;', ORDERS),
            case('ALTER TABLE IF EXISTS ONLY "T" RENAME "A" TO "B";'),
            case("ALTER MATERIALIZED VIEW shop.sums RENAME COLUMN total TO amount;", ORDERS),
            case("ALTER FOREIGN TABLE f RENAME COLUMN a TO b;"),
            case("DO $$ BEGIN ALTER TABLE t RENAME COLUMN a TO b; EXCEPTION WHEN undefined_column THEN END $$;"),
            case("ALTER TYPE c RENAME ATTRIBUTE a TO b CASCADE;"),
        ],
        [
            case("CREATE TABLE t (a int); ALTER TABLE t RENAME COLUMN a TO b;"),
            case("ALTER TABLE t ADD COLUMN a int; ALTER TABLE t RENAME a TO b;"),
            case("CREATE VIEW v AS SELECT 1 AS a; ALTER VIEW v RENAME COLUMN a TO b;"),
            case("ALTER TABLE t RENAME CONSTRAINT a TO b;"),
            case("ALTER INDEX a RENAME TO b;"),
            case("CREATE OR REPLACE VIEW v AS SELECT a, a AS b FROM t;"),
        ],
    ),
    "rename-table": (
        [
            case('ALTER TABLE shop."Order" RENAME TO orders;', ORDERS),
            case("ALTER TABLE IF EXISTS a RENAME TO b;"),
            case("ALTER VIEW shop.paid RENAME TO settled;", ORDERS),
            case("ALTER TABLE t SET SCHEMA archive;"),
            case("ALTER SEQUENCE s SET SCHEMA app;"),
            case("BEGIN; ALTER TABLE t RENAME TO t_old; ALTER TABLE t_new RENAME TO u; COMMIT;"),
            case("ALTER FOREIGN TABLE f RENAME TO g;"),
        ],
        [
            case("CREATE TABLE a (x int); ALTER TABLE a RENAME TO b;"),
            case("BEGIN; ALTER TABLE t RENAME TO u; CREATE VIEW t AS SELECT * FROM u; COMMIT;"),
            case("CREATE TABLE t_new (a int); BEGIN; ALTER TABLE t RENAME TO t_old; ALTER TABLE t_new RENAME TO t;"
                 " COMMIT;"),
            case("ALTER INDEX shop.order_code RENAME TO order_code_idx;", ORDERS),
            case("ALTER TABLE order_code RENAME TO order_code_idx;", "CREATE TABLE t (a int);"
                 " CREATE INDEX order_code ON t (a);"),
            case("ALTER TABLE t SET SCHEMA archive; CREATE VIEW t AS SELECT * FROM archive.t;"),
            case("CREATE TABLE t (a int); ALTER TABLE t SET SCHEMA app;"),
        ],
    ),
    "rename-schema": (
        [
            case("ALTER SCHEMA shop RENAME TO store;", ORDERS),
            case('ALTER SCHEMA "Old" RENAME TO "New";'),
            case("BEGIN; ALTER SCHEMA a RENAME TO b; COMMIT;"),
            case("DO $$ BEGIN ALTER SCHEMA a RENAME TO b; END $$;"),
            case("CREATE SCHEMA c; ALTER SCHEMA a RENAME TO b;"),
        ],
        [
            case("CREATE SCHEMA a; ALTER SCHEMA a RENAME TO b;"),
            case("ALTER SCHEMA a OWNER TO o;"),
            case("CREATE SCHEMA b; CREATE VIEW b.v AS SELECT 1 AS a;"),
            case("SET search_path = b, public;"),
            case("COMMENT ON SCHEMA a IS 'ALTER SCHEMA a RENAME TO b';"),
        ],
    ),
    "rename-enum-value": (
        [
            case("ALTER TYPE shop.state RENAME VALUE 'new' TO 'open';", ORDERS),
            case("ALTER TYPE \"E\" RENAME VALUE 'a' TO 'b';"),
            case("BEGIN; ALTER TYPE e RENAME VALUE 'a' TO 'b'; COMMIT;"),
            case("ALTER TYPE e ADD VALUE 'x'; ALTER TYPE e RENAME VALUE 'a' TO 'b';"),
            case("DO $$ BEGIN ALTER TYPE e RENAME VALUE 'a' TO 'b'; END $$;"),
        ],
        [
            case("CREATE TYPE e AS ENUM ('a'); ALTER TYPE e RENAME VALUE 'a' TO 'b';"),
            case("ALTER TYPE e ADD VALUE 'b' AFTER 'a';"),
            case("ALTER TYPE e ADD VALUE IF NOT EXISTS 'b';"),
            case("COMMENT ON TYPE e IS 'RENAME VALUE';"),
            case("CREATE TYPE f AS ENUM ('a', 'b');"),
        ],
    ),
    "disable-trigger": (
        [
            case('ALTER TABLE shop."Order" DISABLE TRIGGER ALL;', ORDERS),
            case("ALTER TABLE t DISABLE TRIGGER x, ADD COLUMN a int;"),
            case("SET SESSION session_replication_role TO replica;"),
            case("BEGIN; ALTER TABLE t DISABLE TRIGGER USER; COMMIT;"),
            case("ALTER TABLE t ENABLE REPLICA TRIGGER x;"),
            case("ALTER EVENT TRIGGER guard DISABLE;"),
            case("DO $$ BEGIN SET LOCAL session_replication_role = 'replica'; END $$;"),
            case("DO $$ BEGIN PERFORM set_config('session_replication_role', 'replica', true); END $$;"),
        ],
        [
            case("ALTER TABLE t ENABLE TRIGGER x;"),
            case("ALTER TABLE t ENABLE ALWAYS TRIGGER x;"),
            case("CREATE TABLE t (a int); ALTER TABLE t DISABLE TRIGGER ALL;"),
            case("SET session_replication_role = origin;"),
            case("RESET session_replication_role;"),
            case("ALTER EVENT TRIGGER guard ENABLE ALWAYS;"),
        ],
    ),
    "rls-change": (
        [
            case('ALTER TABLE shop."Order" ENABLE ROW LEVEL SECURITY;', ORDERS),
            case("ALTER TABLE t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;"),
            case("ALTER TABLE t NO FORCE ROW LEVEL SECURITY;"),
            case("CREATE POLICY p ON t AS RESTRICTIVE FOR UPDATE TO app USING (owner = current_user);"),
            case("ALTER POLICY p ON t RENAME TO q; ALTER POLICY p2 ON t USING (false);"),
            case("DROP POLICY IF EXISTS p ON shop.customer;", ORDERS),
            case("DO $$ BEGIN ALTER TABLE t DISABLE ROW LEVEL SECURITY; END $$;"),
        ],
        [
            case("CREATE TABLE t (a int); ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (true);"
                 " DROP POLICY p ON t;"),
            case("ALTER POLICY p ON t RENAME TO q;"),
            case("SET row_security = off; SELECT 1;"),
            case("COMMENT ON POLICY p ON t IS 'x';"),
            case("CREATE TEMP TABLE t (a int); ALTER TABLE t FORCE ROW LEVEL SECURITY;"),
        ],
    ),
    "revoke": (
        [
            case('REVOKE INSERT, UPDATE ON shop."Order" FROM app;', ORDERS),
            case("REVOKE GRANT OPTION FOR SELECT ON t FROM app CASCADE;"),
            case("REVOKE ALL PRIVILEGES ON ALL FUNCTIONS IN SCHEMA shop FROM PUBLIC;", ORDERS),
            case("REVOKE SELECT (email) ON shop.customer FROM app;", ORDERS),
            case("REVOKE readers FROM app;"),
            case("REVOKE USAGE ON SEQUENCE s FROM app;"),
            case("ALTER DEFAULT PRIVILEGES FOR ROLE o REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;"),
            case("REVOKE CONNECT ON DATABASE d FROM app;"),
        ],
        [
            case("GRANT SELECT ON ALL TABLES IN SCHEMA shop TO app; GRANT readers TO app WITH ADMIN OPTION;", ORDERS),
            case("CREATE TABLE t (a int); REVOKE ALL ON t FROM PUBLIC; GRANT SELECT ON TABLE t TO app;"),
            case("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; REVOKE EXECUTE ON FUNCTION f() FROM"
                 " PUBLIC;"),
            case("CREATE SCHEMA s; REVOKE ALL ON SCHEMA s FROM PUBLIC;"),
            case("ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO app;", ORDERS),
            case("CREATE SEQUENCE s; REVOKE ALL ON SEQUENCE s FROM PUBLIC;"),
        ],
    ),
    "change-default": (
        [
            case('ALTER TABLE shop."Order" ALTER COLUMN state DROP DEFAULT;', ORDERS),
            case("ALTER TABLE shop.\"Order\" ALTER COLUMN state SET DEFAULT 'paid';", ORDERS),
            case("ALTER TABLE t ALTER a DROP IDENTITY IF EXISTS;"),
            case("ALTER TABLE t ADD COLUMN a int DEFAULT 0 NOT NULL; ALTER TABLE t ALTER COLUMN a DROP DEFAULT;"),
            case("ALTER TABLE t ALTER COLUMN a DROP EXPRESSION;"),
            case("BEGIN; ALTER TABLE ONLY t ALTER a DROP DEFAULT; COMMIT;"),
            case("ALTER DOMAIN shop.plain DROP DEFAULT;", "CREATE DOMAIN shop.plain AS text DEFAULT 'x';"),
            case("ALTER TABLE shop.\"Order\" ALTER paid SET DEFAULT NULL;", ORDERS),
        ],
        [
            case("ALTER TABLE shop.\"Order\" ALTER COLUMN note SET DEFAULT 'x';", ORDERS),
            case("ALTER TABLE shop.\"Order\" ALTER COLUMN state SET DEFAULT 'new';", ORDERS),
            case("CREATE TABLE t (a int DEFAULT 1); ALTER TABLE t ALTER a DROP DEFAULT, ALTER a SET DEFAULT 2;"),
            case("ALTER TABLE t ADD COLUMN a int DEFAULT 0; ALTER TABLE t ALTER COLUMN a DROP DEFAULT;"),
            case('ALTER TABLE shop."Order" ALTER COLUMN note DROP DEFAULT;', ORDERS),
            case("ALTER VIEW shop.paid ALTER COLUMN id SET DEFAULT 1;", ORDERS),
            case("ALTER TABLE t ALTER a ADD GENERATED ALWAYS AS IDENTITY;"),
        ],
    ),
    "cluster-wide-change": (
        [
            case("ALTER SYSTEM SET shared_buffers = '1GB';", transaction=False),
            case("ALTER DATABASE shop SET search_path = shop, public;"),
            case("ALTER ROLE app IN DATABASE shop SET lock_timeout = '1s';"),
            case("ALTER ROLE app PASSWORD 'x';"),
            case("DROP ROLE IF EXISTS a, b;"),
            case("ALTER DATABASE shop CONNECTION LIMIT 5;"),
            case("DROP TABLESPACE cold;", transaction=False),
            case("ALTER ROLE a RENAME TO b;"),
            case("ALTER USER app RESET ALL;"),
        ],
        [
            case("SET work_mem = '64MB';"),
            case("SET LOCAL search_path = shop; SET ROLE app; RESET ROLE;"),
            case("CREATE ROLE app LOGIN; GRANT readers TO app;"),
            case("CREATE USER app; ALTER USER app SET search_path = shop; ALTER ROLE app NOLOGIN; DROP ROLE app;"),
            case("COMMENT ON DATABASE shop IS 'x';"),
            case("ALTER FUNCTION f() SET search_path = shop;"),
            case("SELECT set_config('work_mem', '64MB', true);"),
        ],
    ),
    "json-column": (
        [
            case('ALTER TABLE shop."Order" ADD COLUMN data json;', ORDERS),
            case("CREATE TABLE t (id int, data json NOT NULL DEFAULT '{}');"),
            case("ALTER TABLE t ADD a int, ADD b json[];"),
            case("CREATE TABLE IF NOT EXISTS t (data JSON);"),
            case("ALTER TABLE t ALTER COLUMN a SET DATA TYPE json USING a::json;"),
        ],
        [
            case('ALTER TABLE shop."Order" ADD COLUMN data jsonb NOT NULL DEFAULT \'{}\';', ORDERS),
            case("CREATE TABLE t (data jsonb, raw text CHECK (raw IS JSON));"),
            case("CREATE FUNCTION f(a json) RETURNS json LANGUAGE sql AS 'SELECT a';"),
            case("SELECT '{}'::json;"),
            case('CREATE TABLE t (json text, "JSON" int);'),
            case("ALTER TABLE t ADD COLUMN a app.json;"),
            case("CREATE VIEW v AS SELECT to_json(1) AS j;"),
        ],
    ),
    "opaque-do-block": (
        [
            case("DO $$ DECLARE t text; BEGIN FOR t IN SELECT tablename FROM pg_tables LOOP EXECUTE 'ALTER TABLE ' || t"
                 " || ' ADD COLUMN x int'; END LOOP; END $$;"),
            case("DO $$ BEGIN EXECUTE format('ALTER TABLE %I ADD COLUMN a int', 't' || 'x'); END $$;"),
            case("DO LANGUAGE plperl $$ spi_exec_query('DROP TABLE t'); $$;"),
            case("DO $$ BEGIN EXECUTE (SELECT string_agg(x, ';') FROM cmds); END $$;"),
            case("CREATE PROCEDURE p(t text) LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'DROP TABLE ' || t; END $$; CALL"
                 " p('x');"),
            case("DO $$ BEGIN IF true THEN DROP TABLE t; END IF; END $$;"),
        ],
        [
            case("DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_type WHERE typname = 'e') THEN CREATE TYPE e AS ENUM ('a');"
                 " END IF; END $$;"),
            case("DO $$ BEGIN RAISE NOTICE 'EXECUTE %', 'DROP TABLE t'; END $$;"),
            case("DO $$ BEGIN IF (SELECT count(*) FROM pg_class) > 100000 THEN RAISE EXCEPTION 'no'; END IF; END $$;"),
            case("DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', 'a', 'b'); END $$;"),
            case("DO $do$ BEGIN EXECUTE $sql$CREATE TABLE t (a int)$sql$; END $do$;"),
            case("CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'DROP TABLE ' || x; END $$;"),
            case("DO $$ BEGIN ALTER TABLE t ADD COLUMN a int; EXCEPTION WHEN duplicate_column THEN NULL; END $$;"),
        ],
    ),
}  # fmt: skip
