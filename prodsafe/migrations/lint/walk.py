"""One file, statement by statement, with the schema and the transaction as they are at that point. [P]"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from prodsafe.migrations.batches import parsable
from prodsafe.migrations.directives import read_directives
from prodsafe.migrations.lint import rules_data, rules_server, rules_table
from prodsafe.migrations.lint.bodies import Piece, plpgsql
from prodsafe.migrations.lint.bounds import Rows
from prodsafe.migrations.lint.dynamic import constant_text, harmless
from prodsafe.migrations.lint.held import SLOW_ALTERS, locked_then_more, used_enum_values, while_locked
from prodsafe.migrations.lint.hygiene import hygiene, style
from prodsafe.migrations.lint.learn import learn, learn_command
from prodsafe.migrations.lint.nodes import constant, find, name_of, shown, strings, table_of
from prodsafe.migrations.lint.options import Options, SqlFile
from prodsafe.migrations.lint.parser import Statement, parse
from prodsafe.migrations.lint.rules import RULES
from prodsafe.migrations.lint.scene import (
    Hazard,
    Held,
    Scene,
    Settings,
    Transaction,
    bare_scene,
)
from prodsafe.migrations.lint.schema import Function, Schema
from prodsafe.migrations.lint.sqltext import one_line, tokens
from prodsafe.migrations.lint.transactions import (
    COMMIT_IN_BLOCK,
    Lock,
    alone,
    body_of,
    commits,
    locks_of,
    locks_of_command,
    milliseconds,
    settings_of,
)
from prodsafe.migrations.lint.whole_file import remade_by, syntax_error

DEEPEST_CALL = 3  # functions that call functions
TOO_LONG_MS, TOO_LONG_WITH_HYGIENE_MS = 10_000, 2_000


class FileLinter:
    """One file, statement by statement. The schema is the folder's and goes on to the next file."""

    def __init__(self, schema: Schema, file: SqlFile, options: Options) -> None:
        self.schema, self.file, self.options = schema, file, options
        self.parsed = parse(parsable(file.text) if _in_batches(file) else file.text)
        self.remade = remade_by(self.parsed.statements)
        self.settings = Settings()
        self.before_local = Settings()
        self.hazards: list[Hazard] = []
        self.transaction = Transaction(is_open=self._wrapped(), ours=self._wrapped())

    def _wrapped(self) -> bool:
        """Whether one transaction of the runner's goes round the whole file."""
        if self.options.assume_transaction is not None:
            return self.options.assume_transaction
        begins = any(
            each.kind == "TransactionStmt" and each.node.get("kind") in ("TRANS_STMT_BEGIN", "TRANS_STMT_START")
            for each in self.parsed.statements
        )
        if begins and not self.file.kind:
            return False  # no file of the runner's: it brings its own transactions
        reasons = {alone(each, self.schema) for each in self.parsed.statements} - {""}
        if self.file.kind:
            reasons.discard(COMMIT_IN_BLOCK)  # the runner does not look into blocks
        return not reasons

    def run(self) -> list[Hazard]:
        for error in self.parsed.errors:
            self.hazards.append(syntax_error(self.file.text, error))
        for statement in self.parsed.statements:
            if statement.kind == "TransactionStmt":
                self._transaction_control(statement)
                continue
            self._statement(statement)
            if not self.transaction.is_open:
                self.transaction = Transaction()
        if self.transaction.is_open and not self.transaction.ours:
            self.hazards.append(
                Hazard(
                    "uncommitted-transaction",
                    self.transaction.began_at,
                    "BEGIN without COMMIT or ROLLBACK: the transaction keeps its locks until the connection ends,"
                    " and then everything since is undone.",
                    "COMMIT;",
                )
            )
        scene = bare_scene(self.parsed.statements[0], self.schema) if self.parsed.statements else None
        if self.options.hygiene:
            self.hazards += hygiene(self.parsed.statements, self.schema, scene)
        if self.options.style:
            self.hazards += style(self.parsed.statements)
        return self.hazards

    def _transaction_control(self, statement: Statement) -> None:
        kind = statement.node.get("kind", "").removeprefix("TRANS_STMT_")
        now = self.transaction
        if kind in ("BEGIN", "START"):
            if now.is_open:
                whose = "the runner's transaction round this file" if now.ours else "a transaction that is open already"
                self._nesting(
                    statement, f"BEGIN inside {whose}: PostgreSQL only warns, and the next COMMIT ends the outer one."
                )
            else:
                self.transaction = Transaction(is_open=True, began_at=statement.start)
                self.before_local = replace(self.settings)
        elif kind in ("COMMIT", "ROLLBACK", "PREPARE"):
            if now.ours:
                self._nesting(
                    statement,
                    f"{kind} ends the runner's transaction round this file: what follows runs outside of it, and"
                    " the file's row in the ledger no longer stands or falls with its work.",
                )
            elif not now.is_open:
                self._nesting(statement, f"{kind} without BEGIN: there is no transaction to end.")
            again = bool(statement.node.get("chain"))
            self.transaction = Transaction(is_open=again or now.ours, ours=now.ours, began_at=statement.start)
            self.settings = self.before_local if now.is_open and not now.ours else self.settings

    def _nesting(self, statement: Statement, message: str) -> None:
        self.hazards.append(
            Hazard(
                "transaction-nesting",
                statement.start,
                message,
                "-- remove it: the runner opens and ends the transaction",
            )
        )

    def _scene(self, statement: Statement, in_body: bool, at: int | None) -> Scene:
        return Scene(statement, self.schema, self.transaction, self.settings, self.remade, in_body, at)

    def _statement(self, statement: Statement, *, in_body: bool = False, at: int | None = None, depth: int = 0) -> None:
        scene = self._scene(statement, in_body, at)
        self.hazards += self._refused_here(scene)
        self.hazards += used_enum_values(scene)
        self.hazards += locked_then_more(scene)
        if statement.kind == "AlterTableStmt":
            before = len(self.hazards)
            locks = self._alter_table(scene)
            if any(each.category in SLOW_ALTERS for each in self.hazards[before:]):
                self.hazards += while_locked(scene, f"ALTER TABLE {shown(statement.node.get('relation', {}))}")
        else:
            rule = RULES.get(statement.kind)
            self.hazards += rule(scene, statement.node) if rule else ()
            if statement.kind in rules_data.WRITES:
                self.hazards += rules_data.writes(scene, statement.kind, statement.node)
            locks = locks_of(statement, self.schema)
        self.hazards += self._limits(scene, locks)
        self._body(scene, depth)
        self._remember(scene, locks)
        learn(self.schema, statement)

    def _alter_table(self, scene: Scene) -> list[Lock]:
        locks: list[Lock] = []
        for command in rules_table.commands_of(scene):
            self.hazards += rules_table.alter_table(scene, command)
            locks += locks_of_command(command, self.schema)
            known = set(command.table.constraints)
            learn_command(self.schema, command)
            constraint = command.node.get("def", {}).get("Constraint", {})
            if constraint.get("skip_validation"):
                names = {constraint["conname"]} if "conname" in constraint else set(command.table.constraints) - known
                scene.transaction.unchecked |= {(command.name, name) for name in names}
        return locks

    def _refused_here(self, scene: Scene) -> Iterator[Hazard]:
        why = alone(scene.statement, self.schema)
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

    def _limits(self, scene: Scene, locks: Sequence[Lock]) -> Iterator[Hazard]:
        """Does the file lift the limit that keeps a waiting lock from stalling everybody behind it?"""
        if not locks:
            return
        table, limit = locks[0][2], self.settings.lock_timeout_ms
        longest = TOO_LONG_WITH_HYGIENE_MS if self.options.hygiene else TOO_LONG_MS
        unset = limit is None and (self.options.hygiene or self.settings.no_effect)
        if unset or (limit is not None and limit <= 0):
            why = "no lock_timeout is set" if unset else "the file switches lock_timeout off"
            why = "SET LOCAL has no effect outside of a transaction" if unset and self.settings.no_effect else why
            yield scene.hazard(
                "missing-lock-timeout",
                f"{why[:1].upper()}{why[1:]}: while this statement waits for {table}, every later query of {table}"
                " waits behind it, for as long as the oldest transaction lives.",
                mend="SET LOCAL lock_timeout = '400ms';",
            )
        elif limit is not None and limit > longest:
            yield scene.hazard(
                "lock-timeout-too-long",
                f"lock_timeout of {limit / 1000:g} s: while this statement waits for {table}, every later query of"
                f" {table} waits behind it that long.",
                mend="SET LOCAL lock_timeout = '400ms';",
            )
        if self.options.hygiene and self.settings.statement_timeout_ms in (None, 0):
            yield scene.hazard(
                "missing-statement-timeout",
                f"No statement_timeout is set: nothing ends this statement while it keeps {table} locked.",
                mend="SET LOCAL statement_timeout = '30s';",
            )

    def _remember(self, scene: Scene, locks: Sequence[Lock]) -> None:
        """What the rest of the transaction and of the file is to know."""
        statement, now = scene.statement, scene.transaction
        for table, level, text in locks:
            if table not in now.held or now.held[table].level < level:
                now.held[table] = Held(level, text, scene.offset())
        if statement.kind in ("CreateEnumStmt", "CompositeTypeStmt"):
            now.made_types.add(name_of(strings(statement.node.get("typeName"))))
        if statement.kind == "AlterEnumStmt" and "oldVal" not in statement.node:
            parts = strings(statement.node.get("typeName"))
            if name_of(parts) not in now.made_types:
                now.enum_values[statement.node.get("newVal", "")] = shown(parts)
        if statement.node.get("renameType") == "OBJECT_TABCONSTRAINT":
            table = table_of(statement.node.get("relation", {}))
            if (table, statement.node.get("subname")) in now.unchecked:
                now.unchecked.add((table, statement.node.get("newname", "")))
        for name, value, local in settings_of(statement):
            self._set(name, value, local=local and not scene.in_body)
            if name == "session_replication_role" and statement.kind == "SelectStmt":
                self.hazards += rules_server.replication_role(scene, value or "")

    def _set(self, name: str, value: str | None, *, local: bool) -> None:
        if local and not self.transaction.is_open:  # PostgreSQL warns and changes nothing
            self.settings.no_effect = self.settings.no_effect or name == "lock_timeout"
            return
        known = milliseconds(value) if value is not None else 0
        if name == "lock_timeout":
            self.settings.lock_timeout_ms = known
        elif name == "statement_timeout":
            self.settings.statement_timeout_ms = known
        elif name == "search_path":
            self.schema.search_path = (value or "").split(",")[0].strip().strip('"')
        elif name in ("timezone", "time zone"):
            self.settings.utc = (value or "").upper() in ("UTC", "ETC/UTC", "GMT", "0")

    # bodies: what a DO block or a called function runs

    def _body(self, scene: Scene, depth: int) -> None:
        statement = scene.statement
        if statement.kind == "DoStmt":
            self._do_block(scene, depth)
        elif statement.kind in ("SelectStmt", "CallStmt") and depth < DEEPEST_CALL:
            for function in self._called(statement):
                self._run_function(scene, function, depth)

    def _do_block(self, scene: Scene, depth: int) -> None:
        body = body_of(scene.statement.node)
        if body is None:
            self.hazards.append(
                scene.hazard(
                    "opaque-do-block",
                    "A DO block in another language than PL/pgSQL: nobody can see what it runs.",
                    mend="-- the statements themselves, written out, in the file",
                )
            )
            return
        before = len(self.hazards)
        self._run_plpgsql(scene, body, depth, place=_place_of_body(scene))
        inside = {each.category for each in self.hazards[before:]}
        if inside and "opaque-do-block" not in inside:
            self.hazards.append(
                scene.hazard(
                    "opaque-do-block",
                    "This DO block hides statements with hazards: no plan shows them, and whether and how often"
                    " they run is decided at run time.",
                    mend="-- the same as plain statements of the file, without DO",
                )
            )

    def _called(self, statement: Statement) -> list[Function]:
        """The functions whose bodies were read and that this statement calls."""
        calls = [call for _, call in find(statement.node, "FuncCall")]
        calls += [statement.node["funccall"]] if "funccall" in statement.node else []
        known = [self.schema.functions.get(name_of(strings(call.get("funcname")))) for call in calls]
        return [each for each in known if each is not None and each.body and each.volatility == "volatile"]

    def _run_function(self, scene: Scene, function: Function, depth: int) -> None:
        at = scene.offset()
        if _only_for_new_tables(scene, function):
            return
        if function.language == "plpgsql":
            self._run_plpgsql(scene, function.body, depth + 1, place=lambda _: at)
        else:
            for inner in parse(function.body).statements:
                self._statement(inner, in_body=True, at=at, depth=depth + 1)

    def _run_plpgsql(self, scene: Scene, body: str, depth: int, *, place: Callable[[int], int]) -> None:
        ends_transactions = commits(scene.statement, self.schema)
        for piece in plpgsql(body):
            at = place(piece.offset)
            text: str | None = piece.text
            if piece.kind == "dynamic":
                text = constant_text(piece.text)
            if text is None and harmless(piece.text):
                continue
            if text is None:
                self.hazards.append(
                    Hazard(
                        "opaque-do-block",
                        at,
                        f"EXECUTE {one_line(piece.text, longest=80)} is put together at run time: nobody can say"
                        " beforehand what it locks, rewrites or drops.",
                        "-- the statements themselves, written out, in the file",
                    )
                )
            elif piece.kind != "commit":
                for inner in parse(text).statements:
                    before = len(self.hazards)
                    self._statement(inner, in_body=True, at=at, depth=depth)
                    flagged = any(each.category == "unbatched-dml" for each in self.hazards[before:])
                    if piece.loops and not ends_transactions and not flagged:
                        self.hazards += self._in_loop(inner, piece, at)

    def _in_loop(self, statement: Statement, piece: Piece, at: int) -> Iterator[Hazard]:
        """A bounded write again and again without a COMMIT is an unbounded one."""
        if statement.kind not in rules_data.WRITES or piece.over == "list":
            return
        table = table_of(statement.node.get("relation", {}))
        if self.schema.is_new(table) or (statement.kind == "InsertStmt" and not piece.over):
            return
        if piece.over and all(
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


def _in_batches(file: SqlFile) -> bool:
    """Whether :first and :last stand for the keys of a batch, and are no mistake."""
    others = read_directives(file.text, verbs={"batch"}).others
    return file.kind in ("", "data") and any(each.verb == "batch" for each in others)


def _only_for_new_tables(scene: Scene, function: Function) -> bool:
    """Whether each constant that the function is given names a table of this very file: it works on that one."""
    for _, call in find(scene.statement.node, "FuncCall"):
        if name_of(strings(call.get("funcname"))) == function.name:
            given = [constant(each) for each in call.get("args", [])]
            return bool(given) and all(each and scene.schema.is_new(name_of(each.split("."))) for each in given)
    return False


def _place_of_body(scene: Scene) -> Callable[[int], int]:
    """Offsets of a DO block's body -> offsets of the file."""
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
