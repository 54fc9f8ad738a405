"""Indexes and materialized views: built, dropped, rebuilt, refreshed. [P]"""

from __future__ import annotations

from prodsafe.migrations.lexer import tokens
from prodsafe.migrations.lint.nodes import dropped_name, name_of, only, option, shown, table_of
from prodsafe.migrations.lint.parser import Node
from prodsafe.migrations.lint.scene import NEXT, NOW, Hazards, Scene, steps
from prodsafe.migrations.lint.schema import UNKNOWN, Table
from prodsafe.migrations.lint.sqltext import one_line, quoted
from prodsafe.migrations.lint.wording import fitted


def create_index(scene: Scene, node: Node) -> Hazards:
    relation = node.get("relation", {})
    table = scene.schema.tables.get(table_of(relation))
    partitioned = table is not None and table.partitioned
    if node.get("concurrent"):
        if partitioned:
            yield scene.hazard(
                "concurrent-on-partitioned",
                f"{shown(relation)} is partitioned: PostgreSQL refuses CREATE INDEX CONCURRENTLY on it.",
                mend=_on_partitioned(scene, node),
            )
    elif not scene.is_new(relation) and (relation.get("inh") or _is_plain(table)):
        yield scene.hazard(
            "index-not-concurrent",
            f"CREATE INDEX holds SHARE on {shown(relation)} while it reads the whole table: every INSERT, UPDATE and"
            " DELETE waits until the index is built.",
            mend=_on_partitioned(scene, node) if partitioned else f"{_concurrently(scene, node)};",
        )


def _is_plain(table: Table | None) -> bool:
    """Whether it is known to have no partitions, so that ON ONLY spares nothing."""
    return table is not None and table.born != UNKNOWN and not table.partitioned


def _concurrently(scene: Scene, node: Node) -> str:
    """The statement with CONCURRENTLY, and with a name: what a kill leaves of it must be findable."""
    text = one_line(scene.statement.text, longest=10_000)
    words = list(tokens(text))
    at = next(number for number, token in enumerate(words) if token.word == "index")
    text = f"{text[: words[at].end]} CONCURRENTLY{text[words[at].end :]}"
    return text if "idxname" in node else text.replace(" CONCURRENTLY", f" CONCURRENTLY {_name(node)}", 1)


def _name(node: Node) -> str:
    columns = [each.get("IndexElem", {}).get("name", "expr") for each in node.get("indexParams", [])]
    return fitted(node.get("relation", {}).get("relname", ""), [*columns, "idx"])


def _on_partitioned(scene: Scene, node: Node) -> str:
    relation = node.get("relation", {})
    name = shown([node["idxname"]]) if "idxname" in node else _name(node)
    at = max(scene.statement.start, scene.statement.offset(relation.get("location")))
    definition = one_line(scene.statement.source[at : scene.statement.end], longest=10_000)
    unique = "UNIQUE " if node.get("unique") else ""
    rest = _after_name(definition)
    child = f"{relation.get('relname', '')}_1"
    return steps(
        (NOW, f"CREATE {unique}INDEX {name} ON ONLY {shown(relation)} {rest};"),
        (f"{NEXT}, for each partition (here {child})",
         f"CREATE {unique}INDEX CONCURRENTLY {fitted(child, [node.get('idxname', 'idx')])} ON {shown([child])}"
         f" {rest};"),
        ("in a further file, for each partition",
         f"ALTER INDEX {name} ATTACH PARTITION {fitted(child, [node.get('idxname', 'idx')])};"),
    )  # fmt: skip


def _after_name(definition: str) -> str:
    """What follows the table's name: USING method (columns) ..."""
    end, expects_name = 0, True
    for token in tokens(definition):
        if not expects_name and token.text != ".":
            break
        end, expects_name = token.end, token.text == "."
    return definition[end:].strip()


def drop_index(scene: Scene, node: Node) -> Hazards:
    names = [dropped_name(each) for each in node.get("objects", [])]
    for parts in names:
        index = scene.schema.indexes.get(name_of(parts))
        partitioned = index is not None and scene.schema.table(index.table).partitioned
        if node.get("concurrent"):
            if partitioned:
                yield scene.hazard(
                    "concurrent-on-partitioned",
                    f"{shown(parts)} is an index of a partitioned table: PostgreSQL refuses to drop it CONCURRENTLY.",
                    mend=f"DROP INDEX {shown(parts)};",
                )
            continue
        if index is not None and (index.born == scene.schema.file or scene.is_new(index.table)):
            continue
        exists = " IF EXISTS" if node.get("missing_ok") else ""
        on = f" of {shown(index.table)}" if index is not None else ""
        yield scene.hazard(
            "index-drop-not-concurrent",
            f"DROP INDEX {shown(parts)} takes ACCESS EXCLUSIVE on the table{on}: it waits for every running query"
            " of it, and all new ones wait behind it.",
            mend="-- an index of a partitioned table cannot be dropped CONCURRENTLY: run this when the table is quiet"
            if partitioned
            else f"DROP INDEX CONCURRENTLY{exists} {shown(parts)};",
        )


def reindex(scene: Scene, node: Node) -> Hazards:
    if option(node.get("params"), "concurrently"):
        return
    kind = node.get("kind", "").removeprefix("REINDEX_OBJECT_")
    relation = node.get("relation")
    if relation and (scene.is_new(relation) or _new_index(scene, relation)):
        return
    target = shown(relation) if relation else shown([node["name"]]) if node.get("name") else ""
    yield scene.hazard(
        "reindex-not-concurrent",
        f"REINDEX {kind} {target} keeps writers of each table waiting while it is rebuilt, and readers that would"
        " use the index (ACCESS EXCLUSIVE on it).".replace("  ", " "),
        mend="-- system catalogs cannot be rebuilt CONCURRENTLY: only in a maintenance window"
        if kind == "SYSTEM"
        else f"REINDEX {_other_options(node)}{kind} CONCURRENTLY{f' {target}' if target else ''};",
    )


def _other_options(node: Node) -> str:
    """(VERBOSE, TABLESPACE x), without CONCURRENTLY."""
    told = []
    for each in node.get("params", []):
        name, value = each["DefElem"].get("defname", ""), only(each["DefElem"].get("arg", {}))[1].get("sval")
        if name != "concurrently":
            told.append(name.upper() + (f" {quoted(value)}" if name == "tablespace" and value else ""))
    return f"({', '.join(told)}) " if told else ""


def _new_index(scene: Scene, relation: Node) -> bool:
    index = scene.schema.indexes.get(table_of(relation))
    return index is not None and (index.born == scene.schema.file or scene.is_new(index.table))


def refresh(scene: Scene, node: Node) -> Hazards:
    relation = node.get("relation", {})
    view = scene.schema.tables.get(table_of(relation))
    unreadable = view is not None and not view.populated  # CONCURRENTLY needs a first plain REFRESH
    if node.get("concurrent") or scene.is_new(relation) or unreadable:
        return
    yield scene.hazard(
        "matview-refresh-not-concurrent",
        f"REFRESH keeps every reader of {shown(relation)} waiting (ACCESS EXCLUSIVE) while its whole query runs.",
        mend=f"-- needs a UNIQUE index on {shown(relation)} without WHERE\n"
        f"REFRESH MATERIALIZED VIEW CONCURRENTLY {shown(relation)};",
    )
