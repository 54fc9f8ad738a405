-- Locks: ACCESS EXCLUSIVE on live.halt_event for milliseconds (a column without default, no rewrite); else only new objects.
-- What people ask of the worker (close positions, forget that, thaw a symbol), and what each halt was for.

ALTER TABLE live.halt_event ADD COLUMN cause text;
COMMENT ON COLUMN live.halt_event.cause IS 'live.status.HaltCause; empty in rows of before it existed';

CREATE TABLE live.person_request (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope  text NOT NULL,
    action text NOT NULL CHECK (action IN ('flatten', 'withdraw', 'thaw')),
    symbol text CHECK (btrim(symbol) <> ''),
    reason text NOT NULL CHECK (btrim(reason) <> ''),
    who    text NOT NULL CHECK (btrim(who) <> ''),
    at     timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE live.person_request IS
    'the worker takes each row once, in id order, and says so in live.event; not fenced, since a person writes it without the lease';
COMMENT ON COLUMN live.person_request.symbol IS 'NULL: every symbol';
CREATE INDEX person_request_next ON live.person_request (scope, id);
CREATE TRIGGER person_request_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON live.person_request
    FOR EACH STATEMENT EXECUTE FUNCTION live.refuse_change();
CREATE TRIGGER person_request_durable BEFORE INSERT ON live.person_request
    FOR EACH STATEMENT EXECUTE FUNCTION live.commit_durably();

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'prodsafe_reader') THEN
        GRANT SELECT ON live.person_request TO prodsafe_reader;
    END IF;
END
$$;
