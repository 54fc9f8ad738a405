-- Locks: only on objects that this file makes; milliseconds. A worker beside it notices nothing.
-- What the strategy remembers of each symbol, so that a restart goes on as if it had never stopped. text, not jsonb: its
-- checksum is over its letters.

CREATE TABLE live.engine_snapshot (
    scope             text NOT NULL,
    symbol            text NOT NULL,
    timeframe_seconds integer NOT NULL CHECK (timeframe_seconds > 0),
    epoch             bigint NOT NULL,
    holder            uuid NOT NULL,
    payload           text NOT NULL,
    updated_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (scope, symbol, timeframe_seconds)
) WITH (fillfactor = 50);
COMMENT ON TABLE live.engine_snapshot IS 'the strategy''s memory; one that is missing or refused costs a warm-up, nothing else';
SELECT prodsafe.fence('live.engine_snapshot');

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'prodsafe_reader') THEN
        GRANT SELECT ON live.engine_snapshot TO prodsafe_reader;
    END IF;
END
$$;
