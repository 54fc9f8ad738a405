"""The session that a file runs in: its transaction, its settings, and what a ROLLBACK takes back. [P]"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

from prodsafe.migrations.lint import rules_server
from prodsafe.migrations.lint.nodes import name_of, shown, strings, table_of
from prodsafe.migrations.lint.parser import Statement
from prodsafe.migrations.lint.scene import Hazard, Hazards, Held, Scene, Settings, Transaction
from prodsafe.migrations.lint.schema import Schema
from prodsafe.migrations.lint.transactions import Lock, milliseconds, settings_of

_UTC = ("UTC", "ETC/UTC", "GMT", "0")


class Session:
    """The schema is the folder's and changes in place; wrapped: one transaction of the runner's goes round the file."""

    def __init__(self, schema: Schema, statements: Sequence[Statement], *, wrapped: bool) -> None:
        self.schema = schema
        self.transaction = Transaction(is_open=wrapped, ours=wrapped)
        self.settings = Settings()
        self._before_local = Settings()
        self._rolls_back = any(_control(each) in ("ROLLBACK", "ROLLBACK_TO") for each in statements)
        self._saved: dict[str, Schema] = {}  # by savepoint, "" for the beginning of the transaction

    def control(self, statement: Statement) -> Hazards:
        """BEGIN, COMMIT and the like."""
        match _control(statement):
            case "BEGIN" | "START":
                yield from self._begin(statement)
            case "COMMIT" | "ROLLBACK" | "PREPARE" as kind:
                yield from self._end(statement, kind)
            case "SAVEPOINT":
                self._save(statement.node.get("savepoint_name", ""))
            case "ROLLBACK_TO":
                self._restore(statement.node.get("savepoint_name", ""))

    def after_statement(self) -> None:
        if not self.transaction.is_open:
            self.transaction = Transaction()

    def at_end(self) -> Hazards:
        if self.transaction.is_open and not self.transaction.ours:
            yield Hazard(
                "uncommitted-transaction",
                self.transaction.began_at,
                "BEGIN without COMMIT or ROLLBACK: the transaction keeps its locks until the connection ends,"
                " and then everything since is undone.",
                "-- at the end of the file: COMMIT; or no BEGIN at all: the runner opens and ends the transaction",
            )

    def remember(self, scene: Scene, locks: Sequence[Lock]) -> Hazards:
        """What the rest of the transaction and of the file is to know of a statement."""
        now = self.transaction
        for table, level, text in locks:
            if table not in now.held or now.held[table].level < level:
                now.held[table] = Held(level, text, scene.offset())
        self._remember_names(scene.statement)
        for name, value, local in settings_of(scene.statement):
            self._set(name, value, local=local and not scene.in_body)
            if name == "session_replication_role" and scene.statement.kind == "SelectStmt":
                yield from rules_server.replication_role(scene, value or "")

    def _remember_names(self, statement: Statement) -> None:
        now, node = self.transaction, statement.node
        if statement.kind in ("CreateEnumStmt", "CompositeTypeStmt"):
            now.made_types.add(name_of(strings(node.get("typeName"))))
        if statement.kind == "AlterEnumStmt" and "oldVal" not in node:
            parts = strings(node.get("typeName"))
            if name_of(parts) not in now.made_types:
                now.enum_values[node.get("newVal", "")] = shown(parts)
        if node.get("renameType") == "OBJECT_TABCONSTRAINT":
            table = table_of(node.get("relation", {}))
            if (table, node.get("subname")) in now.unchecked:
                now.unchecked.add((table, node.get("newname", "")))

    def _set(self, name: str, value: str | None, *, local: bool) -> None:
        if local and not self.transaction.is_open:  # PostgreSQL warns and changes nothing
            self.settings.no_effect = self.settings.no_effect or name == "lock_timeout"
            return
        known = milliseconds(value) if value is not None else 0
        match name:
            case "lock_timeout":
                self.settings.lock_timeout_ms = known
            case "statement_timeout":
                self.settings.statement_timeout_ms = known
            case "search_path":
                self.schema.search_path = (value or "").split(",")[0].strip().strip('"')
            case "timezone" | "time zone":
                self.settings.utc = (value or "").upper() in _UTC

    def _begin(self, statement: Statement) -> Hazards:
        now = self.transaction
        if now.is_open:
            whose = "the runner's transaction round this file" if now.ours else "a transaction that is open already"
            yield _nesting(
                statement, f"BEGIN inside {whose}: PostgreSQL only warns, and the next COMMIT ends the outer one."
            )
        else:
            self.transaction = Transaction(is_open=True, began_at=statement.start)
            self._before_local = replace(self.settings)
            self._save("")

    def _end(self, statement: Statement, kind: str) -> Hazards:
        now = self.transaction
        if now.ours:
            yield _nesting(
                statement,
                f"{kind} ends the runner's transaction round this file: what follows runs outside of it, and"
                " the file's row in the ledger no longer stands or falls with its work.",
            )
        elif not now.is_open:
            yield _nesting(statement, f"{kind} without BEGIN: there is no transaction to end.")
        if kind == "ROLLBACK" and not now.ours:
            self._restore("")
        again = bool(statement.node.get("chain"))
        self.transaction = Transaction(is_open=again or now.ours, ours=now.ours, began_at=statement.start)
        self.settings = self._before_local if now.is_open and not now.ours else self.settings

    def _save(self, savepoint: str) -> None:
        if self._rolls_back:  # else nobody will ask for it
            self._saved[savepoint] = copy.deepcopy(self.schema)

    def _restore(self, savepoint: str) -> None:
        if savepoint in self._saved:
            self.schema.become(copy.deepcopy(self._saved[savepoint]))


def _control(statement: Statement) -> str:
    """BEGIN, COMMIT, ...; "" for a statement that is no transaction control."""
    kind: str = statement.node.get("kind", "") if statement.kind == "TransactionStmt" else ""
    return kind.removeprefix("TRANS_STMT_")


def begins_a_transaction(statement: Statement) -> bool:
    return _control(statement) in ("BEGIN", "START")


def _nesting(statement: Statement, message: str) -> Hazard:
    mend = "-- remove it: the runner opens and ends the transaction"
    return Hazard("transaction-nesting", statement.start, message, mend)
