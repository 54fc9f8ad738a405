"""What a DO block, or a function that is called, does when it runs: its statements are judged where it stands. [P]"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from prodsafe.migrations.lexer import tokens
from prodsafe.migrations.lint import rules_data
from prodsafe.migrations.lint.bodies import Piece, plpgsql
from prodsafe.migrations.lint.bounds import Rows
from prodsafe.migrations.lint.dynamic import constant_text, harmless
from prodsafe.migrations.lint.nodes import constant, find, name_of, shown, strings, table_of
from prodsafe.migrations.lint.parser import Statement, parse
from prodsafe.migrations.lint.scene import Hazard, Hazards, Scene
from prodsafe.migrations.lint.schema import Function, Schema
from prodsafe.migrations.lint.sqltext import one_line
from prodsafe.migrations.lint.transactions import body_of, commits

DEEPEST_CALL = 3  # functions that call functions
Place = Callable[[int], int]  # an offset of the body -> an offset of the file


@dataclass(frozen=True, slots=True)
class Bodies:
    """judge: (statement, where to point, depth of calls) -> its hazards; it also learns what the statement does."""

    schema: Schema
    judge: Callable[[Statement, int, int], list[Hazard]]

    def run_by(self, scene: Scene, depth: int) -> list[Hazard]:
        """What the bodies do that this statement runs."""
        statement = scene.statement
        if statement.kind == "DoStmt":
            return self._do_block(scene, depth)
        if statement.kind in ("SelectStmt", "CallStmt") and depth < DEEPEST_CALL:
            return [each for function in self._called(statement) for each in self._function(scene, function, depth)]
        return []

    def _do_block(self, scene: Scene, depth: int) -> list[Hazard]:
        body = body_of(scene.statement.node)
        if body is None:
            return [
                scene.hazard(
                    "opaque-do-block",
                    "A DO block in another language than PL/pgSQL: nobody can see what it runs.",
                    mend="-- the statements themselves, written out, in the file",
                )
            ]
        inside = self._plpgsql(scene, body, depth, _place_of_body(scene))
        categories = {each.category for each in inside}
        if categories and "opaque-do-block" not in categories:
            inside.append(
                scene.hazard(
                    "opaque-do-block",
                    "This DO block hides statements with hazards: no plan shows them, and whether and how often"
                    " they run is decided at run time.",
                    mend="-- the same as plain statements of the file, without DO",
                )
            )
        return inside

    def _called(self, statement: Statement) -> list[Function]:
        """The functions whose bodies were read and that this statement calls."""
        calls = [call for _, call in find(statement.node, "FuncCall")]
        calls += [statement.node["funccall"]] if "funccall" in statement.node else []
        known = [self.schema.functions.get(name_of(strings(call.get("funcname")))) for call in calls]
        return [each for each in known if each is not None and each.body and each.volatility == "volatile"]

    def _function(self, scene: Scene, function: Function, depth: int) -> list[Hazard]:
        at = scene.offset()
        if _only_for_new_tables(scene, function):
            return []
        if function.language == "plpgsql":
            return self._plpgsql(scene, function.body, depth + 1, lambda _: at)
        statements = parse(function.body).statements
        return [hazard for inner in statements for hazard in self.judge(inner, at, depth + 1)]

    def _plpgsql(self, scene: Scene, body: str, depth: int, place: Place) -> list[Hazard]:
        ends_transactions = commits(scene.statement, self.schema)
        hazards: list[Hazard] = []
        for piece in plpgsql(body):
            at = place(piece.offset)
            text = constant_text(piece.text) if piece.kind == "dynamic" else piece.text
            if text is None:
                hazards += [] if harmless(piece.text) else [_dynamic(piece, at)]
            elif piece.kind != "commit":
                for inner in parse(text).statements:
                    found = self.judge(inner, at, depth)
                    flagged = any(each.category == "unbatched-dml" for each in found)
                    hazards += found
                    if piece.loops and not ends_transactions and not flagged:
                        hazards += self._in_loop(inner, piece, at)
        return hazards

    def _in_loop(self, statement: Statement, piece: Piece, at: int) -> Hazards:
        """A bounded write again and again without a COMMIT is an unbounded one."""
        table = table_of(statement.node.get("relation", {}))
        if statement.kind not in rules_data.WRITES or piece.over == "list" or self.schema.is_new(table):
            return
        if statement.kind == "InsertStmt" and piece.over in ("", "range"):
            return
        if piece.over == "range" and not _writes_a_batch(statement):
            return
        if piece.over not in ("", "range") and all(
            Rows(self.schema, table, variables=True).few_rows(each.node) for each in parse(piece.over).statements
        ):
            return
        yield Hazard(
            "unbatched-dml",
            at,
            f"The loop writes {shown(table)} again and again without a COMMIT: all of it is one transaction, every"
            " row it changes stays locked until the end, and a kill loses everything done so far.",
            "-- a data file (prodsafe migrate new data ...), which the runner commits batch by batch",
        )


def _writes_a_batch(statement: Statement) -> bool:
    """Whether it takes rows by the window or by the number, and not one by its key."""
    return any(each.word in ("between", "limit") or each.text in ("<", ">") for each in tokens(statement.text))


def _dynamic(piece: Piece, at: int) -> Hazard:
    return Hazard(
        "opaque-do-block",
        at,
        f"EXECUTE {one_line(piece.text, longest=80)} is put together at run time: nobody can say"
        " beforehand what it locks, rewrites or drops.",
        "-- the statements themselves, written out, in the file",
    )


def _only_for_new_tables(scene: Scene, function: Function) -> bool:
    """Whether each constant that the function is given names a table of this very file: it works on that one."""
    for _, call in find(scene.statement.node, "FuncCall"):
        if name_of(strings(call.get("funcname"))) == function.name:
            given = [constant(each) for each in call.get("args", [])]
            return bool(given) and all(each and scene.schema.is_new(name_of(each.split("."))) for each in given)
    return False


def _place_of_body(scene: Scene) -> Place:
    """Where a DO block's body stands in the file; in another body everything stands where that one is run."""
    statement, at = scene.statement, scene.at
    if at is not None:
        return lambda _: at
    for token in tokens(statement.source, statement.start, statement.end):
        if token.kind == "dollar":
            start = token.start + token.text.index("$", 1) + 1
            return lambda offset: start + offset
        if token.kind in ("string", "escaped"):
            return lambda _: token.start
    return lambda _: statement.start
