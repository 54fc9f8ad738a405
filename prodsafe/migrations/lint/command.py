"""One command of an ALTER TABLE: its table, its node and its own words. [P]"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prodsafe.migrations.lexer import tokens
from prodsafe.migrations.lint.nodes import Name, shown, table_of
from prodsafe.migrations.lint.parser import Node, Statement
from prodsafe.migrations.lint.scene import Hazard, Scene
from prodsafe.migrations.lint.schema import Table
from prodsafe.migrations.lint.sqltext import clauses, one_line, quoted


@dataclass(frozen=True, slots=True)
class Command:
    """start, end: where it stands in its statement's file; is_new: this very file made the table."""

    subtype: str
    node: Node
    objtype: str
    name: Name
    shown: str
    table: Table
    is_new: bool
    source: str
    start: int
    end: int

    @property
    def is_foreign(self) -> bool:
        """Its rows are another server's, which checks nothing and rewrites nothing here."""
        return self.objtype == "OBJECT_FOREIGN_TABLE" or self.table.kind == "foreign"

    @property
    def key(self) -> str:
        """The column that its table is walked by, as SQL."""
        return quoted(self.table.key)

    @property
    def text(self) -> str:
        return self.source[self.start : self.end]

    def hazard(self, scene: Scene, category: str, message: str, *, mend: str = "") -> Hazard:
        return scene.hazard(category, message, at=self.start, mend=mend)

    def known_column(self, name: str) -> bool:
        return name in self.table.columns

    def text_from(self, start: int, end: int) -> str:
        return one_line(self.source[max(start, self.start) : min(end, self.end)], longest=2_000)

    def slice(self, constraint: Node, scene: Scene) -> str:
        """An inline constraint in the user's own words: CONSTRAINT name and one clause."""
        start = scene.statement.offset(constraint.get("location"))
        depth, end, seen_bracket = 0, start, False
        for token in tokens(self.source, start, self.end):
            if depth == 0 and seen_bracket:
                break
            depth += {"(": 1, ")": -1}.get(token.text, 0)
            seen_bracket = seen_bracket or token.text == ")"
            end = token.end
        return self.text_from(start, end)

    def after_word(self, word: str, stops: tuple[str, ...]) -> str:
        """What follows a word at depth 0, up to one of the stops."""
        start, end, depth = -1, self.end, 0
        for token in tokens(self.source, self.start, self.end):
            depth += token.nesting
            if depth == 0 and start < 0 and token.word == word:
                start = token.end
            elif depth == 0 and start >= 0 and token.word in stops and self.text_from(start, token.start):
                end = token.start
                break
        return self.text_from(start, end).strip() if start >= 0 else ""

    def statement_with(self, scene: Scene) -> str:
        """The ALTER TABLE with this command alone."""
        return f"ALTER TABLE {self.shown} {one_line(self.text, longest=2_000)}"


def commands(statement: Statement, schema_table: Table, is_new: bool) -> Iterator[Command]:
    """The commands of an ALTER TABLE (INDEX, VIEW, TYPE, ...) statement, in its order."""
    relation = statement.node.get("relation", {})
    cmds = statement.node.get("cmds", [])
    places = _places(statement, relation)
    for number, each in enumerate(cmds):
        node = each.get("AlterTableCmd", {})
        start, end = places[number] if len(places) == len(cmds) else (statement.start, statement.end)
        yield Command(
            subtype=node.get("subtype", ""),
            node=node,
            objtype=statement.node.get("objtype", "OBJECT_TABLE"),
            name=table_of(relation),
            shown=shown(relation),
            table=schema_table,
            is_new=is_new,
            source=statement.source,
            start=start,
            end=end,
        )


def _places(statement: Statement, relation: Node) -> list[tuple[int, int]]:
    """Where each command stands: what commas separate after the table's name."""
    begin = statement.offset(relation.get("location"))
    end_of_name, expects_name = begin, True
    for token in tokens(statement.source, begin, statement.end):
        if token.text in (".", "*") or expects_name:
            end_of_name, expects_name = token.end, token.text == "."
        else:
            break
    return clauses(statement.source, end_of_name, statement.end)
