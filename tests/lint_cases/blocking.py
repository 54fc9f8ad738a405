"""What makes others wait, or does too much at once. Hazards and safe twins of each category."""

from __future__ import annotations

from tests.lint_cases.case import ATTACH_2024, CHECKED_2024, EVENTS, MAY_BE_NULL, ORDERS, VALIDATED_2024, Twins, case

TWINS: Twins = {
    "index-not-concurrent": (
        [
            case("CREATE INDEX ON t USING brin (at) WITH (pages_per_range = 32) TABLESPACE fast;"),
            case('CREATE UNIQUE INDEX "IX" ON "Sales"."Orders" ("Id") INCLUDE ("Total") NULLS NOT DISTINCT;'),
            case("CREATE TABLE IF NOT EXISTS t (a int); CREATE INDEX i ON t (a);", "CREATE TABLE t (a int);"),
            case("CREATE TABLE a (id int); DROP TABLE a; ALTER TABLE b RENAME TO a; CREATE INDEX i ON a (id);"),
            case("SET search_path = other; CREATE TABLE app.t (id int); CREATE INDEX i ON t (id);"),
            case("BEGIN; CREATE TABLE t (a int); ROLLBACK; CREATE INDEX i ON t (a);"),
            case("BEGIN; SAVEPOINT s; CREATE TABLE t (a int); ROLLBACK TO s; CREATE INDEX i ON t (a); COMMIT;"),
            case("DO $$ BEGIN EXECUTE 'CREATE INDEX i ON t (c)'; END $$;"),
            case("CREATE FUNCTION mk() RETURNS void LANGUAGE plpgsql AS $f$ BEGIN CREATE INDEX i ON t (c); END $f$;"
                 " SELECT mk();"),
            case("CREATE INDEX i ON event_2023 (kind);", EVENTS),
            case("CREATE INDEX i ON shop.sums (total);", ORDERS),
        ],
        [
            case('CREATE TABLE "S"."T" ("C" int); CREATE INDEX "I" ON "S"."T" ("C");'),
            case("CREATE /* big */ INDEX -- online\n CONCURRENTLY i ON t (c);"),
            case("CREATE UNLOGGED TABLE t (a int); CREATE INDEX ON t (a); CREATE INDEX ON t USING hash (a);"),
            case("CREATE TABLE t (a int); ALTER TABLE t SET SCHEMA app; CREATE INDEX i ON app.t (a);"),
            case("DO $$ BEGIN CREATE TABLE t (a int); CREATE INDEX i ON t (a); END $$;"),
            case("BEGIN; CREATE TABLE t (a int); SAVEPOINT s; CREATE INDEX i ON t (a); COMMIT;"),
            case("BEGIN; CREATE TABLE t (a int); SAVEPOINT s; ROLLBACK TO s; CREATE INDEX i ON t (a); COMMIT;"),
            case("CREATE INDEX i ON ONLY event (kind);", EVENTS),
            case("CREATE TABLE event_2025 PARTITION OF event FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');"
                 " CREATE INDEX i ON event_2025 (kind);", EVENTS),
            case("CREATE SCHEMA app; CREATE TABLE app.t AS TABLE app.old WITH NO DATA; CREATE INDEX i ON app.t (a);"),
            case("COMMENT ON INDEX i IS 'CREATE INDEX i ON t (c)';"),
        ],
    ),
    "index-drop-not-concurrent": (
        [
            case('DROP INDEX "shop"."order_code";', ORDERS),
            case("DROP INDEX IF EXISTS a, b RESTRICT;"),
            case("CREATE INDEX CONCURRENTLY j ON t (a, b); DROP INDEX i;"),
            case("BEGIN; DROP INDEX i; COMMIT;"),
            case("DO $$ BEGIN IF true THEN EXECUTE 'DROP INDEX i'; END IF; END $$;"),
            case("DROP INDEX event_at;", EVENTS),
        ],
        [
            case("DROP INDEX CONCURRENTLY shop.order_code;", ORDERS),
            case("DROP INDEX CONCURRENTLY IF EXISTS \"Odd Name\";"),
            case("CREATE TABLE t (a int); CREATE INDEX i ON t (a); DROP INDEX i;"),
            case("CREATE TEMP TABLE t (a int); CREATE INDEX i ON t (a); DROP INDEX i;"),
            case("CREATE TABLE app.t (a int); CREATE INDEX i ON app.t (a); DROP INDEX IF EXISTS app.i;"),
            case("CREATE INDEX CONCURRENTLY j ON t (a, b); DROP INDEX CONCURRENTLY i;"),
        ],
    ),
    "reindex-not-concurrent": (
        [
            case("REINDEX (VERBOSE) TABLE shop.\"Order\";", ORDERS),
            case("REINDEX INDEX shop.order_code;", ORDERS),
            case("REINDEX (TABLESPACE fast) INDEX i;"),
            case("REINDEX (CONCURRENTLY 'off') TABLE t;"),
            case("REINDEX SCHEMA shop;", transaction=False),
            case("DO $$ BEGIN REINDEX TABLE t; END $$;"),
        ],
        [
            case("REINDEX TABLE CONCURRENTLY shop.\"Order\";", ORDERS),
            case("REINDEX (CONCURRENTLY TRUE, VERBOSE) INDEX i;"),
            case("REINDEX (CONCURRENTLY, TABLESPACE fast) TABLE t;"),
            case("REINDEX SCHEMA CONCURRENTLY shop;"),
            case("CREATE TABLE t (a int PRIMARY KEY); REINDEX TABLE t;"),
            case("REINDEX DATABASE CONCURRENTLY mine;"),
        ],
    ),
    "detach-not-concurrent": (
        [
            case("ALTER TABLE event DETACH PARTITION event_2023;", EVENTS),
            case('ALTER TABLE "Log"."Event" DETACH PARTITION "Log"."Event 2023";'),
            case("BEGIN; ALTER TABLE event DETACH PARTITION event_2023; COMMIT;"),
            case("ALTER TABLE IF EXISTS ONLY event DETACH PARTITION event_2023;"),
            case("DO $$ BEGIN ALTER TABLE event DETACH PARTITION event_2023; END $$;"),
        ],
        [
            case("ALTER TABLE event DETACH PARTITION event_2023 CONCURRENTLY;", EVENTS),
            case("ALTER TABLE event DETACH PARTITION event_2023 FINALIZE;", EVENTS),
            case("CREATE TABLE p (a int) PARTITION BY LIST (a); CREATE TABLE c PARTITION OF p DEFAULT; ALTER TABLE p"
                 " DETACH PARTITION c;"),
            case("CREATE TABLE c PARTITION OF p FOR VALUES IN (1); ALTER TABLE p DETACH PARTITION c;"),
            case('ALTER TABLE "Log"."Event" DETACH PARTITION "Log"."Event 2023" CONCURRENTLY;'),
        ],
    ),
    "attach-partition-scan": (
        [
            case(ATTACH_2024, EVENTS),
            case(ATTACH_2024, CHECKED_2024),
            case(ATTACH_2024,
                 MAY_BE_NULL + "ALTER TABLE event_2024 ADD CHECK (at >= '2024-01-01' AND at < '2025-01-01');"),
            case(ATTACH_2024, VALIDATED_2024 + "CREATE TABLE event_rest PARTITION OF event DEFAULT;"),
            case("CREATE TABLE event_2025 PARTITION OF event FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');",
                 EVENTS + "CREATE TABLE event_rest PARTITION OF event DEFAULT;"),
            case(ATTACH_2024, EVENTS + "ALTER TABLE event_2024 ADD CHECK (at >= '2024-06-01' OR kind = 'x');"),
            case(ATTACH_2024, EVENTS + "ALTER TABLE event_2024 ADD CHECK (at < '2025-01-01');"),
            case(ATTACH_2024, EVENTS + "ALTER TABLE event_2024 ADD CHECK (id >= 1 AND id < 9);"),
            case('ALTER TABLE "P" ATTACH PARTITION "s"."C" FOR VALUES WITH (MODULUS 4, REMAINDER 0);'),
            case("ALTER TABLE p ATTACH PARTITION c FOR VALUES IN ('a', 'b');",
                 "CREATE TABLE p (a text) PARTITION BY LIST (a); CREATE TABLE c (a text CHECK (a = 'z'));"),
        ],
        [
            case(ATTACH_2024, VALIDATED_2024),
            case(ATTACH_2024, VALIDATED_2024 + "CREATE TABLE event_rest PARTITION OF event DEFAULT;"
                 " ALTER TABLE event_rest ADD CHECK (at < '2023-01-01' OR at >= '2025-01-01');"),
            case("CREATE TABLE event_rest PARTITION OF event DEFAULT; CREATE TABLE event_2025 PARTITION OF event FOR"
                 " VALUES FROM ('2025-01-01') TO ('2026-01-01');", EVENTS),
            case(ATTACH_2024, MAY_BE_NULL + "ALTER TABLE event_2024 ADD CHECK (at IS NOT NULL AND at >= '2024-01-01'"
                 " AND at < '2025-01-01');"),
            case(ATTACH_2024 + " ALTER TABLE event_2024 DROP CONSTRAINT b;", VALIDATED_2024),
            case("CREATE TABLE event_2024 (LIKE event INCLUDING ALL); " + ATTACH_2024),
            case("ALTER INDEX event_at ATTACH PARTITION event_2024_at;", EVENTS),
            case("CREATE TABLE event_new PARTITION OF event FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');", EVENTS),
            case("ALTER TABLE p ATTACH PARTITION c FOR VALUES IN ('a', 'b');",
                 "CREATE TABLE p (a text) PARTITION BY LIST (a);"
                 " CREATE TABLE c (a text NOT NULL CHECK (a = ANY (ARRAY['a', 'b'])));"),
            case("CREATE FOREIGN TABLE c (a int) SERVER s; ALTER TABLE p ATTACH PARTITION c FOR VALUES IN (1);"),
        ],
    ),
    "matview-refresh-not-concurrent": (
        [
            case("REFRESH MATERIALIZED VIEW shop.sums;", ORDERS),
            case('REFRESH MATERIALIZED VIEW "Sums" WITH DATA;'),
            case("BEGIN; REFRESH MATERIALIZED VIEW v; COMMIT;"),
            case("DO $$ BEGIN REFRESH MATERIALIZED VIEW v; END $$;"),
            case("REFRESH MATERIALIZED VIEW v; REFRESH MATERIALIZED VIEW CONCURRENTLY w;"),
        ],
        [
            case("REFRESH MATERIALIZED VIEW CONCURRENTLY shop.sums;", ORDERS),
            case("CREATE MATERIALIZED VIEW v AS SELECT 1 AS a; REFRESH MATERIALIZED VIEW v;"),
            case("BEGIN; REFRESH MATERIALIZED VIEW CONCURRENTLY v; COMMIT;"),
            case("REFRESH MATERIALIZED VIEW s.v;", "CREATE MATERIALIZED VIEW s.v AS SELECT 1 AS a WITH NO DATA;"),
            case("CREATE MATERIALIZED VIEW IF NOT EXISTS v AS SELECT 1 AS a WITH NO DATA;"
                 " REFRESH MATERIALIZED VIEW v;"),
        ],
    ),
    "constraint-without-not-valid": (
        [
            case('ALTER TABLE shop."Order" ADD CONSTRAINT c CHECK (total < 1000000);', ORDERS),
            case("ALTER TABLE t ADD COLUMN IF NOT EXISTS a bigint CONSTRAINT c CHECK (a IS NULL OR b IS NOT NULL);"),
            case("ALTER TABLE t ADD COLUMN a int, ADD CHECK (a > 0) NO INHERIT;"),
            case("ALTER TABLE t ADD CONSTRAINT c CHECK ((a -> 'NOT VALID') IS NOT NULL);"),
            case("DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_constraint WHERE conname = 'c') THEN ALTER TABLE t ADD"
                 " CONSTRAINT c CHECK (a > 0); END IF; END $$;"),
            case("ALTER TABLE t DROP CONSTRAINT c, ADD CONSTRAINT c CHECK (a IN ('x', 'y'));"),
        ],
        [
            case('ALTER TABLE shop."Order" ADD CONSTRAINT c CHECK (total < 1000000) NOT VALID;', ORDERS),
            case("ALTER TABLE t DROP CONSTRAINT c, ADD CONSTRAINT c CHECK (a IN ('x', 'y')) NOT VALID;"),
            case("CREATE TABLE t (a int CHECK (a > 0)); ALTER TABLE t ADD CONSTRAINT c CHECK (a < 9);"),
            case("CREATE TABLE t AS SELECT 1 AS a; ALTER TABLE t ADD CHECK (a > 0);"),
            case("ALTER TABLE t ADD COLUMN a int; ALTER TABLE t ADD CHECK (a > 0) NOT VALID;"),
            case("ALTER TABLE t VALIDATE CONSTRAINT c, VALIDATE CONSTRAINT d;"),
            case("ALTER FOREIGN TABLE f ADD CONSTRAINT c CHECK (a > 0);"),
        ],
    ),
    "fk-without-not-valid": (
        [
            case('ALTER TABLE shop."Order" ADD FOREIGN KEY (customer_id) REFERENCES shop.customer;', ORDERS),
            case("ALTER TABLE t ADD COLUMN a_id uuid NULL REFERENCES a ON UPDATE CASCADE DEFERRABLE INITIALLY"
                 " DEFERRED;"),
            case('ALTER TABLE "a" ADD CONSTRAINT "fk" FOREIGN KEY ("b_id") REFERENCES "b" ("id") DEFERRABLE INITIALLY'
                 " DEFERRED;"),
            case("ALTER TABLE t ADD COLUMN a_id int DEFAULT 1 REFERENCES a (id);"),
            case("ALTER TABLE event ADD FOREIGN KEY (id) REFERENCES o (id);", EVENTS),
            case("ALTER TABLE t ADD COLUMN parent bigint REFERENCES t (id);"),
            case("DO $$ BEGIN ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES o; EXCEPTION WHEN"
                 " duplicate_object THEN NULL; END $$;"),
        ],
        [
            case('ALTER TABLE shop."Order" ADD FOREIGN KEY (customer_id) REFERENCES shop.customer NOT VALID;', ORDERS),
            case("CREATE TABLE t (a_id int REFERENCES a (id) ON DELETE CASCADE, b_id int);"
                 " ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (b_id) REFERENCES b (id);"),
            case("BEGIN; CREATE TABLE IF NOT EXISTS a (id bigint PRIMARY KEY);"
                 " CREATE TABLE IF NOT EXISTS b (a_id bigint REFERENCES a (id)); COMMIT;"),
            case("ALTER TABLE t ADD COLUMN a_id bigint;"
                 " ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (a_id) REFERENCES a (id) NOT VALID;"),
            case("ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (a, b) REFERENCES o (x, y) MATCH FULL NOT VALID;"),
            case("ALTER TABLE t VALIDATE CONSTRAINT t_a_id_fkey;"),
        ],
    ),
    "validate-in-same-transaction": (
        [
            case('BEGIN; ALTER TABLE "T" ADD CONSTRAINT "C" CHECK (a > 0) NOT VALID; ALTER TABLE "T" VALIDATE'
                 ' CONSTRAINT'
                 ' "C"; COMMIT;', transaction=False),
            case("ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES b NOT VALID;"
                 " ALTER TABLE t VALIDATE CONSTRAINT f;"),
            case("DO $$ BEGIN ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID;"
                 " ALTER TABLE t VALIDATE CONSTRAINT c; END $$;"),
            case("ALTER TABLE shop.\"Order\" ADD CONSTRAINT c CHECK (total < 9) NOT VALID;"
                 " ALTER TABLE shop.\"Order\" VALIDATE CONSTRAINT c;", ORDERS),
            case("ALTER TABLE t ADD CHECK (a > 0) NOT VALID; SELECT 1; ALTER TABLE t VALIDATE CONSTRAINT t_a_check;",
                 transaction=True),
        ],
        [
            case("ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID;"
                 " ALTER TABLE t VALIDATE CONSTRAINT c;", transaction=False),
            case("BEGIN; ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES b NOT VALID; COMMIT;"
                 " BEGIN; ALTER TABLE t VALIDATE CONSTRAINT f; COMMIT;"),
            case("ALTER TABLE shop.\"Order\" VALIDATE CONSTRAINT note_there;", ORDERS),
            case("CREATE TABLE t (a int); ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID;"
                 " ALTER TABLE t VALIDATE CONSTRAINT c;"),
            case("ALTER TABLE a VALIDATE CONSTRAINT c; ALTER TABLE b VALIDATE CONSTRAINT d;"),
            case("ALTER DOMAIN d VALIDATE CONSTRAINT c;"),
        ],
    ),
    "unique-without-index": (
        [
            case('ALTER TABLE shop."Order" ADD CONSTRAINT u UNIQUE (code);', ORDERS),
            case("ALTER TABLE t ADD COLUMN code varchar(255) UNIQUE;"),
            case("ALTER TABLE IF EXISTS t ADD CONSTRAINT u UNIQUE (a) DEFERRABLE INITIALLY DEFERRED;"),
            case("ALTER TABLE t DROP CONSTRAINT u, ADD CONSTRAINT u UNIQUE (a, b);"),
            case("ALTER TABLE t ADD COLUMN a uuid, ADD CONSTRAINT u UNIQUE NULLS NOT DISTINCT (a);"),
            case("CREATE UNIQUE INDEX CONCURRENTLY u ON t (a); ALTER TABLE t ADD CONSTRAINT v UNIQUE (a);"),
        ],
        [
            case('ALTER TABLE shop."Order" ADD CONSTRAINT u UNIQUE USING INDEX order_code;', ORDERS),
            case("CREATE TABLE t (a int UNIQUE, b int, UNIQUE (a, b)); ALTER TABLE t ADD UNIQUE (b);"),
            case("CREATE UNIQUE INDEX CONCURRENTLY u ON t (a); ALTER TABLE t ADD CONSTRAINT u UNIQUE USING INDEX u;"),
            case("CREATE UNIQUE INDEX CONCURRENTLY u ON t (a) NULLS NOT DISTINCT WHERE b IS NULL;"),
            case("ALTER TABLE t ADD CONSTRAINT u UNIQUE USING INDEX u DEFERRABLE INITIALLY DEFERRED;"),
            case("ALTER TABLE t DROP CONSTRAINT u, ADD CONSTRAINT u UNIQUE USING INDEX v;"),
        ],
    ),
    "pk-without-index": (
        [
            case("ALTER TABLE event_2024 ADD PRIMARY KEY (id);", EVENTS),
            case('ALTER TABLE "T" ADD CONSTRAINT "PK_T" PRIMARY KEY ("Id") INCLUDE ("X");'),
            case("ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (a, b);"),
            case("ALTER TABLE t ADD COLUMN id uuid PRIMARY KEY DEFAULT gen_random_uuid();"),
            case("ALTER TABLE t ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY;"),
        ],
        [
            case("CREATE TABLE t (a bigint); ALTER TABLE t ADD PRIMARY KEY (a);"),
            case('ALTER TABLE "T" ADD CONSTRAINT "PK_T" PRIMARY KEY USING INDEX "T_idx";'),
            case("ALTER TABLE t DROP CONSTRAINT t_pkey, ADD CONSTRAINT t_pkey PRIMARY KEY USING INDEX t_id_big;"),
            case("CREATE TABLE t AS SELECT 1 AS a; ALTER TABLE t ADD CONSTRAINT p PRIMARY KEY (a);"),
            case("CREATE TABLE t (LIKE o); ALTER TABLE t ADD PRIMARY KEY (id);"),
        ],
    ),
    "pk-using-nullable-index": (
        [
            case("ALTER TABLE t ADD PRIMARY KEY USING INDEX i;",
                 "CREATE TABLE t (a bigint, b int); CREATE UNIQUE INDEX CONCURRENTLY i ON t (a);"),
            case('ALTER TABLE "T" ADD CONSTRAINT p PRIMARY KEY USING INDEX "I";',
                 'CREATE TABLE "T" ("A" uuid); CREATE UNIQUE INDEX "I" ON "T" ("A");'),
            case("ALTER TABLE t ADD CONSTRAINT p PRIMARY KEY USING INDEX i;",
                 "CREATE TABLE t (a int NOT NULL); ALTER TABLE t ADD COLUMN b int; CREATE UNIQUE INDEX i ON t (a, b);"),
            case("ALTER TABLE t ADD CONSTRAINT p PRIMARY KEY USING INDEX i;",
                 "CREATE TABLE t (a int); ALTER TABLE t ADD CHECK (a IS NOT NULL) NOT VALID;"
                 " CREATE UNIQUE INDEX i ON t (a);"),
            case("ALTER TABLE s.t ADD CONSTRAINT p PRIMARY KEY USING INDEX i;",
                 "CREATE TABLE s.t (a int NOT NULL); ALTER TABLE s.t ALTER a DROP NOT NULL;"
                 " CREATE UNIQUE INDEX i ON s.t (a);"),
        ],
        [
            case("ALTER TABLE t ADD PRIMARY KEY USING INDEX i;",
                 "CREATE TABLE t (a bigint NOT NULL); CREATE UNIQUE INDEX CONCURRENTLY i ON t (a);"),
            case("ALTER TABLE t ADD CONSTRAINT p PRIMARY KEY USING INDEX i;",
                 "CREATE TABLE t (a int); ALTER TABLE t ADD CHECK (a IS NOT NULL); CREATE UNIQUE INDEX i ON t (a);"),
            case("ALTER TABLE t ADD CONSTRAINT p PRIMARY KEY USING INDEX i;",
                 "CREATE TABLE t (a int); ALTER TABLE t ALTER a SET NOT NULL; CREATE UNIQUE INDEX i ON t (a);"),
            case("ALTER TABLE t ADD CONSTRAINT p PRIMARY KEY USING INDEX i;",
                 "CREATE TABLE t (a bigserial, b bigint GENERATED ALWAYS AS IDENTITY);"
                 " CREATE UNIQUE INDEX i ON t (a, b);"),
            case("ALTER TABLE t DROP CONSTRAINT t_pkey, ADD CONSTRAINT t_pkey PRIMARY KEY USING INDEX i;",
                 "CREATE TABLE t (a int PRIMARY KEY, b int NOT NULL); CREATE UNIQUE INDEX i ON t (b, a);"),
        ],
    ),
    "exclusion-constraint": (
        [
            case("ALTER TABLE room ADD CONSTRAINT e EXCLUDE USING gist (room WITH =, during WITH &&);"),
            case('ALTER TABLE "Room" ADD EXCLUDE USING gist ("During" WITH &&) WHERE (NOT cancelled);'),
            case("ALTER TABLE t ADD COLUMN r tstzrange, ADD CONSTRAINT e EXCLUDE USING gist (r WITH &&);"),
            case("BEGIN; ALTER TABLE t ADD EXCLUDE USING spgist (r WITH &&) DEFERRABLE; COMMIT;"),
            case("DO $$ BEGIN ALTER TABLE t ADD CONSTRAINT e EXCLUDE USING gist (r WITH &&); END $$;"),
        ],
        [
            case("CREATE TABLE room (room int, during tstzrange, EXCLUDE USING gist (room WITH =, during WITH &&));"),
            case("CREATE TABLE t (r tstzrange); ALTER TABLE t ADD CONSTRAINT e EXCLUDE USING gist (r WITH &&);"),
            case("CREATE EXTENSION IF NOT EXISTS btree_gist; CREATE TABLE t (r tstzrange, EXCLUDE USING gist (r WITH"
                 " &&));"),
            case("CREATE INDEX CONCURRENTLY i ON t USING gist (r);"),
            case("COMMENT ON CONSTRAINT e ON t IS 'EXCLUDE USING gist (r WITH &&)';"),
        ],
    ),
    "set-not-null-full-scan": (
        [
            case('ALTER TABLE shop."Order" ALTER COLUMN customer_id SET NOT NULL;', ORDERS),
            case('ALTER TABLE shop."Order" ALTER COLUMN note SET NOT NULL;', ORDERS),
            case("ALTER TABLE t ALTER a SET DEFAULT 0, ALTER a SET NOT NULL;"),
            case("BEGIN; ALTER TABLE t ALTER COLUMN a SET NOT NULL; UPDATE version SET n = 2 WHERE id = 1; COMMIT;"),
            case("ALTER TABLE t ALTER a SET NOT NULL;", "CREATE TABLE t (a int CHECK (a > 0));"),
            case("ALTER TABLE t ALTER a SET NOT NULL;", "CREATE TABLE t (a int); ALTER TABLE t ADD CONSTRAINT c CHECK"
                 " (a IS NOT NULL); ALTER TABLE t DROP CONSTRAINT c;"),
            case("ALTER TABLE t ALTER a SET NOT NULL;", "CREATE TABLE t (a int UNIQUE);"),
            case("ALTER TABLE a.t ALTER c SET NOT NULL;", "CREATE TABLE b.t (c int NOT NULL);"),
        ],
        [
            case("ALTER TABLE foo VALIDATE CONSTRAINT foo_bar_not_null; ALTER TABLE foo ALTER COLUMN bar SET NOT NULL;"
                 " ALTER TABLE foo DROP CONSTRAINT foo_bar_not_null;"),
            case('ALTER TABLE shop."Order" ALTER COLUMN note SET NOT NULL;',
                 ORDERS + 'ALTER TABLE shop."Order" VALIDATE CONSTRAINT note_there;'),
            case('ALTER TABLE shop."Order" ALTER COLUMN code SET NOT NULL, ALTER COLUMN id SET NOT NULL;', ORDERS),
            case("ALTER TABLE t ALTER a SET NOT NULL;", "CREATE TABLE t (a int, b int, PRIMARY KEY (a));"),
            case("ALTER TABLE t ALTER a SET NOT NULL;",
                 "CREATE TABLE t (a int); ALTER TABLE t ADD CHECK (b > 0 AND (a IS NOT NULL));"),
            case("CREATE TABLE t AS SELECT 1 AS a; ALTER TABLE t ALTER a SET NOT NULL;"),
            case("ALTER TABLE t ALTER a SET NOT NULL;", "CREATE TABLE t (a int); ALTER TABLE t ADD CONSTRAINT c"
                 " NOT NULL"
                 " a NOT VALID; ALTER TABLE t VALIDATE CONSTRAINT c;"),
        ],
    ),
    "volatile-default-rewrite": (
        [
            case('ALTER TABLE shop."Order" ADD COLUMN token uuid NOT NULL DEFAULT gen_random_uuid();', ORDERS),
            case("ALTER TABLE t ADD COLUMN a timestamptz DEFAULT (clock_timestamp() AT TIME ZONE 'utc');"),
            case("ALTER TABLE t ADD a text DEFAULT md5(random()::text);"),
            case("ALTER TABLE t ADD COLUMN a timestamptz DEFAULT timeofday()::timestamptz;"),
            case("ALTER TABLE t ADD COLUMN a bytea DEFAULT gen_random_bytes(16);"),
            case("ALTER TABLE t ADD COLUMN a text DEFAULT app.short_id();"),
            case("ALTER TABLE t ADD COLUMN a bigint DEFAULT nextval('s'::regclass);"),
            case("ALTER TABLE t ADD COLUMN a uuid DEFAULT uuidv7();"),
        ],
        [
            case('ALTER TABLE shop."Order" ADD COLUMN seen timestamptz NOT NULL DEFAULT now();', ORDERS),
            case("ALTER TABLE t ADD COLUMN a text NOT NULL DEFAULT CURRENT_USER, ADD b date DEFAULT CURRENT_DATE;"),
            case("ALTER TABLE t ADD COLUMN a timestamptz DEFAULT statement_timestamp() + interval '1 day';"),
            case("ALTER TABLE t ADD a jsonb NOT NULL DEFAULT jsonb_build_object('a', 1), ADD b text[] DEFAULT '{}';"),
            case("ALTER TABLE t ADD a text DEFAULT 'random()', ADD b int DEFAULT (1 + 2) * 3;"),
            case("ALTER TABLE t ADD COLUMN a point DEFAULT point(0, 0), ADD b int4range DEFAULT int4range(1, 5);"),
            case("ALTER TABLE t ALTER COLUMN a SET DEFAULT gen_random_uuid();"),
            case("ALTER TABLE t ADD a shop.state DEFAULT 'new'::shop.state;", ORDERS),
            case("CREATE TABLE t (a uuid PRIMARY KEY DEFAULT gen_random_uuid()); ALTER TABLE t ADD b float DEFAULT"
                 " random();"),
        ],
    ),
    "generated-stored-rewrite": (
        [
            case('ALTER TABLE shop."Order" ADD COLUMN cents bigint GENERATED ALWAYS AS (total * 100) STORED;', ORDERS),
            case("ALTER TABLE t ADD COLUMN IF NOT EXISTS v tsvector GENERATED ALWAYS AS (to_tsvector('english', a))"
                 " STORED;"),
            case("ALTER TABLE t ADD COLUMN a int, ADD COLUMN b int GENERATED ALWAYS AS (a + 1) STORED;"),
            case("BEGIN; ALTER TABLE t ADD b text GENERATED ALWAYS AS (lower(a)) STORED NOT NULL; COMMIT;"),
            case("ALTER TABLE t ALTER COLUMN b SET EXPRESSION AS (a + 2);"),
        ],
        [
            case("CREATE TABLE t (a int, b int GENERATED ALWAYS AS (a + 1) STORED);"),
            case("CREATE TABLE t (a int); ALTER TABLE t ADD b int GENERATED ALWAYS AS (a + 1) STORED;"),
            case("ALTER TABLE t ADD COLUMN b int GENERATED ALWAYS AS (a + 1) VIRTUAL;"),
            case("ALTER TABLE t ADD COLUMN b int; CREATE OR REPLACE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS"
                 " $$ BEGIN NEW.b := NEW.a + 1; RETURN NEW; END $$;"),
            case("CREATE VIEW v AS SELECT a, a + 1 AS b FROM t;"),
            case("CREATE INDEX CONCURRENTLY i ON t ((a + 1));"),
        ],
    ),
    "serial-column-rewrite": (
        [
            case('ALTER TABLE shop."Order" ADD COLUMN nr bigserial;', ORDERS),
            case("ALTER TABLE t ADD COLUMN n serial4 UNIQUE;"),
            case("ALTER TABLE t ADD COLUMN IF NOT EXISTS n int NOT NULL GENERATED BY DEFAULT AS IDENTITY;"),
            case("ALTER TABLE t ADD a text, ADD n bigint GENERATED ALWAYS AS IDENTITY (START WITH 100 CACHE 20);"),
            case('ALTER TABLE "T" ADD "N" SMALLSERIAL NOT NULL;'),
        ],
        [
            case("CREATE TABLE t (n bigserial, m bigint GENERATED BY DEFAULT AS IDENTITY);"),
            case("CREATE TABLE t (a int); ALTER TABLE t ADD n serial;"),
            case("ALTER TABLE t ADD COLUMN n bigint; CREATE SEQUENCE n_seq OWNED BY t.n;"
                 " ALTER TABLE t ALTER n SET DEFAULT nextval('n_seq');"),
            case("ALTER TABLE t ALTER COLUMN n ADD GENERATED BY DEFAULT AS IDENTITY;"),
            case("ALTER TABLE t ALTER COLUMN n SET GENERATED ALWAYS RESTART WITH 1000;"),
            case("ALTER SEQUENCE s AS bigint MAXVALUE 9000000000;"),
        ],
    ),
    "domain-column-scan": (
        [
            case('ALTER TABLE shop."Order" ADD COLUMN tax shop.amount;', ORDERS),
            case('ALTER TABLE shop."Order" ADD COLUMN tax shop.amount DEFAULT 0 NOT NULL;', ORDERS),
            case("CREATE DOMAIN d AS text; ALTER DOMAIN d ADD CHECK (value <> ''); ALTER TABLE t ADD a d;"),
            case("ALTER TABLE t ADD a positive;", "CREATE DOMAIN positive int CONSTRAINT c CHECK (value > 0)"
                 " DEFAULT 1;"),
            case('ALTER TABLE t ADD a "D";', 'CREATE DOMAIN base AS int NOT NULL; CREATE DOMAIN "D" AS base;'),
        ],
        [
            case('ALTER TABLE shop."Order" ADD COLUMN c shop.plain;', ORDERS),
            case("CREATE TABLE t (a shop.amount); ALTER TABLE t ADD b shop.amount;", ORDERS),
            case("ALTER TABLE t ADD a numeric(12, 2); ALTER TABLE t ADD CHECK (a >= 0) NOT VALID;", ORDERS),
            case("ALTER TABLE t ADD a d;", "CREATE DOMAIN d AS text COLLATE \"C\" DEFAULT 'x';"),
            case("CREATE DOMAIN d AS int CHECK (value > 0); CREATE TABLE t (a d);"),
        ],
    ),
    "domain-add-constraint": (
        [
            case("ALTER DOMAIN shop.amount ADD CONSTRAINT c CHECK (value < 1000000);", ORDERS),
            case('ALTER DOMAIN "D" ADD CHECK (value ~ \'^[a-z]+$\');'),
            case("ALTER DOMAIN shop.plain SET NOT NULL;", ORDERS),
            case("BEGIN; ALTER DOMAIN d ADD CONSTRAINT c CHECK (length(value) < 9); COMMIT;"),
            case("DO $$ BEGIN ALTER DOMAIN d ADD CHECK (value > 0); END $$;"),
            case("ALTER DOMAIN d ADD CONSTRAINT n NOT NULL;"),
        ],
        [
            case("ALTER DOMAIN shop.amount ADD CONSTRAINT c CHECK (value < 1000000) NOT VALID;", ORDERS),
            case("ALTER DOMAIN shop.amount VALIDATE CONSTRAINT c;", ORDERS),
            case("CREATE DOMAIN d AS int; ALTER DOMAIN d ADD CHECK (value > 0); ALTER DOMAIN d SET NOT NULL;"),
            case("ALTER DOMAIN d RENAME CONSTRAINT a TO b;"),
            case("ALTER DOMAIN d OWNER TO o;"),
        ],
    ),
    "change-column-type": (
        [
            case('ALTER TABLE shop."Order" ALTER COLUMN customer_id TYPE text;', ORDERS),
            case('ALTER TABLE shop."Order" ALTER COLUMN code TYPE varchar(10);', ORDERS),
            case('ALTER TABLE shop."Order" ALTER COLUMN total TYPE numeric(12, 4);', ORDERS),
            case('ALTER TABLE shop."Order" ALTER COLUMN total TYPE bigint USING (total * 100)::bigint;', ORDERS),
            case('ALTER TABLE shop."Order" ALTER COLUMN placed TYPE timestamptz USING placed AT TIME ZONE \'UTC\';',
                 ORDERS),
            case('ALTER TABLE shop."Order" ALTER COLUMN state TYPE text;', ORDERS),
            case('ALTER TABLE shop."Order" ALTER COLUMN paid DROP DEFAULT, ALTER COLUMN paid TYPE int USING paid::int;',
                 ORDERS),
            case("SET timezone = 'Europe/Berlin'; ALTER TABLE shop.\"Order\" ALTER placed TYPE timestamptz;", ORDERS),
            case("ALTER TABLE t ALTER a TYPE cidr;", "CREATE TABLE t (a inet);"),
            case("ALTER TABLE t ALTER a TYPE text;", "CREATE TABLE t (a char(5));"),
            case("ALTER TABLE t ALTER a TYPE bit varying(4);", "CREATE TABLE t (a bit varying(8));"),
            case("ALTER TABLE t ALTER a TYPE numeric(10);", "CREATE TABLE t (a numeric);"),
            case("ALTER TABLE t ALTER a TYPE shop.amount;", ORDERS + "CREATE TABLE t (a numeric(12, 2));"),
            case("ALTER TABLE t ALTER a TYPE interval(2);", "CREATE TABLE t (a interval(4));"),
            case("ALTER TABLE t ALTER a TYPE jsonb;", "CREATE TABLE t (a json);"),
            case("ALTER TABLE t ALTER a TYPE varchar(50)[];", "CREATE TABLE t (a varchar(20)[]);"),
            case("ALTER TABLE t ALTER a TYPE text[];", "CREATE TABLE t (a varchar(20)[]);"),
            case('ALTER TABLE shop."Order" ALTER COLUMN total TYPE numeric(14, 2);', ORDERS),
            case("ALTER TABLE t ALTER a TYPE text;", "CREATE TABLE t (a varchar(9)); CREATE INDEX i ON t (lower(a));"),
            case("ALTER TABLE t ALTER a TYPE text;", "CREATE TABLE t (a varchar(9), b int);"
                 " CREATE INDEX i ON t (b) WHERE a <> 'x';"),
        ],
        [
            case('ALTER TABLE shop."Order" ALTER COLUMN code TYPE varchar(40);', ORDERS),
            case('ALTER TABLE shop."Order" ALTER COLUMN code TYPE character varying;', ORDERS),
            case('ALTER TABLE shop."Order" ALTER COLUMN code SET DATA TYPE text;', ORDERS),
            case('ALTER TABLE shop."Order" ALTER COLUMN tax TYPE numeric(14, 2);', ORDERS),
            case('ALTER TABLE shop."Order" ALTER COLUMN tax TYPE decimal USING tax::decimal;', ORDERS),
            case('ALTER TABLE shop."Order" ALTER COLUMN net TYPE inet;', ORDERS),
            case('ALTER TABLE shop."Order" ALTER COLUMN bits TYPE bit varying(16);', ORDERS),
            case('SET LOCAL timezone TO \'UTC\'; ALTER TABLE shop."Order" ALTER placed TYPE timestamptz;', ORDERS),
            case('ALTER TABLE shop."Order" ALTER COLUMN note TYPE varchar;', ORDERS),
            case("CREATE TABLE t (a int); ALTER TABLE t ALTER a TYPE bigint;"),
            case("ALTER TABLE t ALTER a TYPE bigint;", "CREATE TABLE t (a int8);"),
            case("ALTER TABLE t ALTER a TYPE varchar[];", "CREATE TABLE t (a varchar(20)[]);"),
            case("ALTER TABLE t ALTER a TYPE interval(6);", "CREATE TABLE t (a interval);"),
            case("ALTER TABLE t ALTER a TYPE interval;", "CREATE TABLE t (a interval(4));"),
            case("ALTER TABLE t ALTER a TYPE text;", ORDERS + "CREATE TABLE t (a shop.plain);"),
            case("ALTER TABLE t ALTER a TYPE shop.plain;", ORDERS + "CREATE TABLE t (a text);"),
            case("ALTER FOREIGN TABLE f ALTER COLUMN a TYPE bigint;"),
            case("ALTER VIEW v ALTER COLUMN a SET DEFAULT 1;"),
        ],
    ),
    "table-rewrite-command": (
        [
            case('VACUUM (FULL, VERBOSE, ANALYZE) shop."Order";', ORDERS),
            case("VACUUM FULL a, b;"),
            case('CLUSTER VERBOSE shop."Order" USING order_code;', ORDERS),
            case('ALTER TABLE shop."Order" SET UNLOGGED;', ORDERS),
            case("ALTER TABLE t SET LOGGED, ADD COLUMN a int;"),
            case("ALTER TABLE event_2023 SET TABLESPACE cold;", EVENTS),
            case("ALTER TABLE t SET ACCESS METHOD columnar;"),
            case("ALTER INDEX shop.order_code SET TABLESPACE fast;", ORDERS),
            case("ALTER INDEX ALL IN TABLESPACE old SET TABLESPACE new;"),
            case("CLUSTER;"),
        ],
        [
            case('VACUUM (ANALYZE, FREEZE) shop."Order";', ORDERS),
            case("VACUUM (FULL off) t;"),
            case("ALTER TABLE event SET TABLESPACE cold;", EVENTS),
            case("CREATE UNLOGGED TABLE t (a int); ALTER TABLE t SET LOGGED;"),
            case("ALTER TABLE t CLUSTER ON i; ALTER TABLE t SET WITHOUT CLUSTER;"),
            case("ALTER TABLE t SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01), RESET"
                 " (toast_tuple_target);"),
            case("CREATE TABLE t (a int) TABLESPACE fast; ALTER TABLE t SET TABLESPACE slow;"),
            case("SET default_tablespace = fast; CREATE TABLE t (a int);"),
        ],
    ),
    "unbatched-dml": (
        [
            case('UPDATE shop."Order" SET paid = true WHERE state = \'paid\';', ORDERS),
            case('UPDATE ONLY shop."Order" AS o SET note = c.name FROM shop.customer c WHERE c.id ='
                 ' o.customer_id;', ORDERS),
            case("DELETE FROM t WHERE at < '2020-01-01';"),
            case("DELETE FROM t WHERE NOT active;"),
            case("INSERT INTO archive SELECT * FROM t WHERE at < now() - interval '90 days' ON CONFLICT DO NOTHING;"),
            case("UPDATE t SET a = (SELECT b FROM o WHERE o.id = t.o_id);"),
            case("UPDATE t SET a = 1 WHERE id NOT IN (1, 2, 3);"),
            case("UPDATE t SET a = lower(a) WHERE a <> lower(a);"),
            case("WITH RECURSIVE tree AS (SELECT id FROM t WHERE p IS NULL UNION ALL SELECT c.id FROM t c JOIN tree ON"
                 " c.p = tree.id) UPDATE t SET a = 1 FROM tree WHERE tree.id = t.id;"),
            case("MERGE INTO t USING staging s ON t.id = s.id WHEN MATCHED THEN DELETE;"),
            case("DO $$ DECLARE n int; BEGIN DELETE FROM t WHERE a IS NULL; GET DIAGNOSTICS n = ROW_COUNT; END $$;"),
            case("DELETE FROM t a USING t b WHERE a.id < b.id AND a.email = b.email;"),
            case("UPDATE t SET a = 1 WHERE id % 2 = 0;"),
            case("WITH moved AS (DELETE FROM t WHERE a IS NULL RETURNING *) SELECT 1;"),
            case("INSERT INTO t (a) TABLE o;"),
            case("DO $$ BEGIN FOR i IN 1..100 LOOP UPDATE t SET a = 1 WHERE id BETWEEN i * 1000 AND i * 1000 + 999;"
                 " END LOOP; END $$;"),
            case("CREATE FUNCTION f() RETURNS void LANGUAGE sql BEGIN ATOMIC DELETE FROM t; END; SELECT f();"),
            case("DELETE FROM t WHERE id < 1000000;"),
            case("DELETE FROM t WHERE uuid < 'c0000000-0000-0000-0000-000000000000';"),
        ],
        [
            case('UPDATE shop."Order" SET paid = true WHERE id = 42;', ORDERS),
            case("UPDATE shop.customer SET name = 'x' WHERE email = 'a@example.com';", ORDERS),
            case("DELETE FROM t WHERE id > 100 AND id <= 200 RETURNING id;"),
            case("DELETE FROM t WHERE id IN (SELECT id FROM t WHERE a IS NULL ORDER BY id LIMIT 500 FOR UPDATE SKIP"
                 " LOCKED);"),
            case("INSERT INTO roles (name) VALUES ('a'), ('b') ON CONFLICT (name) DO UPDATE SET name = excluded.name;"),
            case("INSERT INTO flags (key, value) SELECT 'a', true WHERE NOT EXISTS (SELECT 1 FROM flags WHERE key ="
                 " 'a');"),
            case("WITH v (id, a) AS (VALUES (1, 'x'), (2, 'y')) UPDATE t SET a = v.a FROM v WHERE v.id = t.id;"),
            case("UPDATE t SET a = d.a FROM unnest(ARRAY[1, 2], ARRAY['x', 'y']) AS d (id, a) WHERE d.id = t.id;"),
            case("MERGE INTO t USING (SELECT 1 AS id) s ON t.id = s.id WHEN MATCHED THEN UPDATE SET a = 1;"),
            case("CREATE TABLE copy AS TABLE o WITH NO DATA; INSERT INTO copy VALUES (1); UPDATE copy SET a = 1;"),
            case("COMMENT ON TABLE t IS 'UPDATE t SET a = 1'; SELECT 'DELETE FROM t';"),
            case("CREATE OR REPLACE FUNCTION f() RETURNS void LANGUAGE sql AS 'UPDATE t SET a = 1';"),
            case("EXPLAIN UPDATE t SET a = 1;"),
            case("DO $$ BEGIN FOR i IN 1..5 LOOP UPDATE t SET a = i WHERE id = i; END LOOP; END $$;"),
            case("CREATE FUNCTION f() RETURNS void LANGUAGE sql BEGIN ATOMIC DELETE FROM t WHERE id = 1; END;"
                 " SELECT f();"),
            case("DELETE FROM t WHERE id <= 1000;"),
            case("UPDATE t SET a = 1 WHERE id BETWEEN SYMMETRIC 1000 AND 1;"),
            case("UPDATE t SET a = 1 WHERE 1 <= id AND id < 1000;"),
            case("UPDATE t SET a = s.a FROM (SELECT id, a FROM o ORDER BY id LIMIT 1000) s WHERE s.id = t.id;"),
            case("PREPARE q AS UPDATE t SET a = 1;"),
        ],
    ),
    "locked-then-more-statements": (
        [
            case("ALTER TABLE a ADD COLUMN x int; CREATE INDEX i ON b (y);"),
            case("BEGIN; ALTER TABLE a ADD COLUMN x int; UPDATE b SET y = 1; COMMIT;"),
            case("ALTER TABLE a ADD CONSTRAINT f FOREIGN KEY (b_id) REFERENCES b NOT VALID; SELECT count(*) FROM c;"),
            case("DROP TRIGGER x ON a; DELETE FROM b;"),
            case("CREATE TRIGGER x AFTER INSERT ON a FOR EACH ROW EXECUTE FUNCTION f(); UPDATE b SET y = 1;"),
            case("BEGIN; TRUNCATE a; INSERT INTO a SELECT * FROM b; COMMIT;"),
            case("ALTER TABLE a RENAME TO old_a; CREATE VIEW a AS SELECT * FROM old_a; REFRESH MATERIALIZED VIEW m;"),
            case("BEGIN; LOCK TABLE a IN SHARE ROW EXCLUSIVE MODE; SELECT pg_sleep(5); COMMIT;"),
            case("ALTER TABLE a ADD COLUMN x int; ALTER TABLE b VALIDATE CONSTRAINT c;"),
            case("ALTER TABLE a ADD COLUMN x int; CREATE TABLE copy AS SELECT * FROM b;"),
            case("ALTER TABLE a ADD COLUMN x int; ANALYZE b;"),
            case("BEGIN; DROP INDEX i; CREATE INDEX j ON a (x); COMMIT;"),
        ],
        [
            case("ALTER TABLE a ADD COLUMN x int; ALTER TABLE a ADD COLUMN y int; COMMENT ON COLUMN a.x IS 'x';"),
            case("ALTER TABLE a ADD COLUMN x int; GRANT SELECT ON a TO app; CREATE VIEW v AS SELECT x FROM a;"),
            case("BEGIN; ALTER TABLE a ADD COLUMN x int; COMMIT; SELECT count(*) FROM a;", transaction=False),
            case("ALTER TABLE a ADD COLUMN x int; SELECT count(*) FROM a;", transaction=False),
            case("CREATE TABLE a (x int); INSERT INTO a SELECT y FROM b; CREATE INDEX i ON a (x);"),
            case("ALTER TABLE a ADD COLUMN x int; INSERT INTO versions (n) VALUES (7);"),
            case("UPDATE a SET x = 1 WHERE id = 1; ALTER TABLE a ADD COLUMN y int;"),
            case("ALTER TABLE a ADD COLUMN x int; SELECT set_config('search_path', '', false);"),
            case("ALTER TABLE a ADD COLUMN x int; CREATE TABLE b (a_id int); CREATE INDEX i ON b (a_id);"),
        ],
    ),
    "explicit-lock": (
        [
            case('LOCK TABLE shop."Order" IN ACCESS EXCLUSIVE MODE;', ORDERS),
            case("BEGIN; LOCK TABLE a, b IN SHARE ROW EXCLUSIVE MODE; COMMIT;"),
            case("LOCK a IN SHARE MODE NOWAIT;"),
            case("LOCK TABLE a IN EXCLUSIVE MODE;"),
            case("DO $$ BEGIN EXECUTE 'LOCK TABLE a'; END $$;"),
        ],
        [
            case("LOCK TABLE a IN ACCESS SHARE MODE;"),
            case("BEGIN; LOCK TABLE a IN ROW SHARE MODE; COMMIT;"),
            case("LOCK TABLE a IN SHARE UPDATE EXCLUSIVE MODE;"),
            case("CREATE TABLE a (x int); LOCK TABLE a IN ACCESS EXCLUSIVE MODE;"),
            case("SELECT pg_advisory_xact_lock(42);"),
            case("SELECT 1 FROM a WHERE id = 1 FOR UPDATE;"),
        ],
    ),
    "create-trigger": (
        [
            case('CREATE TRIGGER "T" AFTER INSERT OR UPDATE ON shop."Order" FOR EACH ROW EXECUTE FUNCTION'
                 ' f();', ORDERS),
            case("CREATE OR REPLACE TRIGGER x BEFORE DELETE ON t FOR EACH STATEMENT EXECUTE PROCEDURE f();"),
            case("CREATE TRIGGER x AFTER INSERT ON t REFERENCING NEW TABLE AS n EXECUTE FUNCTION f();"),
            case("CREATE TRIGGER x BEFORE UPDATE OF a ON event FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE"
                 " FUNCTION f();", EVENTS),
            case("DO $$ BEGIN CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f(); END $$;"),
        ],
        [
            case("CREATE TABLE t (a int); CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();"),
            case("CREATE TRIGGER x INSTEAD OF UPDATE ON shop.paid FOR EACH ROW EXECUTE FUNCTION f();", ORDERS),
            case("CREATE OR REPLACE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;"),
            case("CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION f();"),
            case("ALTER TRIGGER x ON t RENAME TO y;"),
            case("COMMENT ON TRIGGER x ON t IS 'CREATE TRIGGER';"),
        ],
    ),
    "create-rule": (
        [
            case('CREATE RULE r AS ON DELETE TO shop."Order" DO INSTEAD NOTHING;', ORDERS),
            case("CREATE OR REPLACE RULE r AS ON UPDATE TO t WHERE OLD.a <> NEW.a DO ALSO (INSERT INTO log VALUES (1);"
                 " NOTIFY x);"),
            case('CREATE RULE "R" AS ON INSERT TO "T" DO ALSO NOTIFY changed;'),
            case("BEGIN; CREATE RULE r AS ON INSERT TO t DO INSTEAD INSERT INTO u VALUES (NEW.*); COMMIT;"),
            case("DO $$ BEGIN CREATE RULE r AS ON DELETE TO t DO INSTEAD NOTHING; END $$;"),
        ],
        [
            case("CREATE TABLE t (a int); CREATE RULE r AS ON DELETE TO t DO INSTEAD NOTHING;"),
            case("CREATE VIEW v AS SELECT 1 AS a; CREATE RULE r AS ON INSERT TO v DO INSTEAD NOTHING;"),
            case("COMMENT ON RULE r ON t IS 'x';"),
            case("ALTER RULE r ON t RENAME TO s;"),
            case("CREATE TABLE rule (a int); CREATE INDEX i ON rule (a);"),
        ],
    ),
}  # fmt: skip
