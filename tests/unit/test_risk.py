"""Sizing and limits: what is approved, what is denied and why, and when the worker halts."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.book import Book, fold
from live.events import EquityObserved, Event, IntentApproved, SymbolFrozen
from live.model import Account, Denied, Instrument, Intent, Leg, MarginLevel, Side
from live.risk import adopted_stop, breaches, size, split_targets
from live.risk.proposal import Proposal
from live.risk.sizing import caps
from live.settings import Settings
from tests.builders import (
    BTC,
    T0,
    account,
    approved,
    at,
    d,
    equity,
    filled,
    instrument,
    intended,
    live,
    signal,
    spec,
    ticker,
)

SETTINGS = Settings()


def sized(*events: Event, settings: Settings = SETTINGS, **given_instead: object) -> Intent | Denied:
    arguments: dict[str, object] = {
        "signal": signal(),
        "position_id": "ps-abc-1-1",
        "instrument": instrument(),
        "ticker": ticker(),
        "account": account(),
        "book": fold(events or [equity()]),
        "settings": settings,
        "now": at(1),
        **given_instead,
    }
    return size(arguments.pop("signal"), **arguments)  # type: ignore[arg-type]


def test_size_loses_the_set_share_of_equity_at_the_stop() -> None:
    """0.5 % of 10,000 over a distance of 10, fees of 0.5 + 0.495 and slippage of 0.396."""
    intent = sized()

    assert isinstance(intent, Intent)
    assert intent.qty == d("4.38")
    assert intent.risk_quote == d("43.8"), "R is told without them"


def test_position_notional_is_capped_before_entry() -> None:
    """I2: the limit existed only as a check after the trade."""
    intent = sized(settings=replace(SETTINGS, risk_max_position_notional_pct=Decimal(20)))

    assert isinstance(intent, Intent)
    assert intent.qty * 1000 <= 2000


def test_dollar_loss_per_trade_is_capped() -> None:
    """I23."""
    intent = sized(account=account("10000000", "10000000"), settings=replace(SETTINGS, risk_max_cost_r=Decimal(9)))

    assert isinstance(intent, Intent)
    assert intent.risk_quote <= 500


@pytest.mark.parametrize(
    ("code", "events"),
    [
        ("in-position", [equity(), approved(), intended(spec())]),
        ("daily-loss", [equity("10000"), equity("9790", 1)]),
        ("frozen", [equity(), SymbolFrozen(at=T0, symbol=BTC, reason="foreign position")]),
        ("no-equity", [SymbolFrozen(at=T0, symbol="ETH/USD:USD", reason="other")]),
    ],
)
def test_entry_is_denied(code: str, events: list[Event]) -> None:
    """I11: a limit without its input is closed; I6: an order in flight is a position."""
    denied = sized(*events)

    assert isinstance(denied, Denied)
    assert denied.code == code


def test_drawdown_denies_below_the_halt() -> None:
    yesterday = EquityObserved(at=at(-86400), equity_quote=d(11200))

    denied = sized(yesterday, equity("10000"))

    assert isinstance(denied, Denied)
    assert denied.code == "drawdown"


def test_cooldown_follows_a_close() -> None:
    stop = spec(Leg.STOP, 2)
    closed = [equity(), approved(), *live(spec()), filled(spec()), *live(stop, 2), filled(stop, "1", "120", 5)]

    denied = sized(*closed, now=at(60))

    assert isinstance(denied, Denied)
    assert denied.code == "cooldown"


def test_a_stop_that_the_market_passed_already_denies() -> None:
    denied = sized(ticker=ticker("985"))

    assert isinstance(denied, Denied)
    assert denied.code == "stop-crossed"


def test_fees_that_eat_the_risk_deny() -> None:
    denied = sized(signal=signal(stop_price=d("998")))

    assert isinstance(denied, Denied)
    assert denied.code == "cost"


def test_targets_that_cannot_be_split_go_to_the_last_one() -> None:
    targets = split_targets(signal(), d("0.02"), instrument())

    assert [(t.price, t.qty) for t in targets] == [(d(1030), d("0.02"))]


@given(
    qty_steps=st.integers(1, 10_000),
    prices=st.lists(st.integers(1001, 2000), min_size=1, max_size=5, unique=True).map(sorted),
)
def test_targets_always_add_up_to_the_position(qty_steps: int, prices: list[int]) -> None:
    """I51: the sum of reducing targets never exceeds the position."""
    qty = qty_steps * d("0.01")

    targets = split_targets(signal(targets=tuple(map(Decimal, prices))), qty, instrument())

    assert sum(t.qty for t in targets) == qty
    assert all(t.qty >= d("0.01") for t in targets)


# --- what forbids an entry -------------------------------------------------------------------------------------------

STATES = {"frozen", "wrong-input", "suspended", "no-equity"}  # they have no number


def lost(count: int, *, every: float, symbol: str = BTC) -> list[Event]:
    """Trades on a symbol that each lose, the last closed at T0, `every` seconds apart."""
    events: list[Event] = []
    for number in range(count):
        seconds = -(count - 1 - number) * every
        name = f"p-{symbol}-{number}"
        entry = spec(Leg.ENTRY, 10 * number + 1, position_id=name, symbol=symbol)
        stop = spec(Leg.STOP, 10 * number + 2, position_id=name, symbol=symbol)
        entry, stop = (replace(each, client_order_id=f"{name}-{each.leg.value}") for each in (entry, stop))
        events += [
            approved(position_id=name, symbol=symbol),
            *live(entry, seconds - 3),
            filled(entry, seconds=seconds - 2),
            *live(stop, seconds - 1),
            filled(stop, price="90", seconds=seconds),
        ]
    return [*events, equity()]


def held(symbol: str, side: Side = Side.LONG) -> list[Event]:
    return [approved(symbol=symbol, position_id=f"p-{symbol}", side=side)]


def denial(*events: Event, **given_instead: object) -> Denied:
    denied = sized(*events, **given_instead)
    assert isinstance(denied, Denied), denied
    assert denied.code in STATES or (denied.measured is not None and denied.limit is not None and denied.unit)
    return denied


def quoted(**changes: object) -> object:
    return replace(ticker(), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"symbol": "ETH/USD:USD"}, "wrong-input"),
        ({"mark_price": d(0)}, "wrong-input"),
        ({"mark_price": Decimal("NaN")}, "wrong-input"),
        ({"ask_price": Decimal("Infinity")}, "wrong-input"),
        ({"bid_price": d(1001), "ask_price": d(1000)}, "wrong-input"),
        ({"funding_rate_hourly": d("-0.58")}, "wrong-input"),
        ({"suspended": True}, "suspended"),
        ({"read_at": at(-30)}, "data-age"),
        ({"read_at": at(90)}, "data-age"),
        ({"quoted_at": at(-60)}, "data-age"),
        ({"bid_price": d(998), "ask_price": d(1002)}, "spread"),
        ({"bid_price": d(960), "ask_price": d(962)}, "mark-apart"),
        ({"mark_price": d(985), "bid_price": d(985), "ask_price": d(985)}, "stop-crossed"),
        ({"funding_rate_hourly": d("0.0002")}, "funding"),
    ],
)
def test_a_market_that_is_not_as_it_should_be_denies(changes: dict[str, object], code: str) -> None:
    """I11: an input that is missing or cannot be true closes the limit that needs it."""
    assert denial(ticker=quoted(**changes)).code == code


def test_an_old_balance_denies_and_says_how_old() -> None:
    denied = denial(account=replace(account(), read_at=at(-44)))

    assert (denied.code, denied.measured, denied.limit, denied.unit) == ("data-age", d(45), d(20), "s")
    assert denied.reason == "age of the balance 45 s, limit 20"


def test_funding_that_would_be_earned_denies_nothing() -> None:
    short = signal(side=Side.SHORT, stop_price=d(1010), targets=(d(990),))

    assert isinstance(sized(signal=short, ticker=quoted(funding_rate_hourly=d("0.0002"))), Intent)


def test_funding_that_nobody_tells_is_assumed_against_us() -> None:
    """Missing is not free: the same trade is denied once the assumption costs too much."""
    dear = replace(SETTINGS, risk_assumed_funding_bps_8h=Decimal(10))

    assert isinstance(sized(), Intent)
    assert denial(settings=dear).code == "funding"


@pytest.mark.parametrize("quote", ["0", "-1", "NaN"])
def test_an_account_without_equity_denies(quote: str) -> None:
    """W4, W25: equity 0 was trading on."""
    assert denial(account=account(quote, "0")).code in {"no-equity", "wrong-input"}


def test_an_expired_signal_denies() -> None:
    assert denial(signal=signal(expires_at=at(1)), now=at(1)).code == "expired"


def test_a_stop_without_room_denies() -> None:
    assert denial(signal=signal(stop_price=d("999.6"))).code == "stop-distance"


def test_positions_are_counted_with_those_only_asked_for() -> None:
    """I6, I13."""
    symbols = [f"{name}/USD:USD" for name in ("ETH", "SOL", "XRP", "ADA")]
    sides = [Side.LONG, Side.SHORT, Side.LONG, Side.SHORT]
    events = [equity(), *(event for symbol, side in zip(symbols, sides, strict=True) for event in held(symbol, side))]

    assert denial(*events).code == "max-positions"


def test_positions_of_one_direction_are_capped_and_the_other_stays_open() -> None:
    """Perpetuals in one currency fall together: four longs are one position of four times the size."""
    events = [equity(), *(event for name in ("ETH", "SOL", "XRP") for event in held(f"{name}/USD:USD"))]
    short = signal(side=Side.SHORT, stop_price=d(1010), targets=(d(990),))

    assert denial(*events).code == "same-side"
    assert isinstance(sized(*events, signal=short), Intent)


HOUR = 3600


@pytest.mark.parametrize(
    ("count", "every", "later", "denies"),
    [
        (3, 11 * HOUR, 11 * HOUR, True),
        (3, 11 * HOUR, 12 * HOUR, False),
        (3, 13 * HOUR, 1 * HOUR, False),
        (2, 1 * HOUR, 1 * HOUR, False),
    ],
)
def test_a_symbol_that_keeps_losing_rests(count: int, every: float, later: float, denies: bool) -> None:
    """Three losses within a day, then half a day without; durable, for it is read from the book."""
    assert (code_at(later / 60, *lost(count, every=every)) == "symbol-losses") == denies


def test_losses_in_a_row_on_any_symbols_pause_everything() -> None:
    names = [f"{name}/USD:USD" for name in ("ETH", "SOL", "XRP", "ADA")]
    events = [event for name in names for event in lost(1, every=0, symbol=name)]

    assert denial(*events).code == "loss-streak"


@pytest.mark.parametrize(("minutes", "code"), [(14.9, "cooldown"), (15, None)])
def test_a_cooldown_ends(minutes: float, code: str | None) -> None:
    assert code_at(minutes, *lost(1, every=0)) == code


@pytest.mark.parametrize(("minutes", "code"), [(119.9, "loss-streak"), (120, None)])
def test_a_pause_after_a_streak_ends(minutes: float, code: str | None) -> None:
    events = [event for name in ("ETH", "SOL", "XRP", "ADA") for event in lost(1, every=0, symbol=f"{name}/USD:USD")]

    assert code_at(minutes, *events) == code


def code_at(minutes: float, *events: Event) -> str | None:
    """Why a fresh signal with fresh prices is denied so long after T0; None when it is not."""
    now = at(60 * minutes)
    result = sized(
        *events,
        now=now,
        signal=signal(known_at=now, expires_at=now + timedelta(hours=1)),
        ticker=quoted(read_at=now),
        account=replace(account(), read_at=now),
    )
    return result.code if isinstance(result, Denied) else None


# --- how much at most -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_instead", "code"),
    [
        ({"instrument": instrument(min_qty=d(5))}, "risk-per-trade"),
        ({"instrument": instrument(min_qty=d(5)), "settings": replace(SETTINGS, risk_max_loss_per_trade_quote=d(9))},
         "loss-per-trade"),
        ({"settings": replace(SETTINGS, risk_max_position_notional_pct=d("0.01"))}, "position-notional"),
        ({"account": account("10000", "5000")}, "margin"),
        ({"account": account("10000", "-3")}, "margin"),
    ],
)  # fmt: skip
def test_where_not_even_the_smallest_order_fits_the_tightest_cap_denies(
    given_instead: dict[str, object], code: str
) -> None:
    denied = denial(**given_instead)

    assert denied.code == code
    assert denied.measured is not None and denied.limit is not None and denied.measured > denied.limit


BOLD = replace(
    SETTINGS,
    risk_per_trade_pct=d(90),
    risk_max_loss_per_trade_quote=d(10**6),
    risk_max_position_notional_pct=d(900),
    risk_max_notional_pct=d(950),
)


def test_the_stop_lies_well_before_the_estimated_liquidation() -> None:
    """Cross margin: at liquidation the account's equity is the position's maintenance margin, and no more."""
    thin = account("1000", "1000")
    wide = signal(entry_price=d(1000), stop_price=d(900), targets=(d(1200),))
    levels = (MarginLevel(d(0), d("0.02"), d("0.01")),)

    intent = sized(signal=wide, account=thin, settings=BOLD, instrument=instrument(margin_levels=levels))

    assert isinstance(intent, Intent)
    liquidation = (intent.qty * 1000 - 1000) / (intent.qty * d("0.99"))
    buffer_left = (900 - liquidation) / (1000 - liquidation) * 100
    assert BOLD.risk_min_liquidation_buffer_pct <= buffer_left < BOLD.risk_min_liquidation_buffer_pct + 1


def test_a_larger_position_is_margined_at_its_own_level() -> None:
    """The venue asks for more margin of more notional; the first level alone would promise too much leverage."""
    levels = (MarginLevel(d(0), d("0.02"), d("0.01")), MarginLevel(d(50000), d("0.2"), d("0.1")))

    flat = sized(settings=BOLD, instrument=instrument(margin_levels=levels[:1]))
    steep = sized(settings=BOLD, instrument=instrument(margin_levels=levels))

    assert isinstance(flat, Intent) and flat.qty == d(90)
    assert isinstance(steep, Intent) and steep.qty == d(25), "half of the equity as margin, a fifth of the notional"


percents = st.decimals("0.1", 90, places=1)


@st.composite
def worlds(draw: st.DrawFn) -> dict[str, object]:
    """A signal with room to its stop, and any account, contract and limits."""
    tick = Decimal(draw(st.sampled_from(["0.001", "0.01", "0.5", "1"])))
    entry, side = tick * draw(st.integers(500, 10**6)), draw(st.sampled_from(Side))
    stop = entry - side.sign * entry * draw(st.integers(1, 90)) / 200
    quote = Decimal(draw(st.integers(1, 10**7)))
    free_pct = draw(st.one_of(st.just(100), st.integers(70, 100), st.integers(-10, 100)))
    step = Decimal(draw(st.sampled_from(["0.0001", "0.0001", "0.01", "1", "10"])))
    contract: Instrument = instrument(
        tick_size=tick,
        qty_step=step,
        min_qty=step * draw(st.sampled_from([1, 1, 3])),
        contract_size=Decimal(draw(st.sampled_from(["1", "0.1", "10"]))),
        max_leverage=draw(st.sampled_from([d(1), d(5), d(50)])),
    )
    if draw(st.booleans()):
        contract = replace(contract, margin_levels=(MarginLevel(d(0), d("0.02"), d("0.01")),
                                                    MarginLevel(d(9000), d("0.5"), d("0.25"))))  # fmt: skip
    return {
        "signal": signal(side=side, entry_price=entry, stop_price=stop, targets=(entry * (1 + side.sign * d("0.1")),)),
        "ticker": ticker(str(entry)),
        "instrument": contract,
        "account": account(str(quote), str(quote * free_pct / 100)),
        "settings": replace(
            SETTINGS,
            risk_per_trade_pct=draw(st.decimals("0.1", 5, places=1)),
            risk_max_position_notional_pct=draw(percents) * 10,
            risk_max_notional_pct=draw(percents) * 10,
            risk_max_margin_pct=draw(st.decimals(30, 90, places=1)),
            risk_min_liquidation_buffer_pct=draw(percents),
            risk_max_cost_r=draw(st.decimals("0.1", 1, places=1)),
            risk_max_funding_r=Decimal(1),
        ),
    }


def proposed(world: dict[str, object]) -> Proposal:
    inputs = {"book": fold([equity()]), "now": at(1), **world}
    return Proposal(**inputs)  # type: ignore[arg-type]


@given(worlds())
def test_an_approved_size_never_breaks_a_cap(world: dict[str, object]) -> None:
    """I2: for any input; and it is a size, a price and a stop that the venue can take (I52, I53)."""
    result, contract = sized(**world), world["instrument"]
    assert isinstance(contract, Instrument)

    if isinstance(result, Denied):
        assert result.code in STATES or None not in (result.measured, result.limit)
        return
    assert result.qty % contract.qty_step == 0 and result.qty >= contract.min_qty
    assert result.entry_price is not None and result.entry_price % contract.tick_size == 0
    assert result.stop_price % contract.tick_size == 0
    assert result.side.sign * (result.entry_price - result.stop_price) > 0
    for cap in caps(proposed(world)):
        assert cap.measured(result.qty) <= cap.limit * (1 + Decimal("1e-20")), cap.code
    assert sum(target.qty for target in result.targets) <= result.qty


@given(worlds(), st.integers(2, 50))
def test_more_equity_never_denies_what_less_was_allowed(world: dict[str, object], times: int) -> None:
    """All else the same, the free balance grown with it, and one level of margin."""
    world |= {"instrument": replace(world["instrument"], margin_levels=())}  # type: ignore[type-var]
    poor = world["account"]
    rich = replace(poor, equity_quote=poor.equity_quote * times, available_quote=poor.available_quote * times)  # type: ignore[type-var, attr-defined]

    before, after = sized(**world), sized(**world | {"account": rich})

    if isinstance(before, Intent):
        assert isinstance(after, Intent)
        assert after.qty >= before.qty


@given(worlds(), st.sampled_from(["risk_per_trade_pct", "risk_max_position_notional_pct", "risk_max_margin_pct"]))
def test_a_tighter_limit_never_allows_more(world: dict[str, object], name: str) -> None:
    settings = world["settings"]
    tighter = replace(settings, **{name: getattr(settings, name) / 2})  # type: ignore[type-var]

    before, after = sized(**world), sized(**world | {"settings": tighter})

    assert not isinstance(after, Intent) or (isinstance(before, Intent) and after.qty <= before.qty)


@given(worlds())
def test_an_approved_entry_once_filled_halts_nothing(world: dict[str, object]) -> None:
    """I1, I2: the entry used 90 % of the margin and the monitor halted at 85 %, so the halt took its stops away."""
    limits, contract, before = world["settings"], world["instrument"], world["account"]
    assert isinstance(limits, Settings) and isinstance(contract, Instrument) and isinstance(before, Account)
    limits = replace(
        limits,
        risk_halt_position_notional_pct=limits.risk_max_position_notional_pct + d("0.1"),
        risk_halt_notional_pct=limits.risk_max_notional_pct + d("0.1"),
        risk_halt_margin_pct=limits.risk_max_margin_pct + d("0.1"),
    )
    result = sized(**world | {"settings": limits})
    if isinstance(result, Denied):
        return
    assert result.entry_price is not None
    entry = spec(qty=result.qty, limit_price=result.entry_price, side=result.side.entry)
    book = fold([
        equity(str(before.equity_quote)),
        IntentApproved(at=at(1), intent=result),
        *live(entry),
        filled(entry, str(result.qty), str(result.entry_price), 2),
    ])  # fmt: skip
    notional = contract.notional_quote(result.qty, result.entry_price)
    after = replace(before, available_quote=before.available_quote - notional * contract.margin_at(notional).initial)

    assert breaches(after, {BTC: ticker(str(result.entry_price))}, book, limits) == []


# --- halting ----------------------------------------------------------------------------------------------------------


def test_no_breach_while_every_limit_holds() -> None:
    assert breaches(account(), {}, fold([equity()]), SETTINGS) == []


def test_open_losses_count_into_the_drawdown_halt() -> None:
    found = breaches(account("8400"), {}, fold([equity("10000"), equity("8400", 60)]), SETTINGS)

    assert any("drawdown" in each for each in found)
    assert any("daily loss" in each for each in found)


def test_loss_of_more_than_half_is_a_breach_not_a_stale_peak() -> None:
    """W4: a real loss above 50 % was declared implausible and trading went on."""
    assert breaches(account("4000"), {}, fold([equity("10000"), equity("4000", 60)]), SETTINGS)


def test_positions_without_known_equity_are_a_breach() -> None:
    """I11, W25: when the balance call fails the limit must not be off."""
    book: Book = fold([approved(), *live(spec()), filled(spec())])

    assert breaches(None, {}, book, SETTINGS) == ["equity unknown: no halt limit has an input"]


def test_zero_equity_is_a_breach() -> None:
    """W4."""
    assert breaches(account("0"), {}, fold([equity("0")]), SETTINGS) == ["equity 0"]


def test_margin_that_is_nearly_used_up_is_a_breach_while_something_is_held() -> None:
    """Cross margin liquidates the account when none is left; collateral alone, without a position, is in no danger."""
    bought = [equity(), approved(), *live(spec()), filled(spec())]

    found = breaches(account("10000", "1900"), {BTC: ticker("100")}, fold(bought), SETTINGS)

    assert found == ["margin bound 81.0 % >= 80 %"]
    assert breaches(account("10000", "1900"), {}, fold([equity()]), SETTINGS) == []


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("risk_halt_positions", 1),
        ("risk_halt_position_notional_pct", d("0.9")),
        ("risk_halt_notional_pct", d("0.9")),
        ("risk_halt_margin_pct", d("0.5")),
        ("risk_halt_daily_loss_pct", d(1)),
        ("risk_halt_drawdown_pct", d(1)),
    ],
)
def test_each_halt_limit_halts_by_itself(name: str, limit: object) -> None:
    """I11: a limit that nothing ever trips protects nobody."""
    book = fold([equity("10200"), approved(), *live(spec()), filled(spec()), equity("10000", 60)])
    seen = account("10000", "9900"), {BTC: ticker("100")}

    assert breaches(*seen, book, SETTINGS) == []
    assert len(breaches(*seen, book, replace(SETTINGS, **{name: limit}))) == 1  # type: ignore[arg-type]


def test_notional_is_measured_at_the_mark() -> None:
    entry = spec(qty=d(10), limit_price=d(1000))
    book = fold([equity(), approved(qty=d(10)), *live(entry), filled(entry, "10", "1000")])

    found = breaches(account(), {BTC: ticker("2600")}, book, SETTINGS)

    assert any(each.startswith("largest notional 260") for each in found)


@pytest.mark.parametrize(("side", "expected"), [(Side.LONG, "98"), (Side.SHORT, "102")])
def test_adopted_stop_lies_behind_the_entry(side: Side, expected: str) -> None:
    assert adopted_stop(side, d(100), d(100), instrument(), d(2)) == d(expected)


def test_adopted_stop_is_never_beyond_the_market_already() -> None:
    """W37: a fixed distance from entry may already be crossed."""
    stop = adopted_stop(Side.LONG, d(100), d(90), instrument(tick_size=d("0.1")), d(2))

    assert stop < d(90)


def test_what_is_held_and_what_is_on_its_way_counts_into_the_limit_on_everything() -> None:
    """I6: an entry in flight is exposure."""
    bought, asked = spec(Leg.ENTRY, 1, symbol="ETH/USD:USD"), spec(Leg.ENTRY, 9, position_id="p2", symbol="SOL/USD:USD")
    events = [
        equity(),
        approved(symbol="ETH/USD:USD"),
        *live(bought),
        filled(bought, price="1000"),
        approved(symbol="SOL/USD:USD", position_id="p2"),
        intended(replace(asked, limit_price=d(500))),
    ]
    settings = replace(SETTINGS, risk_max_position_notional_pct=Decimal(30), risk_max_notional_pct=Decimal(40))

    intent = sized(*events, settings=settings, position_id="p3")

    assert isinstance(intent, Intent)
    assert intent.qty == d("2.5"), "4000 in all, 1000 held, 500 asked for"


def test_every_code_of_a_denial_is_explained_to_people() -> None:
    """A person who asks why nothing was traded finds each code, and none that is never said."""
    root = Path(__file__).resolve().parents[2]
    asking = r'(?:denied|beyond|Denied|Hold|Cap|_equity_cap)\(\s*(?:[a-z.]*symbol, )?"([a-z-]+)"'
    rooms = [*(root / "live" / "risk").glob("*.py")]
    rooms += [root / "live" / f"{name}.py" for name in ("decisions", "standing", "listing", "execution")]
    said = {code for room in rooms for code in re.findall(asking, room.read_text())}
    explained = re.findall(r"^\| `([a-z-]+)` \|", (root / "docs" / "risk.md").read_text(), re.MULTILINE)

    assert sorted(explained) == sorted(said)
