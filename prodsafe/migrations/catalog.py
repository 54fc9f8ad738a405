"""What the catalog says of the schemas that migrations own: as rows to compare, or as one fingerprint. [E]

No oids, no sizes, nothing that a dump and restore, VACUUM or ANALYZE changes. Not looked at: other schemas, what
extensions own, partitions (programs make them as they run), the runner's own ledger, storage parameters, comments,
owners, and the privileges of roles that the files never name (a new reader is no drift).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prodsafe.postgres import Connection

_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
# what no ASCII is, said as that: a range up to U+10FFFF that ignores case takes milliseconds to compile
_NAME = r'(?:"(?:[^"]|"")+"|(?:[a-z_]|[^\x00-\x7f])[\w$]*)'
_MAKES_SCHEMA = re.compile(rf"\bcreate\s+schema\s+(?:if\s+not\s+exists\s+)?({_NAME})", re.IGNORECASE)
_MAKES_TABLE = re.compile(
    rf"\bcreate\s+(?:unlogged\s+)?table\s+(?:if\s+not\s+exists\s+)?({_NAME})\s*(\.)?", re.IGNORECASE
)
_GRANTS = re.compile(rf"\bgrant\s[^;]*?\sto\s+((?:group\s+)?{_NAME}(?:\s*,\s*{_NAME})*)", re.IGNORECASE)
_NO_ROLES = {"public", "current_user", "current_role", "session_user"}


@dataclass(frozen=True, slots=True)
class Owned:
    """The schemas that files make, and the roles that they grant to; both sorted. PUBLIC always counts."""

    schemas: tuple[str, ...]
    roles: tuple[str, ...] = ()

    def __or__(self, other: Owned) -> Owned:
        return Owned(_sorted(self.schemas + other.schemas), _sorted(self.roles + other.roles))


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One object of a catalog, names quoted as SQL wants them. state: '' is the healthy one.

    parent: the table it belongs to, or ''; for a privilege the object with its kind, e.g. TABLE live.event.
    """

    kind: str
    parent: str
    name: str
    definition: str
    state: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        return self.kind, self.parent, self.name


def owned_by(texts: Iterable[str]) -> Owned:
    """What SQL files claim: each schema that a CREATE SCHEMA or CREATE TABLE names, `public` for a bare table name.

    A set whose tables stand in public owns all of public: a program does better with a schema of its own.
    """
    schemas: list[str] = []
    roles: list[str] = []
    for text in texts:
        code = _COMMENT.sub(" ", text)
        schemas += [_folded(name) for name in _MAKES_SCHEMA.findall(code)]
        schemas += [_folded(name) if dot else "public" for name, dot in _MAKES_TABLE.findall(code)]
        for grantees in _GRANTS.findall(code):
            roles += [_folded(name) for name in re.findall(_NAME, grantees, re.IGNORECASE)]
    return Owned(_sorted(schemas), _sorted(role for role in roles if role not in {*_NO_ROLES, "group"}))


def read_catalog(conn: Connection, owned: Owned) -> list[Entry]:
    """Every object of the owned schemas, in order."""
    with conn.transaction(force_rollback=True):
        conn.execute(_SAME_WORDS)
        rows = conn.execute(_ENTRIES, _parameters(owned)).fetchall()
    return sorted(Entry(*row) for row in rows)


def fingerprint(conn: Connection, owned: Owned) -> str:
    """The same as one SHA-256 in hex, equal for equal catalogs of one PostgreSQL major version; a few milliseconds.

    Invalid indexes are left out: while one is being built they come and go, and the boot looks for them by itself.
    """
    return fingerprints(conn, {"": owned})[""]


def fingerprints(conn: Connection, owned: Mapping[str, Owned]) -> dict[str, str]:
    """fingerprint() of each set, by its name; in one question, since half of its price is the planning."""
    wanted = [{"name": name, "schemas": each.schemas, "roles": each.roles} for name, each in owned.items()]
    with conn.transaction(force_rollback=True):
        conn.execute(_SAME_WORDS)
        return dict(conn.execute(_FINGERPRINTS, {"wanted": json.dumps(wanted)}).fetchall())


def _parameters(owned: Owned) -> dict[str, list[str]]:
    return {"schemas": list(owned.schemas), "roles": list(owned.roles)}


def _folded(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


# The server words a definition by these settings, so they are the same for everybody. Rolled back: the caller's stay.
_SAME_WORDS = b"""
SET LOCAL search_path = ''; SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO, YMD';
SET LOCAL IntervalStyle = 'postgres'; SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = 'hex';
SET LOCAL quote_all_identifiers = off; SET LOCAL standard_conforming_strings = on; SET LOCAL jit = off
"""

# (kind, parent, name, definition, state). PostgreSQL words an IN list over varchar in one way when it is made and in
# another after a dump and restore: the casts that differ say nothing and are dropped.
_ENTRIES = r"""
WITH space AS MATERIALIZED (
    SELECT oid, nspname AS space, quote_ident(nspname) || '.' AS prefix, nspacl, nspowner
    FROM pg_namespace WHERE nspname = ANY (%(schemas)s)
), extended AS MATERIALIZED (
    SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
), relation AS MATERIALIZED (
    SELECT c.*, s.prefix || quote_ident(c.relname) AS name
    FROM pg_class AS c JOIN space AS s ON s.oid = c.relnamespace
    WHERE NOT c.relispartition AND c.relkind IN ('r', 'p', 'f', 'v', 'm', 'c', 'S')
      AND c.oid NOT IN (SELECT objid FROM extended WHERE classid = 'pg_class'::regclass)
      AND NOT (s.space = 'prodsafe' AND c.relname ~ '^(migration|catalog|backfill)(_|$)')
), functions AS MATERIALIZED (
    SELECT p.*, s.prefix || quote_ident(p.proname) || '(' || pg_get_function_identity_arguments(p.oid) || ')' AS name
    FROM pg_proc AS p JOIN space AS s ON s.oid = p.pronamespace
    WHERE p.oid NOT IN (SELECT objid FROM extended WHERE classid = 'pg_proc'::regclass)
), types AS MATERIALIZED (
    SELECT t.*, s.prefix || quote_ident(t.typname) AS name
    FROM pg_type AS t JOIN space AS s ON s.oid = t.typnamespace
    WHERE t.typtype IN ('e', 'd', 'r')
      AND t.oid NOT IN (SELECT objid FROM extended WHERE classid = 'pg_type'::regclass)
), granted AS (
    SELECT 'SCHEMA ' || quote_ident(space) AS object, nspowner AS owner,
           coalesce(nspacl, acldefault('n', nspowner)) AS acl FROM space
    UNION ALL
    SELECT CASE relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || name, relowner,
           coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner))
    FROM relation WHERE relkind <> 'c'
    UNION ALL
    SELECT 'TABLE ' || r.name || ' (' || quote_ident(a.attname) || ')', r.relowner, a.attacl
    FROM relation AS r JOIN pg_attribute AS a ON a.attrelid = r.oid WHERE a.attacl IS NOT NULL AND NOT a.attisdropped
    UNION ALL
    SELECT 'ROUTINE ' || name, proowner, coalesce(proacl, acldefault('f', proowner)) FROM functions
), entry (kind, parent, name, definition, state) AS (
    SELECT 'schema', '', quote_ident(space), '', '' FROM space
    UNION ALL
    SELECT CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'c' THEN 'type'
                        WHEN 'f' THEN 'foreign table' ELSE 'table' END,
           '', name,
           concat_ws(', ',
               CASE WHEN relkind = 'c' THEN 'composite' END,
               CASE relpersistence WHEN 'u' THEN 'UNLOGGED' END,
               CASE WHEN relkind = 'p' THEN 'PARTITION BY ' || pg_get_partkeydef(oid) END,
               (SELECT 'INHERITS ' || string_agg(inhparent::regclass::text, ', ' ORDER BY inhseqno)
                FROM pg_inherits WHERE inhrelid = relation.oid),
               CASE WHEN relkind IN ('v', 'm') THEN
                    concat_ws(' ', 'WITH ' || nullif(array_to_string(reloptions, ', '), ''),
                              'AS' || pg_get_viewdef(oid)) END),
           concat_ws(', ', CASE WHEN relrowsecurity THEN 'ROW SECURITY' END,
                           CASE WHEN relforcerowsecurity THEN 'FORCED' END)
    FROM relation WHERE relkind <> 'S'
    UNION ALL
    SELECT 'column', r.name, quote_ident(a.attname),
           concat_ws(' ', format_type(a.atttypid, a.atttypmod),
               (SELECT 'COLLATE ' || quote_ident(o.collname) FROM pg_collation AS o
                WHERE o.oid = a.attcollation
                  AND a.attcollation <> (SELECT typcollation FROM pg_type WHERE oid = a.atttypid)),
               CASE a.attgenerated WHEN 's' THEN 'GENERATED ALWAYS AS (' || d.expression || ') STORED'
                                   WHEN 'v' THEN 'GENERATED ALWAYS AS (' || d.expression || ')'
                    ELSE 'DEFAULT ' || d.expression END,
               CASE a.attidentity WHEN 'a' THEN 'GENERATED ALWAYS AS IDENTITY'
                                  WHEN 'd' THEN 'GENERATED BY DEFAULT AS IDENTITY' END,
               CASE WHEN a.attnotnull THEN 'NOT NULL' END),
           ''
    FROM relation AS r
    JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN LATERAL (SELECT pg_get_expr(adbin, adrelid) AS expression FROM pg_attrdef
                       WHERE adrelid = a.attrelid AND adnum = a.attnum) AS d ON true
    WHERE r.relkind IN ('r', 'p', 'f', 'c')
    UNION ALL
    SELECT 'sequence', '', r.name,
           format_type(q.seqtypid, NULL) || ' START ' || q.seqstart || ' INCREMENT ' || q.seqincrement
           || ' MINVALUE ' || q.seqmin || ' MAXVALUE ' || q.seqmax || ' CACHE ' || q.seqcache
           || CASE WHEN q.seqcycle THEN ' CYCLE' ELSE '' END
           || coalesce((SELECT ' OWNED BY ' || refobjid::regclass || '.' || quote_ident(a.attname)
                        FROM pg_depend JOIN pg_attribute AS a ON a.attrelid = refobjid AND a.attnum = refobjsubid
                        WHERE classid = 'pg_class'::regclass AND objid = r.oid AND deptype IN ('a', 'i')
                          AND refclassid = 'pg_class'::regclass), ''),
           ''
    FROM relation AS r JOIN pg_sequence AS q ON q.seqrelid = r.oid
    UNION ALL
    SELECT 'index', r.name, s.prefix || quote_ident(i.relname), pg_get_indexdef(i.oid),
           CASE WHEN x.indisvalid AND x.indisready THEN '' ELSE 'INVALID' END
    FROM relation AS r
    JOIN pg_index AS x ON x.indrelid = r.oid JOIN pg_class AS i ON i.oid = x.indexrelid
    JOIN space AS s ON s.oid = i.relnamespace
    UNION ALL
    SELECT 'constraint', coalesce(r.name, 'DOMAIN ' || t.name), quote_ident(o.conname),
           pg_get_constraintdef(o.oid),
           CASE WHEN o.convalidated THEN '' ELSE 'NOT VALID' END
    FROM pg_constraint AS o LEFT JOIN relation AS r ON r.oid = o.conrelid LEFT JOIN types AS t ON t.oid = o.contypid
    WHERE (r.oid IS NOT NULL OR t.oid IS NOT NULL)
      AND (o.contype IN ('p', 'u', 'f', 'c', 'x') OR (o.contype = 'n' AND NOT o.convalidated))
    UNION ALL
    SELECT 'trigger', r.name, quote_ident(t.tgname), pg_get_triggerdef(t.oid),
           CASE t.tgenabled WHEN 'D' THEN 'DISABLED' WHEN 'R' THEN 'REPLICA' WHEN 'A' THEN 'ALWAYS' ELSE '' END
    FROM relation AS r JOIN pg_trigger AS t ON t.tgrelid = r.oid WHERE NOT t.tgisinternal
    UNION ALL
    SELECT DISTINCT 'enforcement', r.name, quote_ident(o.conname), '', 'DISABLED'
    FROM relation AS r JOIN pg_trigger AS t ON t.tgrelid = r.oid JOIN pg_constraint AS o ON o.oid = t.tgconstraint
    WHERE t.tgisinternal AND t.tgenabled <> 'O'
    UNION ALL
    SELECT 'rule', r.name, quote_ident(w.rulename), pg_get_ruledef(w.oid),
           CASE w.ev_enabled WHEN 'D' THEN 'DISABLED' WHEN 'R' THEN 'REPLICA' WHEN 'A' THEN 'ALWAYS' ELSE '' END
    FROM relation AS r JOIN pg_rewrite AS w ON w.ev_class = r.oid WHERE w.rulename <> '_RETURN'
    UNION ALL
    SELECT 'policy', r.name, quote_ident(p.polname),
           concat_ws(' ', CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
               'FOR ' || CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
                                       WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
               'TO ' || (SELECT string_agg(role, ', ' ORDER BY role) FROM unnest(p.polroles) AS member,
                         LATERAL (SELECT CASE member WHEN 0 THEN 'public'
                                         ELSE quote_ident(pg_get_userbyid(member)) END AS role) AS named),
               'USING (' || pg_get_expr(p.polqual, p.polrelid) || ')',
               'WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')'),
           ''
    FROM relation AS r JOIN pg_policy AS p ON p.polrelid = r.oid
    UNION ALL
    SELECT 'function', '', name,
           CASE WHEN prokind = 'a' THEN 'aggregate ' || format_type(prorettype, NULL) ELSE pg_get_functiondef(oid) END,
           ''
    FROM functions
    UNION ALL
    SELECT 'type', '', name,
           CASE typtype
               WHEN 'e' THEN 'ENUM (' || (SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder)
                                          FROM pg_enum WHERE enumtypid = types.oid) || ')'
               WHEN 'r' THEN 'RANGE OF ' || (SELECT format_type(rngsubtype, NULL) FROM pg_range
                                             WHERE rngtypid = types.oid)
               ELSE concat_ws(' ', 'DOMAIN ' || format_type(typbasetype, typtypmod), 'DEFAULT ' || typdefault,
                              CASE WHEN typnotnull THEN 'NOT NULL' END) END,
           ''
    FROM types
    UNION ALL
    SELECT 'privilege', object, coalesce(quote_ident(r.rolname), 'public'),
           string_agg(a.privilege_type || CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END,
                      ', ' ORDER BY a.privilege_type COLLATE "C"),
           ''
    FROM granted CROSS JOIN LATERAL aclexplode(acl) AS a LEFT JOIN pg_roles AS r ON r.oid = a.grantee
    WHERE a.grantee <> owner AND (a.grantee = 0 OR r.rolname = ANY (%(roles)s))
    GROUP BY object, coalesce(quote_ident(r.rolname), 'public')
)
SELECT kind, parent, name,
       CASE WHEN definition LIKE '%%::character varying%%' AND kind <> 'function' THEN
            regexp_replace(regexp_replace(definition, $$\(('(?:[^']|'')*'::character varying)\)::text$$, '\1', 'g'),
                           $$\((ARRAY\[[^]]*\])\)::text\[\]$$, '\1', 'g')
            ELSE definition END,
       state
FROM entry
"""
_OF_ONE_SET = _ENTRIES.replace("%(schemas)s", "wanted.schemas").replace("%(roles)s", "wanted.roles")
_FINGERPRINTS = f"""
SELECT wanted.name,
    (SELECT encode(sha256(convert_to(coalesce(string_agg(line, E'\\n' ORDER BY line COLLATE "C"), ''), 'UTF8')), 'hex')
     FROM (SELECT concat_ws(E'\\t', kind, parent, name, definition, state) AS line
           FROM ({_OF_ONE_SET}) AS known (kind, parent, name, definition, state)
           WHERE NOT (kind = 'index' AND state <> '')) AS lines)
FROM jsonb_to_recordset(%(wanted)s::jsonb) AS wanted (name text, schemas text[], roles text[])
"""  # noqa: S608 - composed of constants only
