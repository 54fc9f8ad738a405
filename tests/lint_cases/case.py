"""One case of the linter's corpus, and the schemas that cases share."""

from __future__ import annotations

from dataclasses import dataclass

from prodsafe.migrations.lint.linter import Options, Report, SqlFile, lint


@dataclass(frozen=True)
class Case:
    """transaction: what --assume-transaction / --no-transaction say, None for neither."""

    sql: str
    setup: str = ""
    transaction: bool | None = None

    def __str__(self) -> str:
        return " ".join(self.sql.split())[:70]


def case(sql: str, setup: str = "", *, transaction: bool | None = None) -> Case:
    return Case(sql, setup, transaction)


def report(each: Case, *, name: str = "<stdin>", kind: str = "") -> Report:
    options = Options(assume_transaction=each.transaction)
    return lint([SqlFile(name, each.sql, kind)], setup=[each.setup] if each.setup else [], options=options)


def found(each: Case, *, name: str = "<stdin>", kind: str = "") -> list[str]:
    return [finding.category for finding in report(each, name=name, kind=kind).findings]


ORDERS = """
CREATE SCHEMA shop;
CREATE TYPE shop.state AS ENUM ('new', 'paid');
CREATE DOMAIN shop.amount AS numeric(12, 2) CHECK (value >= 0);
CREATE DOMAIN shop.plain AS text;
CREATE TABLE shop.customer (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email varchar(100) UNIQUE, name text);
CREATE TABLE shop."Order" (
    id bigint PRIMARY KEY, customer_id bigint, code varchar(20) NOT NULL, total numeric(10, 2), placed timestamp,
    net cidr, bits varbit(8), tax numeric(8, 2), state shop.state DEFAULT 'new', paid boolean DEFAULT false, note text,
    CONSTRAINT total_positive CHECK (total > 0), CONSTRAINT note_there CHECK (note IS NOT NULL) NOT VALID
);
CREATE INDEX order_code ON shop."Order" (code);
CREATE VIEW shop.paid AS SELECT id FROM shop."Order" WHERE paid;
CREATE MATERIALIZED VIEW shop.sums AS SELECT sum(total) AS total FROM shop."Order";
"""
EVENTS = """
CREATE TABLE event (id bigint, at timestamptz NOT NULL, kind text) PARTITION BY RANGE (at);
CREATE TABLE event_2023 PARTITION OF event FOR VALUES FROM ('2023-01-01') TO ('2024-01-01');
CREATE TABLE event_2024 (id bigint, at timestamptz NOT NULL, kind text);
CREATE INDEX event_at ON event (at);
"""
MAY_BE_NULL = EVENTS.replace("event_2024 (id bigint, at timestamptz NOT NULL", "event_2024 (id bigint, at timestamptz")
CHECKED_2024 = (
    EVENTS + "ALTER TABLE event_2024 ADD CONSTRAINT b CHECK (at >= '2024-01-01' AND at < '2025-01-01') NOT VALID;"
)
VALIDATED_2024 = CHECKED_2024 + "ALTER TABLE event_2024 VALIDATE CONSTRAINT b;"
ATTACH_2024 = "ALTER TABLE event ATTACH PARTITION event_2024 FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');"

Twins = dict[str, tuple[list[Case], list[Case]]]  # category -> its hazards, and what looks alike and is safe
