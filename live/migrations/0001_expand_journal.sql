-- Locks: only on objects that this file makes; milliseconds. A worker beside it notices nothing.
-- The one store of the runtime: every fact is a row of live.event, appended by the holder of the lease and never changed.

CREATE SCHEMA live;

CREATE FUNCTION live.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '%.% is append-only: % refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation', HINT = 'append a new row that says what changed';
END
$$;

-- --- the journal ----------------------------------------------------------------------------------------------------

CREATE TABLE live.event (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope           text NOT NULL,
    epoch           bigint NOT NULL,
    holder          uuid NOT NULL,
    kind            text NOT NULL,
    symbol          text,
    client_order_id text,
    fill_id         text,
    at              timestamptz NOT NULL,
    recorded_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    payload         jsonb NOT NULL,
    CONSTRAINT event_fill_has_id CHECK ((kind IN ('filled', 'external_fill')) = (fill_id IS NOT NULL)),
    CONSTRAINT event_intended_has_id CHECK (kind <> 'order_intended' OR client_order_id IS NOT NULL)
);
COMMENT ON TABLE live.event IS 'append-only facts; positions, orders and limits are folds of it in id order';

-- A client order id is intended once: a second one is a bug that must not reach the venue.
CREATE UNIQUE INDEX event_order_intended_once ON live.event (scope, client_order_id) WHERE kind = 'order_intended';
-- A fill counts once, however often the venue reports it.
CREATE UNIQUE INDEX event_filled_once ON live.event (scope, fill_id) WHERE fill_id IS NOT NULL;
CREATE INDEX event_fold ON live.event (scope, id);
CREATE INDEX event_by_kind ON live.event (scope, kind, id);
CREATE INDEX event_by_symbol ON live.event (scope, symbol, id) WHERE symbol IS NOT NULL;

CREATE FUNCTION live.commit_durably() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Write, then act: a role or database default of "off" would let a crash forget an order that was sent.
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER event_durable BEFORE INSERT ON live.event
    FOR EACH STATEMENT EXECUTE FUNCTION live.commit_durably();
SELECT prodsafe.fence('live.event');  -- refuses an older epoch, DELETE and TRUNCATE
-- Row by row, since a repeated fill passes through ON CONFLICT without changing its row.
CREATE TRIGGER event_append_only BEFORE UPDATE ON live.event
    FOR EACH ROW EXECUTE FUNCTION live.refuse_change();

CREATE FUNCTION live.check_repeated_fill(known live.event, offered live.event) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    a jsonb := known.payload -> 'fill';
    b jsonb := offered.payload -> 'fill';
BEGIN
    -- What makes the position must agree; fee and time may be known better by one of the venue's reports than by another.
    IF known.payload - '{at,fill}'::text[] = offered.payload - '{at,fill}'::text[]
        AND a ->> 'symbol' = b ->> 'symbol' AND a ->> 'side' = b ->> 'side'
        AND a ->> 'venue_order_id' = b ->> 'venue_order_id'
        AND (a ->> 'qty')::numeric = (b ->> 'qty')::numeric AND (a ->> 'price')::numeric = (b ->> 'price')::numeric
    THEN
        RETURN false;
    END IF;
    RAISE EXCEPTION 'fill % was recorded before with other content', known.fill_id
        USING ERRCODE = 'unique_violation', CONSTRAINT = 'event_filled_once';
END
$$;
COMMENT ON FUNCTION live.check_repeated_fill IS 'false: the same fill again, nothing to do; raises when one id carries two fills';

-- --- the halt latch -------------------------------------------------------------------------------------------------

CREATE TABLE live.halt_event (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope  text NOT NULL,
    halted boolean NOT NULL,
    reason text NOT NULL CHECK (btrim(reason) <> ''),
    who    text NOT NULL CHECK (btrim(who) <> ''),
    at     timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE live.halt_event IS 'the last row of a scope is its latch; not fenced, since a person without the lease writes it';
CREATE INDEX halt_event_last ON live.halt_event (scope, id);
CREATE TRIGGER halt_event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON live.halt_event
    FOR EACH STATEMENT EXECUTE FUNCTION live.refuse_change();
CREATE TRIGGER halt_event_durable BEFORE INSERT ON live.halt_event
    FOR EACH STATEMENT EXECUTE FUNCTION live.commit_durably();

-- --- what the worker says about itself, and the candles it has seen -------------------------------------------------

CREATE TABLE live.worker_status (
    scope      text PRIMARY KEY,
    epoch      bigint NOT NULL,
    holder     uuid NOT NULL,
    payload    jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);
SELECT prodsafe.fence('live.worker_status');

CREATE TABLE live.candle (
    symbol            text NOT NULL,
    timeframe_seconds integer NOT NULL CHECK (timeframe_seconds > 0),
    opened_at         timestamptz NOT NULL,
    open              numeric NOT NULL,
    high              numeric NOT NULL,
    low               numeric NOT NULL,
    close             numeric NOT NULL,
    volume            numeric NOT NULL,
    PRIMARY KEY (symbol, timeframe_seconds, opened_at)
);
COMMENT ON TABLE live.candle IS 'closed candles; the first reading of a bar stays, no row is ever rewritten';
CREATE TRIGGER candle_append_only BEFORE UPDATE ON live.candle
    FOR EACH ROW EXECUTE FUNCTION live.refuse_change();

-- --- people and dashboards read under a role that can do nothing else -----------------------------------------------

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'prodsafe_reader') THEN
        CREATE ROLE prodsafe_reader NOLOGIN;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;  -- roles belong to the whole server: another database made it
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'role prodsafe_reader not made: % may not create roles; readers stay read-only by session', current_user;
END
$$;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'prodsafe_reader') THEN
        GRANT USAGE ON SCHEMA live, prodsafe TO prodsafe_reader;
        GRANT SELECT ON ALL TABLES IN SCHEMA live TO prodsafe_reader;
        GRANT SELECT ON ALL TABLES IN SCHEMA prodsafe TO prodsafe_reader;
    END IF;
END
$$;
