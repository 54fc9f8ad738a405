"""The one screen of `python -m live status`: who holds it, is it protected, halted, healthy; why; what next. [P]"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from live import flatten
from live.book import Book
from live.events import Decided, PersonAsked
from live.operators import describe, event_symbol, trace_dict
from live.position import OrderStatus, Phase, Position
from live.screens import Line, Tone, ago, count, lasting, money, near_time
from live.status import Halt, HaltCause, Status, as_dict, problems

if TYPE_CHECKING:
    from live.reader import Recorded
    from prodsafe.lease import LeaseRow

_DECISIONS_SHOWN = 8


class Verdict(StrEnum):
    """The first word of the screen. NO_WORKER: the last one ended without saying that it stopped."""

    HEALTHY = "healthy"
    HALTED = "halted"
    UNHEALTHY = "unhealthy"
    STARTING = "starting"
    DRAINING = "draining"
    STOPPED = "stopped"
    NO_WORKER = "no worker"
    NEVER_STARTED = "never started"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the database tells of one account at one moment; now: aware UTC.

    beating: somebody holds the lease and its last beat is young. decisions: the newest of each symbol.
    """

    account: str
    now: datetime
    status: Status | None
    halt: Halt
    lease: LeaseRow | None
    beating: bool
    book: Book
    flattens: Sequence[PersonAsked] = ()
    decisions: Sequence[Recorded] = ()

    @property
    def reasons(self) -> list[str]:
        """Why it is not healthy, each with its id; [] when it is."""
        return problems(self.status or Status(state="unknown", observed_at=self.now), self.now)

    @property
    def is_new(self) -> bool:
        """Whether the one who holds the lease has not reported yet: what is on record is its predecessor's."""
        return self.beating and (
            self.status is None or self.lease is None or self.status.epoch not in (None, self.lease.epoch)
        )

    @property
    def held(self) -> list[Position]:
        return [position for position in self.book.open_positions() if position.qty > 0]

    @property
    def unprotected(self) -> list[str]:
        """The worker's word while it is at work; beside its last one, what the journal tells, once it is not."""
        said = list(self.status.unprotected) if self.status else []
        if self.beating and not self.is_new:
            return said
        naked = [position.symbol for position in self.held if position.phase is Phase.OPEN]
        return [*said, *(symbol for symbol in naked if symbol not in said)]


def verdict_of(view: View) -> Verdict:
    if view.lease is None and view.status is None:
        return Verdict.NEVER_STARTED
    if not view.beating:
        return Verdict.STOPPED if view.status and view.status.state == "stopped" else Verdict.NO_WORKER
    if view.is_new or view.status is None or view.status.state in ("starting", "reconciling"):
        return Verdict.STARTING
    if view.status.state == "draining":
        return Verdict.DRAINING
    if view.reasons:
        return Verdict.UNHEALTHY
    return Verdict.HALTED if view.halt.halted else Verdict.HEALTHY


_TONES = {Verdict.HEALTHY: Tone.GOOD, Verdict.UNHEALTHY: Tone.BAD, Verdict.NO_WORKER: Tone.BAD}


def status_lines(view: View) -> list[Line]:
    """The answers, in the order in which a person on call asks."""
    verdict = verdict_of(view)
    return [
        Line(verdict.upper(), _headline(view, verdict), _TONES.get(verdict, Tone.WARN)),
        Line("account", view.account),
        Line("holder", _holder(view)),
        _protection(view),
        _halt(view),
        *_labelled("reason", view.reasons, Tone.WARN if verdict is Verdict.STOPPED else Tone.BAD),
        *_labelled("held back", _held_back(view), Tone.WARN),
        *_labelled("closing", _closing(view), Tone.WARN),
        *_labelled("finding", view.status.findings if view.status else (), Tone.WARN),
        Line("book", _book(view)),
        *_last_look(view),
        *_labelled("why", _decisions(view), Tone.PLAIN),
        *_labelled("next", _numbered(next_steps(view)), Tone.PLAIN),
    ]


def status_sentence(view: View) -> str:
    """The screen in one line: for a log that is appended to."""
    verdict = verdict_of(view)
    halted = f"halted by {view.halt.who}: {view.halt.reason}" if view.halt.halted else "not halted"
    did = view.status.last_action if view.status and view.beating else ""
    words = [verdict.upper(), *view.reasons, halted, _protection(view).text, _book(view), did]
    return "; ".join(filter(None, (" ".join(each.split()) for each in words)))


def status_json(view: View) -> dict[str, object]:
    halt = view.halt
    return {
        "scope": view.account,
        "verdict": verdict_of(view).value,
        "healthy": not view.reasons,
        "reasons": view.reasons,
        "worker_alive": view.beating,
        "unprotected": view.unprotected,
        "held_back": _held_back(view),
        "frozen": dict(view.book.frozen),
        "flattens": [_flatten_json(asked) for asked in view.flattens],
        "next": next_steps(view),
        "halt": {
            "halted": halt.halted,
            "reason": halt.reason,
            "who": halt.who,
            "at": halt.at.isoformat() if halt.at else None,
            "cause": halt.cause,
        },
        "lease": view.lease.as_dict() if view.lease else None,
        "status": as_dict(view.status) if view.status else None,
        "decisions": [trace_dict(row) for row in view.decisions],
    }


def _flatten_json(asked: PersonAsked) -> dict[str, object]:
    return {
        "request_id": asked.request_id,
        "symbol": asked.symbol,
        "reason": asked.reason,
        "who": asked.who,
        "at": asked.at.isoformat(),
    }


def _labelled(label: str, texts: Sequence[str], tone: Tone) -> Iterator[Line]:
    for n, text in enumerate(texts):
        yield Line("" if n else label, text, tone)


def _numbered(steps: Sequence[str]) -> Sequence[str]:
    return steps if len(steps) == 1 else [f"{n}. {step}" for n, step in enumerate(steps, 1)]


def _headline(view: View, verdict: Verdict) -> str:
    status, lease = view.status, view.lease
    match verdict:
        case Verdict.NEVER_STARTED:
            return "no worker has ever held this account"
        case Verdict.STOPPED:
            return f"cleanly, {ago(status.observed_at if status else None, view.now)}; nobody trades this account"
        case Verdict.NO_WORKER:
            heard = f"last heard of {ago(status.observed_at, view.now)}" if status else "it never reported"
            return f"the last one ended without saying that it stopped; {heard}"
        case Verdict.STARTING:
            since = ago(lease.acquired_at if lease else None, view.now)
            return f"it took the account {since} and looks before it trades"
        case Verdict.DRAINING:
            return "it was told to stop: no entries, orders in flight are resolved"
        case Verdict.HALTED:
            return "the worker is well and sends no entries; exits and stops stay"
        case Verdict.HEALTHY:
            return "entries held back" if _held_back(view) else "trading"
        case Verdict.UNHEALTHY:
            return count(len(view.reasons), "reason") + " below: each id has its section in RUNBOOK.md"


def _holder(view: View) -> str:
    lease = view.lease
    if lease is None:
        return "nobody, ever"
    beat = "no beat yet" if lease.beat_age_seconds is None else f"last beat {lasting(lease.beat_age_seconds)} ago"
    who = f"{lease.who}, host {lease.host}, pid {lease.pid}, epoch {lease.epoch}, version {lease.version}"
    if view.beating:
        return f"{who}; since {near_time(lease.acquired_at, view.now)}, {beat}"
    left = "gave it back" if lease.state == "released" else "never gave it back"
    return f"nobody; the last, {who}, {left}; {beat}"


def _protection(view: View) -> Line:
    if view.unprotected:
        return Line("protection", f"UNPROTECTED: {', '.join(view.unprotected)}", Tone.BAD)
    if not view.held:
        return Line("protection", "no position is held")
    leaving = sum(position.phase is Phase.EXITING for position in view.held)
    words = ["the position has its stop" if len(view.held) == 1 else f"all {len(view.held)} positions have their stops"]
    if leaving:
        words = [f"{leaving} of {count(len(view.held), 'position')} being closed at market, no other without its stop"]
    if view.status:
        words.append(f"longest naked time {view.status.naked_seconds_max:.2f} s")
    if not view.beating:
        words.append("as last recorded: nobody watches now")
    return Line("protection", "; ".join(words), Tone.GOOD if view.beating and not leaving else Tone.WARN)


def _halt(view: View) -> Line:
    halt = view.halt
    if not halt.halted:
        return Line("halt", "no")
    cause = f" ({halt.cause})" if halt.cause not in (None, HaltCause.PERSON) else ""
    return Line("halt", f"HALTED by {halt.who}{cause}, {ago(halt.at, view.now)}: {halt.reason}", Tone.WARN)


def _held_back(view: View) -> list[str]:
    """Why no entry is sent, or none on a symbol, although nobody halted."""
    degraded = [f"{words}: no entries" for words in (view.status.degraded if view.status and view.beating else ())]
    frozen = [f"{symbol} is frozen, no entries on it: {why}" for symbol, why in sorted(view.book.frozen.items())]
    return [*degraded, *frozen]


def _closing(view: View) -> list[str]:
    return [
        f"request {asked.request_id}: {flatten.describe(asked)}; left: "
        + ("; ".join(flatten.left(asked, view.book)) or "the venue's word that it is flat")
        for asked in view.flattens
    ]


def _book(view: View) -> str:
    working = view.book.working_orders()
    unknown = sum(order.status is OrderStatus.UNKNOWN for order in working)
    words = [count(len(view.held), "open position"), count(len(working), "working order")]
    if unknown:
        words.append(f"{unknown} of unknown fate")
    if view.status and view.status.equity_quote:
        words.append(f"equity {money(view.status.equity_quote)}")
    return ", ".join(words)


def _last_look(view: View) -> Iterator[Line]:
    status = view.status
    if status is None or view.is_new:
        return
    yield Line("last look", f"{ago(status.last_tick_at, view.now)}: {status.last_action or '-'}")
    if status.clock_offset_seconds is not None:
        ahead = "ahead of" if status.clock_offset_seconds >= 0 else "behind"
        yield Line("clock", f"the venue's is {abs(status.clock_offset_seconds):.3f} s {ahead} ours", Tone.QUIET)


def _decisions(view: View) -> list[str]:
    """The last decision of each symbol, what was taken first, then the newest."""
    decided = [(row, row.event) for row in view.decisions if isinstance(row.event, Decided)]
    decided.sort(key=lambda pair: (not pair[1].taken, -pair[1].closed_at.timestamp(), pair[1].symbol))
    widest = max((len(event.symbol) for _, event in decided), default=0)
    shown = [
        f"{event_symbol(row):<{widest}}  {near_time(event.closed_at, view.now)}  {describe(event)}"
        for row, event in decided[:_DECISIONS_SHOWN]
    ]
    left = len(decided) - len(shown)
    return [*shown, f"and {count(left, 'more symbol')}: python -m live trace --kind decided"] if left > 0 else shown


# --- what next --------------------------------------------------------------------------------------------------------


def next_steps(view: View) -> list[str]:
    """What a person should do, the most urgent first: a command, or a section of RUNBOOK.md."""
    verdict = verdict_of(view)
    steps = list(_steps(view, verdict))
    return steps or ["nothing; to watch it: python -m live status --watch"]


def _steps(view: View, verdict: Verdict) -> Iterator[str]:
    if view.unprotected:
        yield "python -m live positions, and the venue's own page: RUNBOOK.md, H15 position-unprotected"
    if verdict in (Verdict.NEVER_STARTED, Verdict.STOPPED, Verdict.NO_WORKER):
        yield from _start_again(view, verdict)
    elif verdict is Verdict.STARTING:
        yield "wait for it: python -m live status --watch"
    elif urgent := [reason for reason in view.reasons if not reason.startswith("H15 ")]:
        yield f"RUNBOOK.md, {urgent[0].split(':')[0]}"
    if any(order.status is OrderStatus.UNKNOWN for order in view.book.working_orders()):
        yield "an order's fate is unknown, the worker finds out: python -m live orders"
    if view.book.frozen:
        yield 'look at what froze it, then: python -m live thaw --reason "..."'
    if view.flattens and view.beating:
        yield 'a flatten goes on until it is flat; to forget it: python -m live flatten --withdraw --reason "..."'
    elif view.halt.halted and not view.flattens:
        yield 'python -m live trace --limit 20; once you have looked: python -m live resume --reason "..."'


def _start_again(view: View, verdict: Verdict) -> Iterator[str]:
    if verdict is Verdict.NO_WORKER:
        yield "its log's last lines say why it ended; its supervisor should have started another"
    section = "First deploy" if verdict is Verdict.NEVER_STARTED else "H10 worker-not-trading"
    yield f"if it should trade: python -m live.prod_live --check, then start it: RUNBOOK.md, {section}"
    if view.flattens:
        yield "nobody closes what was asked to be closed: start a worker, or flatten again with --take-lease"
