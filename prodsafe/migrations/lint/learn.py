"""What a statement does to the schema that is known: the Schema changes in place. [P]"""

from __future__ import annotations

from prodsafe.migrations.lint.command import Command
from prodsafe.migrations.lint.nodes import (
    Name,
    column,
    definition,
    dropped_name,
    find,
    name_of,
    only,
    strings,
    table_of,
    type_of,
)
from prodsafe.migrations.lint.parser import Node, Statement
from prodsafe.migrations.lint.rules_column import constraints_of
from prodsafe.migrations.lint.schema import UNKNOWN, Column, Constraint, Function, Index, Schema, Table, UserType
from prodsafe.migrations.lint.types import SERIALS


def learn(schema: Schema, statement: Statement) -> None:
    """Everything but ALTER TABLE, whose commands are learnt one by one."""
    learner = _LEARNERS.get(statement.kind)
    if learner is not None:
        learner(schema, statement.node)


def _create_table(schema: Schema, node: Node) -> None:
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
        columns = tuple(dict.fromkeys(column({"ColumnRef": ref}) for _, ref in find(node.get("raw_expr"), "ColumnRef")))
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


def _column(table: Table, name: str) -> Column:
    return table.columns.setdefault(name, Column(name, unknown_default=True))


def _validated(table: Table, name: str) -> None:
    known = table.constraints.get(name)
    if known is None:  # an earlier file that nobody showed made it
        table.constraints[name] = Constraint(name, "validated", valid=True, born=UNKNOWN)
        return
    known.valid = True


def _create_index(schema: Schema, node: Node) -> None:
    table = table_of(node.get("relation", {}))
    columns = tuple(each.get("IndexElem", {}).get("name", "") for each in node.get("indexParams", []))
    name = (table[0], node.get("idxname") or "_".join([table[1], *filter(None, columns), "idx"]))
    if node.get("if_not_exists") and name in schema.indexes:
        return
    schema.indexes[name] = Index(
        name, table, columns, bool(node.get("unique")), partial="whereClause" in node, born=schema.file
    )


def _drop(schema: Schema, node: Node) -> None:
    kind = node.get("removeType", "").removeprefix("OBJECT_")
    for parts in map(dropped_name, node.get("objects", [])):
        name = name_of(parts)
        match kind:
            case "TABLE" | "VIEW" | "MATVIEW" | "SEQUENCE" | "FOREIGN_TABLE":
                schema.tables.pop(name, None)
                for index in [each.name for each in schema.indexes_of(name)]:
                    del schema.indexes[index]
            case "INDEX":
                schema.indexes.pop(name, None)
            case "TYPE" | "DOMAIN":
                schema.types.pop(name, None)
            case "FUNCTION" | "PROCEDURE" | "ROUTINE":
                schema.functions.pop(name, None)
            case "SCHEMA":
                schema.schemas.pop(parts[-1] if parts else "", None)


def _rename(schema: Schema, node: Node) -> None:
    kind, new = node.get("renameType", "").removeprefix("OBJECT_"), node.get("newname", "")
    old = table_of(node.get("relation", {}))
    match kind:
        case "TABLE" | "VIEW" | "MATVIEW" | "SEQUENCE" | "FOREIGN_TABLE" | "INDEX":
            _move(schema, old, (old[0], new))
        case "COLUMN" if old in schema.tables:
            columns = schema.tables[old].columns
            known = columns.pop(node.get("subname", ""), None)
            if known is not None:
                known.name = new
                columns[new] = known
        case "TABCONSTRAINT" if old in schema.tables:
            constraint = schema.tables[old].constraints.pop(node.get("subname", ""), None)
            if constraint is not None:
                constraint.name = new
                schema.tables[old].constraints[new] = constraint
        case _:
            pass


def _set_schema(schema: Schema, node: Node) -> None:
    if "relation" in node:
        old = table_of(node["relation"])
        _move(schema, old, (node.get("newschema", ""), old[1]))


def _move(schema: Schema, old: Name, new: Name) -> None:
    if old in schema.indexes:
        index = schema.indexes.pop(old)
        index.name = new
        schema.indexes[new] = index
    if old in schema.tables:
        for index in schema.indexes_of(old):
            index.table = new
        table = schema.tables.pop(old)
        table.name = new
        schema.tables[new] = table


def _create_as(schema: Schema, node: Node) -> None:
    into = node.get("into", {})
    relation = into.get("rel", {})
    name = table_of(relation)
    if node.get("if_not_exists") and schema.knows(name):
        return
    kind = "matview" if node.get("objtype") == "OBJECT_MATVIEW" else "table"
    schema.tables[name] = Table(
        name,
        kind,
        temporary=relation.get("relpersistence") == "t",
        populated=not into.get("skipData"),
        born=schema.file,
    )


def _select(schema: Schema, node: Node) -> None:
    if "intoClause" in node:
        _create_as(schema, {"into": node["intoClause"]})


def _view(schema: Schema, node: Node) -> None:
    name = table_of(node.get("view", {}))
    if not (node.get("replace") and name in schema.tables):
        schema.tables[name] = Table(name, "view", born=schema.file)


def _sequence(schema: Schema, node: Node) -> None:
    name = table_of(node.get("sequence", {}))
    if not (node.get("if_not_exists") and schema.knows(name)):
        schema.tables[name] = Table(name, "sequence", born=schema.file)


def _foreign_table(schema: Schema, node: Node) -> None:
    base: Node = node["base"]
    _create_table(schema, base)
    name = table_of(base.get("relation", {}))
    if name in schema.tables:
        schema.tables[name].kind = "foreign"


def _refresh(schema: Schema, node: Node) -> None:
    known = schema.tables.get(table_of(node.get("relation", {})))
    if known is not None:
        known.populated = not node.get("skipData")


def _function(schema: Schema, node: Node) -> None:
    name = name_of(strings(node.get("funcname")))
    options = node.get("options", [])
    language = (definition(options, "language") or {}).get("String", {}).get("sval", "sql").lower()
    volatility = (definition(options, "volatility") or {}).get("String", {}).get("sval", "volatile").lower()
    bodies = strings((definition(options, "as") or {}).get("List", {}).get("items"))
    body = bodies[0] if len(bodies) == 1 and language in ("sql", "plpgsql") else ""
    schema.functions[name] = Function(name, language, volatility, body, born=schema.file)


def _enum(schema: Schema, node: Node) -> None:
    name = name_of(strings(node.get("typeName")))
    schema.types[name] = UserType(name, "enum", values=strings(node.get("vals")), born=schema.file)


def _domain(schema: Schema, node: Node) -> None:
    name = name_of(strings(node.get("domainname")))
    kinds = {each.get("Constraint", {}).get("contype") for each in node.get("constraints", [])}
    base = type_of(node.get("typeName"))
    inherited = base is not None and base.key in schema.types and schema.types[base.key].constrained
    constrained = inherited or bool(kinds & {"CONSTR_CHECK", "CONSTR_NOTNULL"})
    schema.types[name] = UserType(name, "domain", base, constrained, born=schema.file)


def _alter_domain(schema: Schema, node: Node) -> None:
    name = name_of(strings(node.get("typeName")))
    if node.get("subtype") in ("C", "O"):
        schema.types.setdefault(name, UserType(name, "domain")).constrained = True


def _composite(schema: Schema, node: Node) -> None:
    name = table_of(node.get("typevar", {}))
    schema.types[name] = UserType(name, "composite", born=schema.file)
    schema.tables[name] = Table(name, "composite", born=schema.file)


def _range(schema: Schema, node: Node) -> None:
    name = name_of(strings(node.get("typeName")))
    schema.types[name] = UserType(name, "range", born=schema.file)


def _schema(schema: Schema, node: Node) -> None:
    name = node.get("schemaname", "")
    if not (node.get("if_not_exists") and name in schema.schemas):
        schema.schemas[name] = schema.file
    for element in node.get("schemaElts", []):
        kind, fields = only(element)
        if kind == "CreateStmt":
            relation = {"schemaname": name, **fields.get("relation", {})}
            _create_table(schema, {**fields, "relation": relation})


def _trigger(schema: Schema, node: Node) -> None:
    schema.triggers[table_of(node.get("relation", {})), node.get("trigname", "")] = schema.file


def _policy(schema: Schema, node: Node) -> None:
    schema.triggers[table_of(node.get("table", {})), node.get("policy_name", "")] = schema.file


_LEARNERS = {
    "CreateStmt": _create_table,
    "CreateTableAsStmt": _create_as,
    "SelectStmt": _select,
    "CreateForeignTableStmt": _foreign_table,
    "ViewStmt": _view,
    "CreateSeqStmt": _sequence,
    "IndexStmt": _create_index,
    "DropStmt": _drop,
    "RenameStmt": _rename,
    "AlterObjectSchemaStmt": _set_schema,
    "RefreshMatViewStmt": _refresh,
    "CreateFunctionStmt": _function,
    "CreateEnumStmt": _enum,
    "CreateDomainStmt": _domain,
    "AlterDomainStmt": _alter_domain,
    "CompositeTypeStmt": _composite,
    "CreateRangeStmt": _range,
    "CreateSchemaStmt": _schema,
    "CreateTrigStmt": _trigger,
    "CreatePolicyStmt": _policy,
}
