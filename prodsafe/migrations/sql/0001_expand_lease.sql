-- lock: none on a table in use (new objects only), for milliseconds
-- The lease: who may act for a scope, since which epoch; and the fence that refuses writes of an older epoch.
CREATE SCHEMA IF NOT EXISTS prodsafe;

CREATE TABLE prodsafe.lease (
    scope         text PRIMARY KEY CHECK (scope <> ''),
    key           bigint NOT NULL UNIQUE,             -- the advisory lock; unique, so a colliding scope cannot start
    epoch         bigint NOT NULL CHECK (epoch > 0),
    holder        uuid NOT NULL,
    timeline      integer NOT NULL,                   -- of the write-ahead log; grows when a standby is promoted
    system_id     bigint NOT NULL,                    -- of the database cluster; changes when a backup is restored elsewhere
    state         text NOT NULL CHECK (state IN ('arming', 'active', 'released', 'fenced')),
    acquired_at   timestamptz NOT NULL,
    grace_seconds double precision NOT NULL CHECK (grace_seconds >= 0),   -- a successor waits at least this long
    schema_range  jsonb NOT NULL DEFAULT '{}',        -- {"migration set": [oldest, newest]} the holder can live with
    host          text NOT NULL,
    pid           integer NOT NULL,
    version       text NOT NULL,
    who           text NOT NULL,
    reason        text NOT NULL DEFAULT ''
);

-- Apart from lease, because a beat updates and FOR SHARE on lease would make it wait for every fenced write.
CREATE TABLE prodsafe.lease_beat (
    scope      text PRIMARY KEY,
    epoch      bigint NOT NULL,
    holder     uuid NOT NULL,
    seq        bigint NOT NULL,
    renewed_at timestamptz NOT NULL
) WITH (fillfactor = 10);

CREATE TABLE prodsafe.lease_history (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    happened_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    scope         text NOT NULL,
    epoch         bigint NOT NULL,
    holder        uuid NOT NULL,
    timeline      integer NOT NULL,
    state         text NOT NULL,
    host          text NOT NULL,
    pid           integer NOT NULL,
    version       text NOT NULL,
    who           text NOT NULL,
    database_role text NOT NULL,
    reason        text NOT NULL
);
CREATE INDEX lease_history_by_scope ON prodsafe.lease_history (scope, id);

-- After a promotion or a move the epoch leaps, so that what an isolated old primary hands out is never handed out again.
CREATE FUNCTION prodsafe.next_epoch(previous bigint, timeline integer, moved boolean DEFAULT false) RETURNS bigint
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT greatest(
        previous + 1,
        (timeline - 1)::bigint * 1000000 + 1,
        CASE WHEN moved THEN (previous / 1000000 + 1) * 1000000 + 1 END
    )
$$;

CREATE FUNCTION prodsafe.refuse_removal() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'PF002',
        MESSAGE = format('fenced: %s refuses %s', TG_RELID::regclass, TG_OP),
        HINT = 'This table only grows: write a new row that corrects the old one.';
END
$$;

CREATE FUNCTION prodsafe.guard_lease() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    same_token boolean := NEW.epoch = OLD.epoch AND NEW.holder = OLD.holder;
    moved boolean := NEW.system_id <> OLD.system_id;
    wrong text;
BEGIN
    IF NEW.scope <> OLD.scope OR NEW.key <> OLD.key THEN
        wrong := 'scope and key never change';
    ELSIF NEW.epoch < OLD.epoch THEN
        wrong := 'the epoch never decreases';
    ELSIF NOT same_token AND (NEW.holder = OLD.holder
            OR NEW.epoch <> prodsafe.next_epoch(OLD.epoch, NEW.timeline, moved)) THEN
        wrong := 'a new holder comes with exactly the next epoch, a new epoch with a new holder';
    ELSIF same_token AND (moved OR NEW.timeline <> OLD.timeline) THEN
        wrong := 'timeline and system_id change with the epoch only';
    ELSIF same_token AND NEW.state <> OLD.state
            AND (OLD.state, NEW.state) NOT IN (('arming', 'active'), ('arming', 'released'), ('active', 'released')) THEN
        wrong := format('%s never becomes %s under the same epoch', OLD.state, NEW.state);
    END IF;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'PF003',
            MESSAGE = format('lease of scope %s: %s', OLD.scope, wrong),
            HINT = 'Take the lease with prodsafe, or cut it off with: prodsafe lock release --scope S --force --reason R';
    END IF;
    RETURN NEW;
END
$$;

-- The audit is written by the database, so that a change made by hand is in it too.
CREATE FUNCTION prodsafe.record_lease() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO prodsafe.lease_history
        (scope, epoch, holder, timeline, state, host, pid, version, who, database_role, reason)
    VALUES
        (NEW.scope, NEW.epoch, NEW.holder, NEW.timeline, NEW.state, NEW.host, NEW.pid, NEW.version, NEW.who,
         session_user, NEW.reason);
    RETURN NULL;
END
$$;

CREATE TRIGGER lease_guard BEFORE UPDATE ON prodsafe.lease
    FOR EACH ROW EXECUTE FUNCTION prodsafe.guard_lease();
CREATE TRIGGER lease_record AFTER INSERT OR UPDATE ON prodsafe.lease
    FOR EACH ROW EXECUTE FUNCTION prodsafe.record_lease();
CREATE TRIGGER lease_keep BEFORE DELETE OR TRUNCATE ON prodsafe.lease
    FOR EACH STATEMENT EXECUTE FUNCTION prodsafe.refuse_removal();
CREATE TRIGGER lease_history_keep BEFORE UPDATE OR DELETE OR TRUNCATE ON prodsafe.lease_history
    FOR EACH STATEMENT EXECUTE FUNCTION prodsafe.refuse_removal();

-- FOR SHARE waits for a takeover under way and then looks again; weaker locks and plain reads were measured to leak.
-- SECURITY DEFINER, so that a role which may only insert needs no right on the lease.
CREATE FUNCTION prodsafe.check_fence() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    held prodsafe.lease;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.scope IS DISTINCT FROM OLD.scope THEN
            RAISE EXCEPTION USING ERRCODE = 'PF001',
                MESSAGE = format('fenced: a row of scope %s in %s never moves to scope %s', OLD.scope, TG_RELID::regclass, NEW.scope);
        END IF;
    END IF;
    -- From here on this transaction holds up a takeover; frozen with its program, it would do so for ever.
    IF current_setting('idle_in_transaction_session_timeout') = '0' THEN
        PERFORM set_config('idle_in_transaction_session_timeout', '2000', true);
    END IF;
    PERFORM FROM prodsafe.lease
      WHERE scope = NEW.scope AND epoch = NEW.epoch AND holder = NEW.holder AND state IN ('arming', 'active')
        FOR SHARE;
    IF NOT FOUND THEN
        SELECT * INTO held FROM prodsafe.lease WHERE scope = NEW.scope;
        RAISE EXCEPTION USING ERRCODE = 'PF001',
            MESSAGE = format('fenced: epoch %s of holder %s may not write scope %s to %s',
                             coalesce(NEW.epoch::text, 'null'), coalesce(NEW.holder::text, 'null'),
                             coalesce(NEW.scope, 'null'), TG_RELID::regclass),
            DETAIL = CASE WHEN held.scope IS NULL THEN 'This scope has no lease.'
                     ELSE format('The lease is at epoch %s of holder %s, %s.', held.epoch, held.holder, held.state) END,
            HINT = 'The right to act has ended: stop sending, then stop.';
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION prodsafe.fence(target regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    missing text;
BEGIN
    IF (SELECT relkind FROM pg_class WHERE oid = target) NOT IN ('r', 'p') THEN
        RAISE EXCEPTION USING ERRCODE = 'PF004', MESSAGE = format('cannot fence %s: it is not a table', target);
    END IF;
    SELECT string_agg(format('%s %s', wanted.name, wanted.type), ', ') INTO missing
      FROM (VALUES ('scope', 'text'), ('epoch', 'bigint'), ('holder', 'uuid')) AS wanted (name, type)
     WHERE NOT EXISTS (SELECT FROM pg_attribute
                        WHERE attrelid = target AND attname = wanted.name AND NOT attisdropped
                          AND format_type(atttypid, NULL) = wanted.type);
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'PF004',
            MESSAGE = format('cannot fence %s: it has no column %s', target, missing),
            HINT = 'A fenced table carries the token of its writer: scope text, epoch bigint, holder uuid.';
    END IF;
    EXECUTE format('CREATE OR REPLACE TRIGGER prodsafe_fence BEFORE INSERT OR UPDATE ON %s'
                   ' FOR EACH ROW EXECUTE FUNCTION prodsafe.check_fence()', target);
    EXECUTE format('CREATE OR REPLACE TRIGGER prodsafe_fence_keep BEFORE DELETE OR TRUNCATE ON %s'
                   ' FOR EACH STATEMENT EXECUTE FUNCTION prodsafe.refuse_removal()', target);
END
$$;
