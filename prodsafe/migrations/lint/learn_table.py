"""What CREATE TABLE and ALTER TABLE make known of a table: columns, constraints, partitions. [P]"""

from __future__ import annotations

from prodsafe.migrations.lint.command import Command
from prodsafe.migrations.lint.nodes import Name, columns_in, constraints_of, only, strings, table_of, type_of
from prodsafe.migrations.lint.parser import Node
from prodsafe.migrations.lint.schema import UNKNOWN, Column, Constraint, Index, Schema, Table
from prodsafe.migrations.lint.types import SERIALS


def create_table(schema: Schema, node: Node) -> None:
    relation = node.get("relation", {})
    name = table_of(relation)
    if node.get("if_not_exists") and schema.knows(name):
        return
    table = Table(name, complete=True, born=schema.file, temporary=relation.get("relpersistence") == "t")
    schema.tables[name] = table
    spec = node.get("partspec")
    if spec:
        table.partitioned = True
        table.partition_key = tuple(
            each.get("PartitionElem", {}).get("name", "") for each in spec.get("partParams", [])
        )
    for parent in node.get("inhRelations", []):
        _inherit(schema, table, table_of(parent.get("RangeVar", {})))
        if node.get("partbound", {}).get("is_default"):
            schema.table(table_of(parent.get("RangeVar", {}))).default_partition = name
    for element in node.get("tableElts", []):
        kind, fields = only(element)
        if kind == "ColumnDef":
            add_column(schema, table, fields)
        elif kind == "Constraint":
            add_constraint(schema, table, fields)
        elif kind == "TableLikeClause":
            _inherit(schema, table, table_of(fields.get("relation", {})))


def _inherit(schema: Schema, table: Table, parent: Name) -> None:
    known = schema.tables.get(parent)
    table.complete = table.complete and known is not None and known.complete
    for each in known.columns.values() if known else ():
        table.columns[each.name] = Column(
            each.name, each.type, each.not_null, each.default, each.unknown_default, each.generated, born=schema.file
        )


def add_column(schema: Schema, table: Table, definition: Node) -> None:
    name = definition.get("colname", "")
    inline, kind = constraints_of(definition), type_of(definition.get("typeName"))
    default = inline.get("DEFAULT", {}).get("raw_expr")
    serial = kind is not None and kind.name in SERIALS
    table.columns[name] = Column(
        name,
        kind,
        not_null=serial or bool({"NOTNULL", "PRIMARY", "IDENTITY"} & set(inline)),
        default=default,
        unknown_default=serial,
        generated="GENERATED" in inline,
        identity="IDENTITY" in inline,
        born=schema.file,
    )
    for each in ("UNIQUE", "PRIMARY", "CHECK", "FOREIGN"):
        if each in inline:
            add_constraint(schema, table, {**inline[each], "keys": [{"String": {"sval": name}}]})


_KINDS = {"CHECK": "check", "FOREIGN": "foreign", "UNIQUE": "unique", "PRIMARY": "primary", "EXCLUSION": "exclusion",
          "NOTNULL": "notnull"}  # fmt: skip
_SUFFIXES = {
    "check": "check",
    "foreign": "fkey",
    "unique": "key",
    "primary": "pkey",
    "exclusion": "excl",
    "notnull": "not_null",
}


def add_constraint(schema: Schema, table: Table, node: Node) -> None:
    kind = _KINDS.get(node.get("contype", "").removeprefix("CONSTR_"), "")
    if not kind:
        return
    columns = tuple(strings(node.get("keys") or node.get("fk_attrs")))
    if "indexname" in node:
        index = schema.index_named(table.name[0], node["indexname"])
        columns = index.columns if index is not None else ()
    if kind == "check":
        columns = tuple(columns_in(node.get("raw_expr")))
    given = [] if kind == "primary" else [*columns] if kind != "check" else [*columns[:1]] if len(columns) == 1 else []
    name = node.get("conname") or "_".join([table.name[1], *given, _SUFFIXES[kind]])
    table.constraints[name] = Constraint(
        name, kind, columns, node.get("raw_expr"), valid=not node.get("skip_validation"), born=schema.file
    )
    if kind in ("unique", "primary", "exclusion"):
        schema.indexes[table.name[0], name] = Index(
            (table.name[0], name),
            table.name,
            columns,
            unique=kind != "exclusion",
            primary=kind == "primary",
            born=schema.file,
        )
    if kind == "primary" or (kind == "notnull" and not node.get("skip_validation")):
        for each in columns:
            table.columns.setdefault(each, Column(each)).not_null = True


def learn_command(schema: Schema, command: Command) -> None:
    """One command of an ALTER TABLE."""
    table, node = command.table, command.node
    name, body = node.get("name", ""), node.get("def", {})
    match command.subtype:
        case "AT_AddColumn":
            fields = body.get("ColumnDef", {})
            if not (node.get("missing_ok") and fields.get("colname") in table.columns):
                add_column(schema, table, fields)
        case "AT_DropColumn":
            table.columns.pop(name, None)
            for key in [key for key, each in table.constraints.items() if name in each.columns]:
                del table.constraints[key]
        case "AT_AlterColumnType":
            _column(table, name).type = type_of(body.get("ColumnDef", {}).get("typeName"))
        case "AT_SetNotNull":
            _column(table, name).not_null = True
        case "AT_DropNotNull":
            known = _column(table, name)
            known.not_null, known.born = False, max(known.born, 0)
        case "AT_ColumnDefault":
            known = _column(table, name)
            known.default, known.unknown_default = node.get("def"), False
        case "AT_AddIdentity":
            _column(table, name).identity = True
        case "AT_AddConstraint":
            add_constraint(schema, table, body.get("Constraint", {}))
        case "AT_DropConstraint":
            table.constraints.pop(name, None)
            schema.indexes.pop((table.name[0], name), None)
        case "AT_ValidateConstraint":
            _validated(table, name)
        case "AT_AttachPartition" if body.get("PartitionCmd", {}).get("bound", {}).get("is_default"):
            table.default_partition = table_of(body["PartitionCmd"].get("name", {}))
        case "AT_DetachPartition" | "AT_DetachPartitionFinalize":
            if table.default_partition == table_of(body.get("PartitionCmd", {}).get("name", {})):
                table.default_partition = None


def _column(table: Table, name: str) -> Column:
    return table.columns.setdefault(name, Column(name, unknown_default=True))


def _validated(table: Table, name: str) -> None:
    known = table.constraints.get(name)
    if known is None:  # an earlier file that nobody showed made it
        table.constraints[name] = Constraint(name, "validated", valid=True, born=UNKNOWN)
        return
    known.valid = True
