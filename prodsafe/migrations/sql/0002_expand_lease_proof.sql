-- lock: ACCESS EXCLUSIVE on prodsafe.lease for milliseconds (a new column with a constant default, a trigger); no rewrite
-- Epochs that no other lineage of this database hands out, a lease that only the holder of its lock can take, the parts
-- of the grace, and a fence that partitions cannot be emptied around. An older worker goes on beside it.
-- prodsafe: allow create-trigger because writers of prodsafe.lease are takeovers, and its function bears an older worker
-- prodsafe: allow revoke because our files gave PUBLIC no table; the function that an older worker calls is granted below
-- prodsafe: allow opaque-do-block because it grants EXECUTE on two functions to the roles that may write the lease

ALTER TABLE prodsafe.lease ADD COLUMN grace_parts jsonb NOT NULL DEFAULT '{}';
COMMENT ON COLUMN prodsafe.lease.grace_parts IS
    'seconds by name, summing up to grace_seconds, e.g. {"lease": 2, "request_expiry": 2}; {} where the holder gave none';

CREATE FUNCTION prodsafe.epoch_at(moment timestamptz) RETURNS bigint
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT greatest(1, floor(extract(epoch FROM moment - '2026-01-01 00:00:00+00'::timestamptz) * 1000)::bigint)
$$;
COMMENT ON FUNCTION prodsafe.epoch_at IS
    'The least epoch of a lineage that begins at this moment: milliseconds since 2026-01-01 UTC.';

-- Where a takeover costs a millisecond at least, no epoch is ahead of the clock, so a new lineage that starts at the
-- clock starts above all that any other ever handed out; and an isolated old primary, which goes on one by one, needs
-- as many takeovers as there were milliseconds before it reaches what the promoted one began with.
CREATE OR REPLACE FUNCTION prodsafe.next_epoch(previous bigint, timeline integer, moved boolean DEFAULT false)
RETURNS bigint LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN moved OR previous = 0 THEN greatest(previous + 1, prodsafe.epoch_at(now())) ELSE previous + 1 END
$$;
COMMENT ON FUNCTION prodsafe.next_epoch IS
    'The epoch after "previous"; 0: there is none. moved: the row was last written on another cluster or timeline. now()'
    ' is the transaction''s, so all calls of one takeover agree. The timeline is in the signature for older workers.';

-- SECURITY DEFINER: the role of a worker needs no right on the functions called here.
CREATE OR REPLACE FUNCTION prodsafe.guard_lease() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    first boolean := TG_OP = 'INSERT';
    same_token boolean := NOT first AND NEW.epoch = OLD.epoch AND NEW.holder = OLD.holder;
    moved boolean := NOT first AND (NEW.system_id <> OLD.system_id OR NEW.timeline <> OLD.timeline);
    following bigint := prodsafe.next_epoch(CASE WHEN first THEN 0 ELSE OLD.epoch END, NEW.timeline, moved);
    wrong text;
BEGIN
    IF first AND NEW.state <> 'arming' THEN
        wrong := 'the first state is arming';
    ELSIF NOT first AND (NEW.scope <> OLD.scope OR NEW.key <> OLD.key) THEN
        wrong := 'scope and key never change';
    ELSIF NOT first AND NEW.epoch < OLD.epoch THEN
        wrong := 'the epoch never decreases';
    ELSIF NOT first AND NOT same_token AND (NEW.holder = OLD.holder OR NEW.epoch NOT IN (OLD.epoch + 1, following)) THEN
        wrong := 'a new holder comes with exactly the next epoch, a new epoch with a new holder';
    ELSIF same_token AND moved THEN
        wrong := 'timeline and system_id change with the epoch only';
    ELSIF same_token AND NEW.state <> OLD.state
            AND (OLD.state, NEW.state) NOT IN (('arming', 'active'), ('arming', 'released'), ('active', 'released')) THEN
        wrong := format('%s never becomes %s under the same epoch', OLD.state, NEW.state);
    ELSIF NOT first AND NOT same_token AND NEW.state NOT IN ('arming', 'fenced') THEN
        wrong := 'a new epoch begins as arming or fenced';
    ELSIF ((NOT same_token AND NEW.state = 'arming') OR (same_token AND NEW.state = 'released' AND OLD.state <> 'released'))
            AND NOT EXISTS (
                SELECT FROM pg_locks
                 WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted AND mode = 'ExclusiveLock'
                   AND objsubid = 1 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                   AND ((classid::bigint << 32) | objid::bigint) = NEW.key) THEN
        wrong := format('only the session that holds its advisory lock makes it %s', NEW.state);
    END IF;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'PF003',
            MESSAGE = format('lease of scope %s: %s', NEW.scope, wrong),
            HINT = 'Take the lease with prodsafe, or cut it off with: prodsafe lock release --scope S --force --reason R';
    END IF;
    IF NOT same_token THEN
        NEW.epoch := following;  -- an older worker asks for the next number without saying that the timeline is another
        -- and it gives no parts: those of its predecessor stay only where they make up its own grace
        IF (SELECT abs(coalesce(sum(value::float8), 0) - NEW.grace_seconds) > 0.001
              FROM jsonb_each_text(NEW.grace_parts)) THEN
            NEW.grace_parts := '{}';
        END IF;
    END IF;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER lease_guard BEFORE INSERT OR UPDATE ON prodsafe.lease
    FOR EACH ROW EXECUTE FUNCTION prodsafe.guard_lease();

CREATE OR REPLACE FUNCTION prodsafe.fence(target regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    kind "char" := (SELECT relkind FROM pg_class WHERE oid = target);
    missing text;
    part regclass;
BEGIN
    IF kind NOT IN ('r', 'p') THEN
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
    IF kind = 'p' THEN  -- statements aimed at a partition fire no statement trigger of the parent
        EXECUTE format('CREATE OR REPLACE TRIGGER prodsafe_fence_row BEFORE DELETE ON %s'
                       ' FOR EACH ROW EXECUTE FUNCTION prodsafe.refuse_removal()', target);
        FOR part IN SELECT tree.relid FROM pg_partition_tree(target) AS tree JOIN pg_class ON pg_class.oid = tree.relid
                     WHERE tree.relid <> target AND relkind IN ('r', 'p') LOOP
            EXECUTE format('CREATE OR REPLACE TRIGGER prodsafe_fence_keep BEFORE DELETE OR TRUNCATE ON %s'
                           ' FOR EACH STATEMENT EXECUTE FUNCTION prodsafe.refuse_removal()', part);
        END LOOP;
    END IF;
END
$$;
COMMENT ON FUNCTION prodsafe.fence IS
    'Makes a table refuse rows of a stale (scope, epoch, holder), DELETE and TRUNCATE. Of a partitioned table: all its'
    ' partitions too. A partition that is made or attached later refuses stale rows and DELETE by itself, but TRUNCATE'
    ' only after prodsafe.fence(parent) was called again; and no row moves to another partition. DROP and DETACH are the'
    ' owner''s to do. Calling it twice does no harm.';

-- Default privileges may have given more than was meant. A trigger needs no right to fire, so nothing stops working, but
-- an older worker calls next_epoch itself: the roles that may write the lease keep it.
REVOKE ALL ON prodsafe.lease, prodsafe.lease_beat, prodsafe.lease_history FROM PUBLIC;
REVOKE ALL ON FUNCTION prodsafe.epoch_at(timestamptz), prodsafe.next_epoch(bigint, integer, boolean),
    prodsafe.refuse_removal(), prodsafe.guard_lease(), prodsafe.record_lease(), prodsafe.check_fence(),
    prodsafe.fence(regclass) FROM PUBLIC;
DO $$
DECLARE
    writer text;
BEGIN
    FOR writer IN SELECT DISTINCT grantee::regrole::text
                    FROM pg_class, aclexplode(relacl)
                   WHERE pg_class.oid = 'prodsafe.lease'::regclass AND privilege_type = 'UPDATE' AND grantee <> 0 LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION prodsafe.next_epoch(bigint, integer, boolean),'
                       ' prodsafe.epoch_at(timestamptz) TO %s', writer);
    END LOOP;
END
$$;
