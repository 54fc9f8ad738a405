"""One file, statement by statement, with the schema and the transaction as they are at that point. [P]"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prodsafe.migrations.batches import parsable
from prodsafe.migrations.directives import read_directives
from prodsafe.migrations.lint import rules_data, rules_table
from prodsafe.migrations.lint.command import Command
from prodsafe.migrations.lint.held import SLOW_ALTERS, locked_then_more, used_enum_values, while_locked
from prodsafe.migrations.lint.hygiene import hygiene, style
from prodsafe.migrations.lint.inside import Bodies
from prodsafe.migrations.lint.learn import learn
from prodsafe.migrations.lint.learn_table import learn_command
from prodsafe.migrations.lint.limits import limits
from prodsafe.migrations.lint.nodes import shown
from prodsafe.migrations.lint.options import Options, SqlFile
from prodsafe.migrations.lint.parser import Statement, parse
from prodsafe.migrations.lint.rules import RULES
from prodsafe.migrations.lint.scene import Hazard, Scene, bare_scene
from prodsafe.migrations.lint.schema import Schema
from prodsafe.migrations.lint.session import Session, begins_a_transaction
from prodsafe.migrations.lint.sqltext import one_line
from prodsafe.migrations.lint.transactions import COMMIT_IN_BLOCK, Lock, alone, locks_of, locks_of_command
from prodsafe.migrations.lint.whole_file import remade_by, syntax_error


class FileLinter:
    """One file, statement by statement. The schema is the folder's and goes on to the next file."""

    def __init__(self, schema: Schema, file: SqlFile, options: Options) -> None:
        self.schema, self.file, self.options = schema, file, options
        self.parsed = parse(parsable(file.text) if _in_batches(file) else file.text)
        self.remade = remade_by(self.parsed.statements)
        self.session = Session(schema, self.parsed.statements, wrapped=self._wrapped())
        self.bodies = Bodies(schema, self._judge)

    def _wrapped(self) -> bool:
        """Whether one transaction of the runner's goes round the whole file."""
        if self.options.assume_transaction is not None:
            return self.options.assume_transaction
        if not self.file.kind and any(map(begins_a_transaction, self.parsed.statements)):
            return False  # no file of the runner's: it brings its own transactions
        reasons = {alone(each, self.schema) for each in self.parsed.statements} - {""}
        if self.file.kind:
            reasons.discard(COMMIT_IN_BLOCK)  # the runner does not look into blocks
        return not reasons

    def run(self) -> list[Hazard]:
        hazards = [syntax_error(self.file.text, error) for error in self.parsed.errors]
        for statement in self.parsed.statements:
            if statement.kind == "TransactionStmt":
                hazards += self.session.control(statement)
            else:
                hazards += self._judge(statement)
                self.session.after_statement()
        return [*hazards, *self.session.at_end(), *self._optional()]

    def _optional(self) -> Iterator[Hazard]:
        statements = self.parsed.statements
        if self.options.hygiene:
            yield from hygiene(statements, self.schema, bare_scene(statements[0], self.schema) if statements else None)
        if self.options.style:
            yield from style(statements)

    def _judge(self, statement: Statement, at: int | None = None, depth: int = 0) -> list[Hazard]:
        """One statement, and what it changes for those after it. at: of a body, where the body is run."""
        scene = Scene(
            statement, self.schema, self.session.transaction, self.session.settings, self.remade, at is not None, at
        )
        hazards = [*_refused_here(scene), *used_enum_values(scene), *locked_then_more(scene)]
        if statement.kind == "AlterTableStmt":
            locks = self._alter_table(scene, hazards)
        else:
            hazards += _by_rule(scene)
            locks = locks_of(statement, self.schema)
        hazards += limits(scene, locks, hygiene=self.options.hygiene)
        hazards += self.bodies.run_by(scene, depth)
        hazards += self.session.remember(scene, locks)
        learn(self.schema, statement)
        return hazards

    def _alter_table(self, scene: Scene, hazards: list[Hazard]) -> list[Lock]:
        """Command by command, as each sees what those before it did; its hazards are added to the list."""
        locks: list[Lock] = []
        found: list[Hazard] = []
        for command in rules_table.commands_of(scene):
            found += rules_table.alter_table(scene, command)
            locks += locks_of_command(command, self.schema)
            known = set(command.table.constraints)
            learn_command(self.schema, command)
            scene.transaction.unchecked |= _unchecked(command, known)
        hazards += found
        if any(each.category in SLOW_ALTERS for each in found):
            hazards += while_locked(scene, f"ALTER TABLE {shown(scene.statement.node.get('relation', {}))}")
        return locks


def _by_rule(scene: Scene) -> Iterator[Hazard]:
    statement = scene.statement
    rule = RULES.get(statement.kind)
    if rule is not None:
        yield from rule(scene, statement.node)
    if statement.kind in rules_data.WRITES:
        yield from rules_data.writes(scene, statement.kind, statement.node)


def _unchecked(command: Command, known: Iterable[str]) -> set[tuple[tuple[str, str], str]]:
    """The constraints that a command added NOT VALID. known: the names there were before it."""
    constraint = command.node.get("def", {}).get("Constraint", {})
    if not constraint.get("skip_validation"):
        return set()
    names = {constraint["conname"]} if "conname" in constraint else set(command.table.constraints) - set(known)
    return {(command.name, name) for name in names}


def _refused_here(scene: Scene) -> Iterator[Hazard]:
    why = alone(scene.statement, scene.schema)
    if not why or not (scene.transaction.is_open or scene.in_body):
        return
    if why == COMMIT_IN_BLOCK:
        yield scene.hazard(
            "transaction-nesting",
            "COMMIT or ROLLBACK in this block fails (2D000) because a transaction is open round it.",
            mend="-- a data file: the runner commits batch by batch",
        )
        return
    where = "a DO block or function" if scene.in_body else "a transaction"
    yield scene.hazard(
        "concurrent-in-transaction",
        f"{why} cannot run inside {where}: PostgreSQL refuses it (25001) and the whole file fails.",
        mend=f"-- in a file of its own, without BEGIN\n{one_line(scene.statement.text, longest=2_000)};",
    )


def _in_batches(file: SqlFile) -> bool:
    """Whether :first and :last stand for the keys of a batch, and are no mistake."""
    others = read_directives(file.text, verbs={"batch"}).others
    return file.kind in ("", "data") and any(each.verb == "batch" for each in others)
