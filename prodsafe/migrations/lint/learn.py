"""What a statement does to the schema that is known: the Schema changes in place. [P]"""

from __future__ import annotations

from prodsafe.migrations.lexer import tokens
from prodsafe.migrations.lint.learn_table import create_table
from prodsafe.migrations.lint.nodes import (
    Name,
    columns_in,
    definition,
    dropped_name,
    name_of,
    only,
    strings,
    table_of,
    type_of,
)
from prodsafe.migrations.lint.parser import Node, Statement
from prodsafe.migrations.lint.schema import (
    NO_TABLE,
    Function,
    Index,
    Schema,
    Table,
    UserType,
)


def learn(schema: Schema, statement: Statement) -> None:
    """Everything but ALTER TABLE, whose commands are learnt one by one."""
    learner = _LEARNERS.get(statement.kind)
    if learner is not None:
        learner(schema, statement.node)
    if "sql_body" in statement.node:
        schema.functions[name_of(strings(statement.node.get("funcname")))].body = _atomic_body(statement.text)


def _atomic_body(text: str) -> str:
    """What stands between BEGIN ATOMIC and END; "" for RETURN, which is an expression."""
    words = list(tokens(text))
    begins = [n for n, one in enumerate(words[:-1]) if one.word == "begin" and words[n + 1].word == "atomic"]
    return text[words[begins[0] + 1].end : words[-1].start] if begins else ""


def _create_index(schema: Schema, node: Node) -> None:
    table = table_of(node.get("relation", {}))
    columns = tuple(each.get("IndexElem", {}).get("name", "") for each in node.get("indexParams", []))
    name = (table[0], node.get("idxname") or "_".join([table[1], *filter(None, columns), "idx"]))
    if node.get("if_not_exists") and name in schema.indexes:
        return
    computed = [each.get("IndexElem", {}).get("expr") for each in node.get("indexParams", [])]
    schema.indexes[name] = Index(
        name,
        table,
        columns,
        columns_in([computed, node.get("whereClause")]),
        bool(node.get("unique")),
        partial="whereClause" in node,
        born=schema.file,
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
    create_table(schema, base)
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
            create_table(schema, {**fields, "relation": relation})


def _trigger(schema: Schema, node: Node) -> None:
    schema.triggers[table_of(node.get("relation", {})), node.get("trigname", "")] = schema.file


def _event_trigger(schema: Schema, node: Node) -> None:
    schema.triggers[NO_TABLE, node.get("trigname", "")] = schema.file


def _aggregate(schema: Schema, node: Node) -> None:
    if node.get("kind") == "OBJECT_AGGREGATE":
        name = name_of(strings(node.get("defnames")))
        schema.functions[name] = Function(name, "aggregate", "immutable", born=schema.file)


def _role(schema: Schema, node: Node) -> None:
    schema.roles[node.get("role", "")] = schema.file


def _policy(schema: Schema, node: Node) -> None:
    schema.triggers[table_of(node.get("table", {})), node.get("policy_name", "")] = schema.file


_LEARNERS = {
    "CreateStmt": create_table,
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
    "CreateEventTrigStmt": _event_trigger,
    "DefineStmt": _aggregate,
    "CreateRoleStmt": _role,
    "CreatePolicyStmt": _policy,
}
