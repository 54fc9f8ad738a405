"""The judge of one history: nine clauses, each of which some mutation of the product breaks. [P]

It believes the venue's ledger and the databases' rows; a worker's diary only says what that worker believed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate

from prodsafe.errors import ExitCode
from tests.chaos.history import History, Said, Strike

SLACK_SECONDS = 0.5  # for a process to be scheduled on a machine that runs several schedules at once
RETRY_SECONDS = 0.5  # of a standby
CLEAN_TAKEOVER_SECONDS = 1.0
CLOCK_SECONDS = (
    0.02  # the venue's clock counts from its start; the one of all others may be set by milliseconds meanwhile
)
END_SECONDS = 5.0  # from the loss to the end of the process, an alert hook and a dead connection's time-outs included
AT_ONCE_SECONDS = 0.05  # what a clean loss is compared with, beside its bound

CLAUSES = {
    "C1": "orders accepted at the venue never go back in epoch",
    "C2": "an epoch of a scope has one holder, over all databases and rows",
    "C3": "no intent of an older epoch that the successor's reconcile read had not seen",
    "C4": "a loss is noticed within the lease length, and the process ends",
    "C5": "a successor holds the lease within the bound",
    "C6": "every accepted order has its intent, of the same epoch, written before it arrived",
    "C7": "nobody believes in an older epoch after a permission of a newer one",
    "C8": "nothing begun after the own loss arrives, and nothing is accepted once a successor holds the lease",
    "C9": "exit codes are those of the contract, and somebody holds the lease at the end",
}
NOT_PROMISED = frozenset({"C1", "C7", "C8"})  # under asynchronous failover (docs/fault-record.md)
MAY_END_WITH = frozenset({ExitCode.OK, ExitCode.LEASE_HELD, ExitCode.LEASE_LOST, ExitCode.UNREADABLE})


@dataclass(frozen=True, slots=True)
class Finding:
    clause: str
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """violations: of what is promised; not_promised: overlaps that the design says it cannot prevent."""

    violations: tuple[Finding, ...]
    not_promised: tuple[Finding, ...]


def judge(history: History) -> Verdict:
    found = [finding for check in CHECKS for finding in check(history)]
    excused = [finding for finding in found if not history.promised and finding.clause in NOT_PROMISED]
    return Verdict(tuple(finding for finding in found if finding not in excused), tuple(excused))


def epochs_in_order(history: History) -> Iterator[Finding]:
    highest = 0
    for arrival in sorted(history.arrivals, key=lambda each: each.at):
        if arrival.accepted and arrival.epoch < highest:
            yield Finding("C1", f"{arrival.cid} of epoch {arrival.epoch} accepted at {arrival.at:.3f}, after {highest}")
        if arrival.accepted:
            highest = max(highest, arrival.epoch)


def one_holder_per_epoch(history: History) -> Iterator[Finding]:
    holders: dict[tuple[str, int], set[str]] = defaultdict(set)
    for change in history.changes:
        holders[change.scope, change.epoch].add(change.holder)
    for row in history.written:
        holders[row.scope, row.epoch].add(row.holder)
    for (scope, epoch), found in sorted(holders.items()):
        if len(found) > 1:
            yield Finding("C2", f"epoch {epoch} of {scope} has {len(found)} holders: {', '.join(sorted(found))}")


def nothing_after_the_read(history: History) -> Iterator[Finding]:
    intents: dict[str, Counter[int]] = defaultdict(Counter)
    for row in history.written:
        if row.kind == "order_intended" and row.scope == history.scope:
            intents[row.database][row.epoch] += 1
    for read in history.of_kind("read"):
        for epoch, count in sorted(intents["primary" if read.timeline == 1 else "standby"].items()):
            seen = read.seen.get(str(epoch), 0)
            if epoch < read.epoch and seen < count:
                yield Finding(
                    "C3",
                    f"{read.worker} read {seen} intents of epoch {epoch} at {read.at:.3f}; at last there were {count}",
                )


def losses_noticed(history: History) -> Iterator[Finding]:
    bound = detection_bound(history)
    for strike in history.strikes:
        if strike.detect_from is None:
            continue
        noticed = noticed_at(history, strike)
        if is_disturbed(history, strike, noticed):
            continue
        if noticed is None or noticed - strike.detect_from > bound:
            after = "never" if noticed is None else f"{noticed - strike.detect_from:.2f} s"
            yield Finding("C4", f"{strike.kind}: {strike.victim} noticed after {after}, bound {bound:.2f} s")
            continue
        end = next((each.at for each in history.ended if each.worker == strike.victim), None)
        if end is None or end - noticed > END_SECONDS:
            after = "never" if end is None else f"{end - noticed:.2f} s later"
            yield Finding("C4", f"{strike.kind}: {strike.victim} ended {after}, bound {END_SECONDS:.2f} s")


def detection_bound(history: History) -> float:
    return history.lease_timing.length_seconds + SLACK_SECONDS


def noticed_at(history: History, strike: Strike) -> float | None:
    """The first moment from which the victim knew: its lease said no, or the process was over."""
    assert strike.detect_from is not None
    signs = [
        line.at for line in history.said if line.worker == strike.victim and line.kind in ("doubt", "lost", "denied")
    ]
    signs += [each.at for each in history.ended if each.worker == strike.victim]
    return min((at for at in signs if at >= strike.at), default=None)


def takeovers_in_time(history: History) -> Iterator[Finding]:
    for strike in history.strikes:
        if strike.takeover_from is None:
            continue
        successor = successor_of(history, strike)
        if is_disturbed(history, strike, successor.at if successor else None):
            continue
        bound = takeover_bound(history, strike)
        if successor is None or successor.at - strike.takeover_from > bound:
            after = "never" if successor is None else f"after {successor.at - strike.takeover_from:.2f} s"
            yield Finding(
                "C5", f"{strike.kind}: a successor of epoch {strike.victim_epoch} {after}, bound {bound:.2f} s"
            )


def takeover_bound(history: History, strike: Strike) -> float:
    """Idle session, a standby's retry and the grace; after a clean release none of them but the retry."""
    if strike.clean:
        return CLEAN_TAKEOVER_SECONDS + SLACK_SECONDS
    timing = history.lease_timing
    return timing.idle_session_seconds + RETRY_SECONDS + timing.grace_seconds + SLACK_SECONDS


def successor_of(history: History, strike: Strike) -> Said | None:
    """The first to hold a newer epoch than the victim's after the strike."""
    held = history.of_kind("held")
    return next((line for line in held if line.epoch > strike.victim_epoch and line.at >= strike.at), None)


def is_disturbed(history: History, strike: Strike, until: float | None) -> bool:
    """Whether another fault was at work between the strike and what it led to (None: up to the end of the schedule):
    then it is the other one's time that counts."""
    end = max((each.at for each in history.ended), default=strike.until) if until is None else until
    return any(other is not strike and other.at < end and other.until > strike.at for other in history.strikes)


def written_before_sent(history: History) -> Iterator[Finding]:
    intents = {(row.cid, row.epoch): row.at for row in reversed(history.written) if row.kind == "order_intended"}
    for arrival in history.arrivals:
        written = intents.get((arrival.cid, arrival.epoch))
        if arrival.accepted and (written is None or written > arrival.at + CLOCK_SECONDS):
            when = "never" if written is None else f"only at {written:.3f}"
            yield Finding("C6", f"{arrival.cid} accepted at {arrival.at:.3f}, its intent was written {when}")


def beliefs_in_order(history: History) -> Iterator[Finding]:
    """A permission counts from when it was asked for where it might come too late, and from when it was given before
    that: a process may be frozen between the two."""
    granted = history.of_kind("belief", "permit")
    times = [line.at for line in granted]
    highest = list(accumulate((line.epoch for line in granted), max))
    late: dict[str, tuple[int, Said, int]] = {}
    for line in granted:
        before = bisect_right(times, line.asked)
        newest = highest[before - 1] if before else 0
        if line.epoch < newest:
            count = late.get(line.worker, (0, line, newest))[0]
            late[line.worker] = (count + 1, late.get(line.worker, (0, line, newest))[1], newest)
    for worker, (count, first, newest) in sorted(late.items()):
        yield Finding(
            "C7", f"{worker} of epoch {first.epoch} {count} times after epoch {newest}, first at {first.asked:.3f}"
        )


def losses_obeyed(history: History) -> Iterator[Finding]:
    lost = {line.worker: line.at for line in reversed(history.of_kind("lost"))}
    begun = {line.cid: line for line in history.of_kind("intended")}
    held = history.of_kind("held")
    for arrival in history.arrivals:
        begin = begun.get(arrival.cid)
        if begin is not None and begin.at > lost.get(begin.worker, begin.at):
            yield Finding(
                "C8", f"{arrival.cid} arrived at {arrival.at:.3f}, begun after {begin.worker} had lost its lease"
            )
        newer = next((line for line in held if line.epoch > arrival.epoch), None)
        if arrival.accepted and newer is not None and arrival.at > newer.at + CLOCK_SECONDS:
            yield Finding(
                "C8",
                f"{arrival.cid} accepted at {arrival.at:.3f}, though {newer.worker} holds since {newer.at:.3f}",
            )


def ends_well(history: History) -> Iterator[Finding]:
    for end in history.ended:
        if end.pooled and end.code != ExitCode.REFUSED:
            yield Finding("C9", f"{end.worker} behind a pooler ended with {end.code}, not {ExitCode.REFUSED:d}")
        elif not end.pooled and end.code not in MAY_END_WITH and not (end.killed and end.code < 0):
            yield Finding("C9", f"{end.worker} ended with {end.code}")
    pooled = {end.worker for end in history.ended if end.pooled}
    for line in history.of_kind("held", "permit"):
        if line.worker in pooled:
            yield Finding("C9", f"{line.worker} got a {line.kind} line through a pooler")
    if not history.settled:
        yield Finding("C9", "nobody held the lease at the end of the schedule")


CHECKS: tuple[Callable[[History], Iterator[Finding]], ...] = (
    epochs_in_order,
    one_holder_per_epoch,
    nothing_after_the_read,
    losses_noticed,
    takeovers_in_time,
    written_before_sent,
    beliefs_in_order,
    losses_obeyed,
    ends_well,
)


@dataclass(frozen=True, slots=True)
class Figure:
    """What one strike took, in seconds; None where it was not due, was disturbed by another fault, or never came."""

    kind: str
    detection: float | None
    takeover: float | None
    takeover_bound: float | None


def figures(history: History) -> list[Figure]:
    return [_figure(history, strike) for strike in history.strikes]


def _figure(history: History, strike: Strike) -> Figure:
    detection = takeover = bound = None
    if strike.detect_from is not None:
        noticed = noticed_at(history, strike)
        if noticed is not None and not is_disturbed(history, strike, noticed):
            detection = max(0.0, noticed - strike.detect_from)
    if strike.takeover_from is not None:
        bound = takeover_bound(history, strike)
        successor = successor_of(history, strike)
        if successor is not None and not is_disturbed(history, strike, successor.at):
            takeover = successor.at - strike.takeover_from
    return Figure(strike.kind, detection, takeover, bound)


def unexplained_losses(history: History) -> list[Said]:
    """Leases lost while no fault was at work: safe, but a cost of a busy machine that must be told."""
    reach = history.lease_timing.length_seconds + SLACK_SECONDS
    return [
        line
        for line in history.of_kind("lost")
        if not any(strike.at <= line.at <= strike.until + reach for strike in history.strikes)
    ]
