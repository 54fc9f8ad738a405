"""Everything that can go wrong on the stage, how often it usually does, and how one seed's weather is drawn. [P]"""

from __future__ import annotations

import random
from collections.abc import Mapping

Faults = Mapping[str, float]
"""How likely each kind is at each opportunity for it; a kind that is not there never strikes."""

# kind: (usual likelihood, what happens)
KINDS: Mapping[str, tuple[float, str]] = {
    # requests that change something
    "lost_request": (0.03, "a request never arrives and nobody says so"),
    "late_request": (0.03, "no reply, and the request arrives some seconds later"),
    "slow_request": (0.02, "a request takes about a second, and may arrive after its expiry"),
    "lost_reply": (0.05, "done, and the reply is lost"),
    "degraded_reply": (0.03, "done, and the reply is HTML, cut off, empty or contradicts itself"),
    "repeated_request": (0.03, "the network delivers a request twice; the second reply is the one that is read"),
    "refused": (0.04, "refused with any of the venue's words"),
    "refused_stop": (0.02, "a stop is refused, and nothing else"),
    "not_sent": (0.02, "no byte left"),
    "lost_cancel": (0.08, "the same for a cancel: lost before or after it was done"),
    "degraded_cancel": (0.03, "the reply to a cancel is degraded"),
    # reads
    "unreadable": (0.01, "a read fails"),
    "outage": (0.0008, "for seconds or minutes no request arrives"),
    "stale_positions": (0.01, "positions as they were at the last reading"),
    "empty_positions": (0.01, "no positions, although there are some"),
    "missing_position": (0.01, "one position is not listed"),
    "missing_order": (0.02, "one open order is not listed"),
    "empty_orders": (0.01, "no open orders, although there are some"),
    "stale_orders": (0.01, "open orders as they were at the last reading"),
    "hidden_order": (0.03, "an order that nothing shows for ten seconds of each minute"),
    "empty_fills": (0.02, "no fills, although there are some"),
    "cut_fills": (0.02, "only the newest fills, or only the oldest"),
    "mixed_fills": (0.2, "fills in any order"),
    "late_fill": (0.3, "a fill is told seconds or minutes late"),
    "repeated_fill": (0.1, "a fill is told twice in one list"),
    "nameless_fill": (0.3, "a fill does not carry our id"),
    "late_history": (0.2, "an order's end is told some seconds late"),
    "status_window": (0.2, "an order that ended is told for five seconds, then by its history only"),
    "missing_ticker": (0.01, "a symbol has no price in this reading"),
    "short_list": (0.05, "the list of contracts lacks one of ours"),
    "missing_candle": (0.03, "the newest candle is not there yet"),
    "mixed_candles": (0.1, "candles in any order, one of them twice"),
    "revised_candle": (0.03, "a closed candle says something else than before"),
    # the market, the venue and people
    "price_move": (0.05, "a price moves, often to where an order waits"),
    "price_gap": (0.001, "a price jumps over every stop"),
    "partial_fill": (0.3, "an order fills in parts"),
    "overfill": (0.03, "an order fills with more than it asked for"),
    "new_tick": (0.0004, "the venue changes a contract's tick size"),
    "hand_trade": (0.002, "a person trades at the web page"),
    "hand_cancel": (0.001, "a person cancels one of our orders there"),
    "hand_edit": (0.001, "a person changes size or price of one of our orders there"),
    "hand_halt": (0.03, "a person halts in the middle of a tick"),
    "hand_flatten": (0.004, "a person asks the worker to close one symbol or all, and may take that back"),
    # clocks
    "clock_step": (0.001, "our clock steps by less than the allowance"),
    "clock_leap": (0.0003, "our clock steps by seconds"),
    # the process, its lease and its database
    "crash": (0.01, "the process dies before or after something durable"),
    "stop": (0.005, "a clean stop"),
    "lease_loss": (0.0005, "the lease is lost, and the worker knows"),
    "pause": (0.0006, "the process stands still while a successor boots and trades, then it goes on"),
    "suspend": (0.0004, "the same, and its own lease clock stood still too"),
    "slow_commit": (0.02, "a commit takes seconds"),
    "failed_commit": (0.003, "a commit fails: nothing was written"),
    "lost_commit": (0.003, "a commit is done, and its reply is lost"),
}
ALWAYS = ("price_move",)  # without it nothing ever happens
REFUSALS = (
    *("invalidPrice", "invalidSize", "insufficientAvailableFunds", "tooManySmallOrders", "maxPositionViolation"),
    *("marketSuspended", "outsidePriceCollar", "wouldCauseLiquidation", "tooManyOrders", "fixedLeverageTooHigh"),
)


def usual() -> dict[str, float]:
    return {kind: share for kind, (share, _) in KINDS.items()}


def drawn(rng: random.Random) -> dict[str, float]:
    """Each seed has its own weather: some faults absent, some common."""
    scaled = {kind: share * rng.choice((0, 0, 0.5, 1, 1, 2, 4)) for kind, share in usual().items()}
    return {**scaled, **{kind: KINDS[kind][0] for kind in ALWAYS}}
