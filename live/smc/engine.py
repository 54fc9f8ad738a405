"""One streaming engine for live, warm-up and replay: a closed candle in, what became knowable and a decision out. [P]

No clock, no input or output, no rewriting: the same candles give the same observations, however often it was restarted.
Cost and memory per candle are bounded; floats stay in here, a signal leaves in Decimal, unrounded.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC
from decimal import Decimal
from functools import cache
from math import inf
from typing import Any, Self

from live.model import Candle, Side, Signal
from live.smc.bars import AverageRange, Bar, HigherBars, bar_number, bar_of, make, opening
from live.smc.events import Event, Kind, Observation, Scope
from live.smc.flank import Flank
from live.smc.levels import Calendar, Turn, periods_of
from live.smc.parameters import SmcParameters
from live.smc.pivots import Pivot
from live.smc.reasons import Code
from live.smc.signals import Choice, Plan, Stage, choose_zone, make_plan
from live.smc.snapshot import SnapshotRefused, seal, unseal
from live.smc.structure import NOTHING, Step, Structure
from live.smc.zones import ZoneChange, block_of


class Engine:
    """The strategy on one symbol.

    Feed closed candles, oldest first. A duplicate, revised, older, malformed or foreign candle is refused by value and
    changes nothing. Missing candles are an event: windows and unfinished setups start anew, trend and levels stay.
    """

    def __init__(self, parameters: SmcParameters, symbol: str) -> None:
        p = parameters
        self.parameters = p
        self.symbol = symbol
        self.last: Bar | None = None
        self._bars: deque[Bar] = deque(maxlen=2 * p.swing_bars + 1)  # since the last hole, as far as any window reaches
        self._range = AverageRange(p.atr_bars)
        self._higher_bars = HigherBars(p.htf_bars)
        self._higher = Structure(p.htf_swing_bars)
        self._internal = Structure(p.internal_bars)
        self._swing = Structure(p.swing_bars)
        self._periods = periods_of(p)
        self._calendar = Calendar(self._periods)
        self._up = Flank(1, p, periods=len(self._periods))
        self._down = Flank(-1, p, periods=len(self._periods))

    def on_candle(self, candle: Candle) -> Observation:
        """Take one closed candle. Raises nothing: what cannot be taken comes back as `refused`."""
        bar = self._read(candle)
        if isinstance(bar, Code):
            return Observation(candle.closed_at, (), None, (), bar, refused=bar.words)
        events: list[Event] = []
        mirror = bar.mirrored()
        if self.last is not None and bar.number != self.last.number + 1:
            self._bridge_gap(bar, events)
        self.last = bar
        self._bars.append(bar)
        displaced = 0.0 < self.parameters.displacement_atr * self._range.value <= bar.high - bar.low
        self._range.push(bar)
        self._follow_higher(bar, events)
        internal, swing = self._internal.push(bar, mirror), self._swing.push(bar, mirror)
        if internal is not NOTHING:
            self._tell_structure(internal, Scope.INTERNAL, bar, events)
        if swing is not NOTHING:
            self._tell_structure(swing, Scope.SWING, bar, events)
        if bar.opened_at >= self._calendar.due:
            self._turn_periods(bar, events)
        highs_swept = self._follow_liquidity(self._up, bar, swing.high, events)
        lows_swept = self._follow_liquidity(self._down, mirror, swing.low, events)
        self._follow_zones(bar, mirror, internal, events)
        signal, code, reasons = self._decide(bar, mirror, internal, displaced, lows_swept, highs_swept)
        return Observation(bar.closed_at, tuple(events), signal, reasons, code)

    # --- reading ---------------------------------------------------------------------------------------------------

    def _read(self, candle: Candle) -> Bar | Code:
        opened_at, timeframe = candle.opened_at, self.parameters.timeframe
        if candle.symbol != self.symbol or candle.timeframe != timeframe:
            return Code.FOREIGN
        if opened_at.tzinfo is not UTC:
            if opened_at.tzinfo is None:
                return Code.NAIVE
            opened_at = opened_at.astimezone(UTC)
        last = self.last
        try:
            due = last is not None and opened_at == last.closed_at
            number = last.number + 1 if last is not None and due else bar_number(opened_at, timeframe)
        except ValueError:
            return Code.OFF_GRID
        try:
            open_, high = float(candle.open), float(candle.high)
            low, close = float(candle.low), float(candle.close)
        except ValueError:  # a signalling NaN
            return Code.IMPOSSIBLE
        # NaN fails every comparison
        if not (0.0 < low <= open_ <= high < inf and low <= close <= high):
            return Code.IMPOSSIBLE
        bar = make(Bar, (number, opened_at, opened_at + timeframe, open_, high, low, close))
        if last is not None and number <= last.number:
            return Code.OLDER if number < last.number else Code.DUPLICATE if bar == last else Code.REVISED
        return bar

    def _bridge_gap(self, bar: Bar, events: list[Event]) -> None:
        """Candles are missing before this bar."""
        events.append(Event(Kind.GAP, Scope.INTERNAL, 0, bar.opened_at, bar.closed_at, 0.0, 0.0))
        self._bars.clear()
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
        self._tell_structure(self._higher.push(higher, higher.mirrored()), Scope.HIGHER, higher, events)

    def _tell_structure(self, step: Step, scope: Scope, bar: Bar, events: list[Event]) -> None:
        if step.broken is not None:
            kind = Kind.CHOCH if step.changed else Kind.BOS
            self._tell(events, kind, scope, step.broke, step.broken.number, bar, step.broken.level)
        if step.high is not None:
            self._tell(events, Kind.PIVOT, scope, 1, step.high.number, bar, step.high.level)
        if step.low is not None:
            self._tell(events, Kind.PIVOT, scope, -1, step.low.number, bar, step.low.level)

    def _turn_periods(self, bar: Bar, events: list[Event]) -> None:
        for turn in self._calendar.turns(bar.opened_at):
            self._turn_period(self._up, turn, bar, events)
            self._turn_period(self._down, turn, bar, events)

    def _turn_period(self, flank: Flank, turn: Turn, bar: Bar, events: list[Event]) -> None:
        """The high of a period that has ended rests from now on, in place of the one before it."""
        ended, forgotten = flank.levels.turn(turn)
        scope, direction = self._periods[turn.period].scope, flank.direction
        if forgotten is not None:
            self._tell(events, Kind.FORGOTTEN, scope, direction, forgotten.number, bar, forgotten.level)
        if ended is not None:
            self._tell(events, Kind.POOL, scope, direction, ended.number, bar, ended.level)

    def _follow_liquidity(self, flank: Flank, bar: Bar, pivot: Pivot | None, events: list[Event]) -> float | None:
        """Take what this bar traded beyond, then let its pivot rest. Returns the farthest swept level worth a setup."""
        direction, p, swept = flank.direction, self.parameters, -inf
        if bar.high > flank.pools.nearest:
            for pool, back in flank.pools.take(bar):
                kind = Kind.SWEEP if back else Kind.RUN
                self._tell(events, kind, Scope.SWING, direction, pool.number, bar, pool.level)
                if back and pool.touches >= p.pool_min_touches:
                    swept = pool.level
        if bar.high > flank.levels.nearest:
            for index, extreme, back in flank.levels.take(bar):
                kind, scope = Kind.SWEEP if back else Kind.RUN, self._periods[index].scope
                self._tell(events, kind, scope, direction, extreme.number, bar, extreme.level)
                if back:
                    swept = max(swept, extreme.level)
        if bar.high > flank.levels.least:
            flank.levels.track(bar)
        if pivot is not None:
            self._let_rest(flank, bar, pivot, events)
        return None if swept == -inf else swept

    def _let_rest(self, flank: Flank, bar: Bar, pivot: Pivot, events: list[Event]) -> None:
        pool, forgotten = flank.pools.add(pivot, self.parameters.pool_tolerance_atr * self._range.value)
        self._tell(events, Kind.POOL, Scope.SWING, flank.direction, pool.number, bar, pool.level)
        if forgotten is not None:
            level = forgotten.level
            self._tell(events, Kind.FORGOTTEN, Scope.SWING, flank.direction, forgotten.number, bar, level)

    def _follow_zones(self, bar: Bar, mirror: Bar, step: Step, events: list[Event]) -> None:
        average = self._range.value
        if changes := self._up.update_zones(bar, step, self.parameters, average):
            self._tell_zones(self._up, changes, bar, events)
        if changes := self._down.update_zones(mirror, step, self.parameters, average):
            self._tell_zones(self._down, changes, bar, events)
        if step.high is not None:
            self._up.block = block_of([each for each in self._bars if each.number > step.high.number])
        if step.low is not None:
            self._down.block = block_of([each.mirrored() for each in self._bars if each.number > step.low.number])

    def _tell_zones(self, flank: Flank, changes: list[ZoneChange], bar: Bar, events: list[Event]) -> None:
        direction, timeframe = flank.direction, self.parameters.timeframe
        for kind, (top, bottom, number) in changes:
            if direction < 0:
                top, bottom = -bottom, -top
            origin = opening(number, timeframe)
            events.append(make(Event, (kind, Scope.INTERNAL, direction, origin, bar.closed_at, bottom, top)))

    def _tell(
        self, events: list[Event], kind: Kind, scope: Scope, direction: int, number: int, bar: Bar, level: float
    ) -> None:
        """An event about one level, given as the direction sees it. number: of the candle it speaks about."""
        timeframe, price = bar.closed_at - bar.opened_at, level * direction
        origin = opening(number, timeframe)
        events.append(make(Event, (kind, scope, direction, origin, bar.closed_at, price, price)))

    # --- deciding ----------------------------------------------------------------------------------------------------

    def _decide(
        self, bar: Bar, mirror: Bar, step: Step, displaced: bool, lows: float | None, highs: float | None
    ) -> tuple[Signal | None, Code, tuple[str, ...]]:
        """Both setups go on; only the one along the higher timeframe's trend may become a signal."""
        up = self._advance(self._up, bar, step, displaced, lows)
        down = self._advance(self._down, mirror, step, displaced, highs)
        trend = self._higher.trend
        if trend == 0:
            return None, Code.NO_TREND, (Code.NO_TREND.words,)
        flank, own, missing = (self._up, bar, up) if trend > 0 else (self._down, mirror, down)
        if missing is None:
            outcome = self._plan(flank, own)
            if isinstance(outcome, Signal):
                flank.setup.drop()
                return outcome, Code.SIGNAL, ()
            missing = outcome
        return None, missing, _reasons(flank.name, missing)

    def _advance(self, flank: Flank, bar: Bar, step: Step, displaced: bool, swept: float | None) -> Code | None:
        if swept is not None:
            flank.setup.sweep(bar, -swept)
            return Code.JUST_SWEPT
        if flank.setup.stage is Stage.WAITING:
            return Code.NO_SWEEP
        changed = step.broke * flank.direction if step.changed else 0
        return flank.setup.follow(bar, self.parameters, changed=changed, displaced=displaced)

    def _plan(self, flank: Flank, bar: Bar) -> Signal | Code:
        p = self.parameters
        choice = choose_zone(flank.setup, bar, flank.gaps.untouched(), flank.blocks.untouched(), p)
        if isinstance(choice, Code):
            return choice
        dealt = self._higher.dealing_range()
        plan = make_plan(
            choice.entry,
            flank.setup,
            bar,
            flank.liquidity(),
            p,
            average_range=self._range.value,
            dealing_range=(-dealt[1], -dealt[0]) if dealt and flank.direction < 0 else dealt,
        )
        return plan if isinstance(plan, Code) else self._signal(flank, bar, choice, plan)

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

    # --- remembering -------------------------------------------------------------------------------------------------

    def snapshot(self) -> str:
        """All that it remembers, as canonical JSON: an engine made of it goes on as if this one had never stopped."""
        higher = self._higher
        state = {
            "bars": [bar.row() for bar in self._bars],
            "ranges": self._range.state(),
            "higher_bar": self._higher_bars.state(),
            "higher": [higher.state(), higher.highs.highs, higher.lows.highs],
            "internal": self._internal.state(),
            "swing": self._swing.state(),
            "up": self._up.state(),
            "down": self._down.state(),
        }
        return seal(state, self.parameters, self.symbol)

    @classmethod
    def from_snapshot(cls, text: str, parameters: SmcParameters, symbol: str) -> Self:
        """Raises SnapshotRefused for what another engine said, or what is not as it was said."""
        engine = cls(parameters, symbol)
        state = unseal(text, parameters, symbol)
        try:
            engine._restore(state)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise SnapshotRefused(f"the snapshot's state does not fit: {error!r}") from None
        return engine

    def _restore(self, state: dict[str, Any]) -> None:
        timeframe = self.parameters.timeframe
        bars = [bar_of(row, timeframe) for row in state["bars"]]
        if not bars:
            return  # it had seen no candle
        mirrors = [bar.mirrored() for bar in bars]
        windows = {"highs": [bar.high for bar in bars], "lows": [mirror.high for mirror in mirrors]}
        higher, higher_highs, higher_lows = state["higher"]
        self.last = bars[-1]
        self._bars.extend(bars)
        self._range.restore(state["ranges"], bars[-1])
        self._calendar.restore(bars[-1])
        self._higher_bars.restore(state["higher_bar"], timeframe)
        self._higher.restore(higher, highs=higher_highs, lows=higher_lows)
        self._internal.restore(state["internal"], **windows)
        self._swing.restore(state["swing"], **windows)
        self._up.restore(state["up"], bars)
        self._down.restore(state["down"], mirrors)


@cache
def _reasons(side: str, missing: Code) -> tuple[str, str]:
    """What the side along the trend lacks, and that the other one goes against it."""
    against = (
        "short: the higher timeframe trend is up" if side == "long" else "long: the higher timeframe trend is down"
    )
    return f"{side}: {missing.words}", against


def _decimal(price: float) -> Decimal:
    return Decimal(repr(price))
