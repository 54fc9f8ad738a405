"""What PostgreSQL does to a table's rows for a type or a default: nothing, a scan or a rewrite. [P]

The facts were measured on PostgreSQL 15 by relfilenode and pg_stat before and after.
"""

from __future__ import annotations

from collections.abc import Mapping

from prodsafe.migrations.lint.nodes import Name, Type, find, name_of, strings
from prodsafe.migrations.lint.parser import Node

SERIALS = {"serial": "int4", "bigserial": "int8", "smallserial": "int2"}
_BINARY_COERCIBLE = {
    ("varchar", "text"), ("text", "varchar"), ("cidr", "inet"), ("xml", "text"), ("bit", "varbit"),
    *((one, other) for one in ("int4", "oid", "regclass") for other in ("int4", "oid", "regclass")),
}  # fmt: skip
_SORTED_ANEW = {
    ("citext", "text"),
    ("citext", "varchar"),
    ("text", "citext"),
    ("varchar", "citext"),
}  # indexes are rebuilt
_GROWING = ("varchar", "varbit", "time", "timetz", "timestamp", "timestamptz", "interval")
# digits of a second where the type names none
_FINEST = {
    "time": 6,
    "timetz": 6,
    "timestamp": 6,
    "timestamptz": 6,
    "interval": 6,
}  # digits of a second where the type names none
_STABLE = """
    now transaction_timestamp statement_timestamp current_database current_schema current_setting current_user
    session_user user pg_backend_pid txid_current pg_current_xact_id inet_client_addr version to_char to_date
    to_timestamp to_json to_jsonb row_to_json json_build_object jsonb_build_object json_build_array
    jsonb_build_array concat concat_ws format date_part date_trunc timezone age make_timestamptz extract
    to_regclass quote_literal quote_nullable array_to_string to_tsvector to_tsquery plainto_tsquery
"""  # one value for the whole statement: stored once, in the catalog
_IMMUTABLE = """
    lower upper initcap length char_length octet_length bit_length md5 sha224 sha256 sha384 sha512 encode
    decode repeat replace reverse left right lpad rpad ltrim rtrim btrim trim substr substring split_part
    strpos position overlay translate ascii chr quote_ident to_hex abs ceil ceiling floor round trunc sign sqrt
    cbrt power exp ln log mod div pi degrees radians greatest least width_bucket make_date make_time
    make_timestamp make_interval justify_days justify_hours justify_interval array_fill array_append
    array_prepend array_cat array_length array_remove array_position cardinality string_to_array unnest
    jsonb_set json_object jsonb_object jsonb_strip_nulls int4range int8range numrange tsrange tstzrange
    daterange point box circle line lseg path polygon text varchar int2 int4 int8 float4 float8 numeric bool
    date interval timestamptz host network masklen uuid_nil uuid_ns_dns uuid_ns_url regexp_replace regexp_match
    regexp_matches starts_with bit_count hashtext array json_object_agg coalesce nullif ltree hstore
    st_makepoint st_setsrid st_geomfromtext like_escape similar_escape similar_to_escape xmlelement xmlforest
"""
_SAFE_FUNCTIONS = frozenset((_STABLE + _IMMUTABLE).split())
_NO_ARGUMENTS = frozenset(["now", "transaction_timestamp", "statement_timestamp"])


def keeps_rows(old: Type, new: Type, *, utc: bool = False, indexed: bool = False) -> bool:
    """Whether ALTER COLUMN TYPE leaves the rows as they are.

    utc: the session's TimeZone is UTC; indexed: an index uses the column.
    """
    if old == new:
        return True
    if old.schema or new.schema:
        return False
    if old.array or new.array:
        return old.array and new.array and old.name == new.name and not new.mods  # a limit is put to each element
    if old.name == new.name == "numeric":
        return not new.mods or (len(old.mods) > 0 and _grows(old.mods[0], new.mods[0]) and _scale(old) == _scale(new))
    if {old.name, new.name} == {"timestamp", "timestamptz"}:
        return utc and _grows_by_mods(old, new)
    if old.name == new.name:
        return old.name in _GROWING and _grows_by_mods(old, new)
    pair = (old.name, new.name)
    return not new.mods and (pair in _BINARY_COERCIBLE or (pair in _SORTED_ANEW and not indexed))


def _grows_by_mods(old: Type, new: Type) -> bool:
    before, after = (_FINEST.get(each.name) if not each.mods else each.mods[-1] for each in (old, new))
    return after is None or (before is not None and _grows(before, after))


def _grows(old: int, new: int) -> bool:
    return new >= old


def _scale(numeric: Type) -> int:
    return numeric.mods[1] if len(numeric.mods) > 1 else 0


def unsafe_functions(expression: Node, volatility: Mapping[Name, str]) -> list[str]:
    """The functions of a default that PostgreSQL must call once a row, or that nobody here knows.

    volatility: of the functions that earlier statements made, by name: volatile, stable or immutable.
    """
    found = []
    for _, call in find(expression, "FuncCall"):
        parts = strings(call.get("funcname"))
        known = volatility.get(name_of(parts))
        if known is not None:
            safe = known != "volatile"
        else:
            builtin = len(parts) == 1 or parts[0] in ("pg_catalog", "public", "extensions")
            safe = builtin and parts[-1] in _SAFE_FUNCTIONS
            safe = safe and not (parts[-1] in _NO_ARGUMENTS and call.get("args"))
        if not safe:
            found.append(".".join(parts))
    return found
