"""One streaming engine for live, warm-up and replay: a closed candle in, what became knowable and a decision out. [P]

No clock, no input or output, no rewriting: the same candles give the same observations, however often it was restarted.
Cost and memory per candle are bounded; floats stay in here, a signal leaves in Decimal, unrounded.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from math import inf

from live.model import Candle, Side, Signal
from live.smc.bars import AverageRange, Bar, HigherBars, bar_number
from live.smc.events import Event, Kind, Observation, Scope
from live.smc.flank import Flank
from live.smc.liquidity import Pool
from live.smc.parameters import SmcParameters
from live.smc.pivots import Peaks, Pivot
from live.smc.signals import Choice, Plan, choose_zone, make_plan
from live.smc.structure import NOTHING, Step, Structure

NO_TREND = "the higher timeframe has no trend yet"


class Engine:
    """The strategy on one symbol.

    Feed closed candles, oldest first. A duplicate, older, malformed or foreign candle is refused by value and changes
    nothing. Missing candles are an event: windows and unfinished setups start anew, trend and levels stay.
    """

    def __init__(self, parameters: SmcParameters, symbol: str) -> None:
        p = parameters
        self.parameters = p
        self.symbol = symbol
        self._last_number: int | None = None
        self._due_at: datetime | None = None
        self._range = AverageRange(p.atr_bars)
        self._higher_bars = HigherBars(p.htf_bars)
        self._higher = Structure(p.htf_swing_bars)
        self._internal = Structure(p.internal_bars)
        self._swing = Structure(p.swing_bars)
        self._up = Flank(1, p)
        self._down = Flank(-1, p)

    def on_candle(self, candle: Candle) -> Observation:
        """Take one closed candle. Raises nothing: what cannot be taken comes back as `refused`."""
        bar = self._read(candle)
        if isinstance(bar, str):
            return Observation(candle.closed_at, (), None, (), refused=bar)
        events: list[Event] = []
        mirror = bar.mirrored()
        if self._due_at is not None and bar.opened_at != self._due_at:
            self._bridge_gap(bar, events)
        self._last_number, self._due_at = bar.number, bar.closed_at
        displaced = 0.0 < self.parameters.displacement_atr * self._range.value <= bar.high - bar.low
        self._range.push(bar)
        self._follow_higher(bar, events)
        internal = self._follow_structure(self._internal, Scope.INTERNAL, bar, mirror, events)
        swing = self._follow_structure(self._swing, Scope.SWING, bar, mirror, events)
        highs_swept = self._follow_liquidity(self._up, bar, swing.high, events)
        lows_swept = self._follow_liquidity(self._down, mirror, swing.low, events)
        self._follow_zones(self._up, bar, internal, self._internal.highs, events)
        self._follow_zones(self._down, mirror, internal, self._internal.lows, events)
        signal, reasons = self._decide(bar, mirror, internal, displaced, lows_swept, highs_swept)
        return Observation(bar.closed_at, tuple(events), signal, reasons)

    # --- reading ---------------------------------------------------------------------------------------------------

    def _read(self, candle: Candle) -> Bar | str:
        opened_at, timeframe = candle.opened_at, self.parameters.timeframe
        if candle.symbol != self.symbol or candle.timeframe != timeframe:
            return f"not a candle of {self.symbol} {timeframe}"
        if opened_at.tzinfo is None:
            return "naive time"
        last = self._last_number
        try:
            number = last + 1 if last is not None and opened_at == self._due_at else bar_number(opened_at, timeframe)
            open_, high = float(candle.open), float(candle.high)
            low, close = float(candle.low), float(candle.close)
        except ValueError as error:
            return str(error)
        # NaN fails every comparison
        if not (0.0 < low <= open_ <= high < inf and low <= close <= high):
            return "prices are not positive numbers with open and close between low and high"
        if last is not None and number <= last:
            return "duplicate" if number == last else "older than the last candle"
        return Bar(number, opened_at, opened_at + timeframe, open_, high, low, close)

    def _bridge_gap(self, bar: Bar, events: list[Event]) -> None:
        """Candles are missing before this bar."""
        events.append(Event(Kind.GAP, Scope.INTERNAL, 0, bar.opened_at, bar.closed_at, 0.0, 0.0))
        self._internal.clear_windows()
        self._swing.clear_windows()
        self._up.clear_windows()
        self._down.clear_windows()

    # --- following ---------------------------------------------------------------------------------------------------

    def _follow_higher(self, bar: Bar, events: list[Event]) -> None:
        """The same structure on higher-timeframe candles, each used at its own close and never before."""
        last = self._higher_bars.last_number
        higher = self._higher_bars.push(bar)
        if higher is None:
            return
        if last is not None and higher.number != last + 1:
            self._higher.clear_windows()
        self._follow_structure(self._higher, Scope.HIGHER, higher, higher.mirrored(), events)

    def _follow_structure(self, structure: Structure, scope: Scope, bar: Bar, mirror: Bar, events: list[Event]) -> Step:
        step = structure.push(bar, mirror)
        if step is NOTHING:
            return step
        if step.broken is not None:
            kind = Kind.CHOCH if step.changed else Kind.BOS
            events.append(_level(kind, scope, step.broke, step.broken.origin, bar, step.broken.level * step.broke))
        if step.high is not None:
            events.append(_level(Kind.PIVOT, scope, 1, step.high.origin, bar, step.high.level))
        if step.low is not None:
            events.append(_level(Kind.PIVOT, scope, -1, step.low.origin, bar, -step.low.level))
        return step

    def _follow_liquidity(self, flank: Flank, bar: Bar, pivot: Pivot | None, events: list[Event]) -> Pool | None:
        """Take what this bar traded beyond, then let its pivot rest. Returns the pool worth a setup that was swept."""
        direction, p = flank.direction, self.parameters
        swept: Pool | None = None
        for taken in flank.pools.take(bar):
            kind = Kind.SWEEP if taken.swept else Kind.RUN
            events.append(_level(kind, Scope.SWING, direction, taken.pool.origin, bar, taken.pool.level * direction))
            if taken.swept and taken.pool.touches >= p.pool_min_touches:
                swept = taken.pool
        if pivot is not None:
            pool, forgotten = flank.pools.add(pivot, p.pool_tolerance_atr * self._range.value)
            events.append(_level(Kind.POOL, Scope.SWING, direction, pool.origin, bar, pool.level * direction))
            if forgotten is not None:
                level = forgotten.level * direction
                events.append(_level(Kind.FORGOTTEN, Scope.SWING, direction, forgotten.origin, bar, level))
        return swept

    def _follow_zones(self, flank: Flank, bar: Bar, step: Step, peaks: Peaks, events: list[Event]) -> None:
        for kind, zone in flank.update_zones(bar, step, peaks, self.parameters, self._range.value):
            bottom, top = (zone.bottom, zone.top) if flank.direction > 0 else (-zone.top, -zone.bottom)
            events.append(Event(kind, Scope.INTERNAL, flank.direction, zone.origin, bar.closed_at, bottom, top))

    # --- deciding ----------------------------------------------------------------------------------------------------

    def _decide(
        self, bar: Bar, mirror: Bar, step: Step, displaced: bool, lows: Pool | None, highs: Pool | None
    ) -> tuple[Signal | None, tuple[str, ...]]:
        """Both setups go on; only the one along the higher timeframe's trend may become a signal."""
        up = self._advance(self._up, bar, step, displaced, lows)
        down = self._advance(self._down, mirror, step, displaced, highs)
        trend = self._higher.trend
        if trend == 0:
            return None, (NO_TREND,)
        flank, own, reason = (self._up, bar, up) if trend > 0 else (self._down, mirror, down)
        against = "short: the higher timeframe trend is up" if trend > 0 else "long: the higher timeframe trend is down"
        if reason is None:
            outcome = self._plan(flank, own)
            if isinstance(outcome, Signal):
                flank.setup.drop()
                return outcome, ()
            reason = outcome
        return None, (f"{flank.name}: {reason}", against)

    def _advance(self, flank: Flank, bar: Bar, step: Step, displaced: bool, swept: Pool | None) -> str | None:
        if swept is not None:
            flank.setup.sweep(bar, -swept.level)
            return "liquidity has just been swept"
        changed = step.broke * flank.direction if step.changed else 0
        return flank.setup.follow(bar, self.parameters, changed=changed, displaced=displaced)

    def _plan(self, flank: Flank, bar: Bar) -> Signal | str:
        p = self.parameters
        choice = choose_zone(flank.setup, bar, flank.gaps.untouched, flank.blocks.untouched, p)
        if isinstance(choice, str):
            return choice
        middle = self._higher.equilibrium()
        plan = make_plan(
            choice.entry,
            flank.setup,
            bar,
            flank.pools.standing,
            p,
            average_range=self._range.value,
            equilibrium=None if middle is None else middle * flank.direction,
        )
        return plan if isinstance(plan, str) else self._signal(flank, bar, choice, plan)

    def _signal(self, flank: Flank, bar: Bar, choice: Choice, plan: Plan) -> Signal:
        long, sign = flank.direction > 0, flank.direction
        bottom, top = (choice.zone.bottom, choice.zone.top) if long else (-choice.zone.top, -choice.zone.bottom)
        return Signal(
            symbol=self.symbol,
            side=Side.LONG if long else Side.SHORT,
            entry_price=_decimal(plan.entry * sign),
            stop_price=_decimal(plan.stop * sign),
            targets=tuple(_decimal(target * sign) for target in plan.targets),
            known_at=bar.closed_at,
            expires_at=bar.closed_at + self.parameters.expiry_bars * self.parameters.timeframe,
            reasons=(
                f"the higher timeframe trend is {'up' if long else 'down'}",
                f"liquidity {'below' if long else 'above'} {flank.setup.swept_level * sign:.10g} was swept",
                "change of character with displacement",
                f"{'fair value gap' if choice.is_gap else 'order block'} {bottom:.10g} to {top:.10g} "
                "in the optimal entry zone",
                f"entry in the higher timeframe's {'discount' if long else 'premium'}",
            ),
        )


def _level(kind: Kind, scope: Scope, direction: int, origin: datetime, bar: Bar, level: float) -> Event:
    return Event(kind, scope, direction, origin, bar.closed_at, level, level)


def _decimal(price: float) -> Decimal:
    return Decimal(repr(price))
