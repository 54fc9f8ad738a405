"""Rows written by a migration, TRUNCATE, LOCK TABLE, COPY: what touches whole tables. [P]"""

# ruff: noqa: S608 - the SQL of a mend is shown to a person and never run
from __future__ import annotations

from prodsafe.migrations.lexer import tokens
from prodsafe.migrations.lint.bounds import Rows, cte_bounds, few_written
from prodsafe.migrations.lint.nodes import find, only, option, shown, strings, table_of
from prodsafe.migrations.lint.parser import Node
from prodsafe.migrations.lint.scene import BLOCKS_WRITES, LOCK_NAMES, Hazards, Scene, in_batches, steps
from prodsafe.migrations.lint.sqltext import one_line, quoted

WRITES = ("InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt")
_VERBS = {
    "InsertStmt": "INSERT ... SELECT into",
    "UpdateStmt": "UPDATE of",
    "DeleteStmt": "DELETE from",
    "MergeStmt": "MERGE into",
}


def writes(scene: Scene, kind: str, node: Node) -> Hazards:
    """INSERT, UPDATE, DELETE, MERGE, also inside WITH of any statement."""
    base = Rows(scene.schema, table_of(node.get("relation", {})), variables=scene.in_body)
    for cte in node.get("withClause", {}).get("ctes", []):
        inner_kind, inner = only(cte.get("CommonTableExpr", {}).get("ctequery", {}))
        if inner_kind in WRITES or inner.get("withClause"):
            yield from writes(scene, inner_kind, inner)
    if kind not in WRITES or scene.is_new(node["relation"]):
        return
    outer = Rows(base.schema, base.table, cte_bounds(node, base), base.variables)
    if not few_written(outer, kind, node):
        table = shown(node["relation"])
        yield scene.hazard(
            "unbatched-dml",
            f"{_VERBS[kind]} {table} touches a number of rows that nothing bounds, in one transaction: every row it"
            " changes stays locked until the end, vacuum and CREATE INDEX CONCURRENTLY wait for it, replicas fall"
            " behind.",
            at=scene.offset(node["relation"].get("location")) if scene.at is None and kind != "InsertStmt" else None,
            mend=_batched(scene, kind, node),
        )


def _batched(scene: Scene, kind: str, node: Node) -> str:
    """The same statement, for one window of keys at a time."""
    relation = node["relation"]
    key = scene.key(relation)
    if kind not in ("UpdateStmt", "DeleteStmt") or kind != scene.statement.kind:
        return steps(
            (in_batches(shown(relation), key), f"-- the same, its rows bounded by WHERE {key} BETWEEN 1 AND 1000")
        )
    others = node.get("fromClause") or node.get("usingClause")
    alias = relation.get("alias", {}).get("aliasname", relation.get("relname", ""))
    window = f"{quoted(alias)}.{key}" if others else key
    before, where = _around_where(scene.statement.text)
    condition = f"{window} BETWEEN 1 AND 1000" + (f" AND ({where})" if where else "")
    return steps((in_batches(shown(relation), key), f"{before} WHERE {condition};"))


def _around_where(text: str) -> tuple[str, str]:
    """(what stands before WHERE, the condition) of an UPDATE or DELETE, without RETURNING."""
    depth, where, end = 0, -1, len(text)
    for token in tokens(text):
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth == 0 and token.word == "where":
            where = token.start
        elif depth == 0 and token.word == "returning":
            end = token.start
            break
    before, condition = (text[:where], text[where + len("where") : end]) if where >= 0 else (text[:end], "")
    return one_line(before, longest=10_000), one_line(condition, longest=10_000)


def select(scene: Scene, node: Node) -> Hazards:
    yield from writes(scene, "SelectStmt", node)


def explain(scene: Scene, node: Node) -> Hazards:
    """EXPLAIN ANALYZE runs what it explains."""
    kind, query = only(node.get("query", {}))
    if option(node.get("options"), "analyze") and query:
        yield from writes(scene, kind, query)


def truncate(scene: Scene, node: Node) -> Hazards:
    relations = [each["RangeVar"] for each in node.get("relations", []) if "RangeVar" in each]
    existing = [each for each in relations if not scene.is_new(each)]
    for relation in existing:
        key = scene.key(relation)
        yield scene.hazard(
            "truncate",
            f"TRUNCATE removes every row of {shown(relation)} at once under ACCESS EXCLUSIVE: readers and writers wait,"
            " and an older worker finds its data gone.",
            at=scene.offset(relation.get("location")) if scene.at is None else None,
            mend=steps(
                (in_batches(shown(relation), key), f"DELETE FROM {shown(relation)} WHERE {key} BETWEEN 1 AND 1000;")
            ),
        )
    if existing and node.get("behavior") == "DROP_CASCADE":
        names = ", ".join(shown(each) for each in existing)
        yield scene.hazard(
            "truncate-cascade",
            f"CASCADE also empties every table with a foreign key to {names}, and theirs: tables this file does not"
            f" name.",
            mend=f"TRUNCATE {names};",
        )


def lock_table(scene: Scene, node: Node) -> Hazards:
    level = node.get("mode", 8)
    for each in node.get("relations", []):
        relation = each.get("RangeVar", {})
        if level >= BLOCKS_WRITES and not scene.is_new(relation):
            yield scene.hazard(
                "explicit-lock",
                f"LOCK TABLE holds {LOCK_NAMES.get(level, 'a lock')} on {shown(relation)} until the transaction ends:"
                f" {'reads and writes' if level == 8 else 'writes'} wait behind it.",
                at=scene.offset(relation.get("location")) if scene.at is None else None,
                mend="-- remove it: each statement takes the lock it needs, for as short as it can",
            )


def slow_work(scene: Scene, kind: str, node: Node) -> str:
    """Why a statement may take long by the size of a table; "" where it does not."""
    match kind:
        case "SelectStmt":
            return _slow_select(scene, node)
        case "UpdateStmt" | "DeleteStmt" | "MergeStmt" | "InsertStmt":
            few = few_written(Rows(scene.schema, table_of(node["relation"]), variables=scene.in_body), kind, node)
            return "" if few or scene.is_new(node["relation"]) else f"{_VERBS[kind]} {shown(node['relation'])}"
        case "CopyStmt":
            return "COPY" if not node.get("is_program") and "filename" in node else ""
        case "CreateTableAsStmt":
            query = node.get("query", {}).get("SelectStmt", {})
            return "" if node.get("into", {}).get("skipData") else _slow_select(scene, query)
        case "IndexStmt":
            existing = not scene.is_new(node["relation"]) and node["relation"].get("inh")
            return f"CREATE INDEX on {shown(node['relation'])}" if existing and not node.get("concurrent") else ""
        case "RefreshMatViewStmt":
            return f"REFRESH of {shown(node['relation'])}" if not node.get("skipData") else ""
        case "CallStmt":
            return "CALL"
        case "VacuumStmt":
            return "ANALYZE" if not node.get("is_vacuumcmd") else ""
        case _:
            return ""


def _slow_select(scene: Scene, query: Node) -> str:
    if any(name[-1:] == ["pg_sleep"] for name in _called(query)):
        return "pg_sleep"
    tables = [each for _, each in find(query, "RangeVar") if _is_big(scene, each)]
    if not tables or Rows(scene.schema, table_of(tables[0]), variables=scene.in_body).few_rows(query):
        return ""
    return f"a SELECT over {shown(tables[0])}"


def _is_big(scene: Scene, relation: Node) -> bool:
    name = relation.get("relname", "")
    return not (scene.is_new(relation) or name.startswith("pg_") or relation.get("schemaname") == "information_schema")


def _called(query: Node) -> list[list[str]]:
    return [strings(call.get("funcname")) for _, call in find(query, "FuncCall")]
