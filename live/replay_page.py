"""A replay's report as one HTML page: no script, no network, everything shown is escaped. [P]"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from html import escape

from live.operators import plain
from live.replay import assumptions
from live.replay_charts import (
    SIZE,
    Frame,
    Point,
    area,
    band,
    closes,
    drawing,
    framed,
    line,
    mark,
    price_grid,
    runs,
    stepped,
    thinned,
    time_axis,
)
from live.replay_report import Report, Summary, Trade
from live.replay_style import STYLE
from live.replay_windows import cut_off, money, window
from live.smc.reasons import Code

COLUMNS = 500  # of a drawing across the page: more would be finer than its pixels
OPEN_WINDOWS = 3
MOST_WINDOWS = 400  # some 8 kB each

_NARROWEST = 12  # columns of results, however few there are
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(report: Report) -> str:
    s = report.summary
    title = f"Replay of {s.symbol} {s.timeframe}"
    body = "\n".join((_head(s), _figures(s), _overview(report), _decisions(report), _trades(report), _assumed(report)))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body><main>\n{body}\n</main></body></html>\n"
    )


def _head(s: Summary) -> str:
    missing = f", {s.missing_candles:,} missing" if s.missing_candles else ""
    halted = f'<p class="bad">Halted {escape(s.halted)}. No entry was taken after that.</p>' if s.halted else ""
    return (
        f"<header><h1>Replay of {escape(s.symbol)}, {s.timeframe}</h1>"
        f'<p class="soft">{_day(s.begins_at)} to {_day(s.ends_at)} UTC, {s.candles:,} candles{missing}</p>{halted}'
        '<p class="caveat">What the worker would have done on these candles under the assumptions below. It is no'
        " forecast and no evidence of profit.</p></header>"
    )


def _figures(s: Summary) -> str:
    change = (s.end_equity_quote / s.start_equity_quote - 1) * 100
    closed = s.wins + s.losses
    cells = (
        ("result", f"{s.total_r:+.2f} R", f"{s.mean_r:+.2f} R a trade", _tone(float(s.total_r))),
        ("equity", f"{s.end_equity_quote:,.2f}", f"{change:+.2f} % on {s.start_equity_quote:,.2f}", ""),
        ("deepest drawdown", f"{s.max_drawdown_pct:.2f} %", "below the peak, open losses included", ""),
        ("trades", f"{s.trades}", f"{s.wins} won, {s.losses} lost" + (f", {s.open} open" if s.open else ""), ""),
        ("won", f"{s.wins / closed * 100:.0f} %" if closed else "-", f"of {closed} closed trades", ""),
        (
            "costs",
            f"{s.fees_quote + s.funding_quote:,.2f}",
            f"fees {s.fees_quote:,.2f}, funding {s.funding_quote:,.2f}",
            "",
        ),
    )
    return (
        '<section class="figures">'
        + "".join(
            f'<div><small>{name}</small><b class="{tone}">{value}</b><span>{detail}</span></div>'
            for name, value, detail, tone in cells
        )
        + "</section>"
    )


# --- the whole run ---------------------------------------------------------------------------------------------------


def _overview(report: Report) -> str:
    s = report.summary
    lows, highs = [float(each.low) for each in report.candles], [float(each.high) for each in report.candles]
    prices = framed(s.begins_at, s.ends_at, (min(lows), max(highs)))
    points = [(at, float(quote)) for at, quote in report.equity]
    equity = framed(s.begins_at, s.ends_at, [quote for _, quote in points], margin=0.1)
    falls = list(zip([at for at, _ in points], runs([quote for _, quote in points]), strict=True))
    depth = min(-1.0, *(fall for _, fall in falls)) * 1.12
    drawdown = Frame(s.begins_at, equity.ends_at, depth, 0.0)
    return (
        '<section><h2>The whole run</h2><div class="sheet">'
        f"<h3>price, and each trade at its entry</h3>{_price(report, prices)}"
        f"<h3>equity, quote currency</h3>{_equity(equity, points, s.ends_at)}"
        f"<h3>drawdown, % below the peak</h3>{_drawdown(drawdown, falls, s.ends_at)}"
        f"{time_axis(drawdown, most=8)[1]}"
        f"{_results(report.trades)}</div></section>"
    )


def _price(report: Report, frame: Frame) -> str:
    grid, words = price_grid(frame, lines=4)
    shapes = [
        grid,
        time_axis(frame, most=8)[0],
        band(frame, report.candles, columns=COLUMNS, css="band"),
        line(frame, closes(report.candles, columns=COLUMNS), css="close"),
    ]
    dots = [_dot(frame, number, trade) for number, trade in enumerate(report.trades, start=1)]
    return drawing(shapes, [words, *dots], css="tall", label="price over the whole run with a dot for each trade")


def _dot(frame: Frame, number: int, trade: Trade) -> str:
    css = "still" if trade.closed_at is None else "won" if trade.realised_quote > 0 else "lost"
    title = f"#{number} {trade.side} {trade.r:+.2f} R"
    x, y = frame.x(trade.opened_at), frame.y(float(trade.entry_price))
    return mark(x, y, "", css=f"dot {css}", title=title, href=f"#t{number}")


def _equity(frame: Frame, points: Sequence[Point], end: datetime) -> str:
    shown = thinned(stepped(points, end), COLUMNS)
    grid, words = price_grid(frame, lines=3)
    shapes = [
        grid,
        time_axis(frame, most=8)[0],
        area(frame, shown, base=frame.low, css="equity-under"),
        line(frame, shown, css="equity"),
    ]
    return drawing(shapes, [words], css="low", label="equity over the whole run")


def _drawdown(frame: Frame, falls: Sequence[Point], end: datetime) -> str:
    shown = thinned(stepped(falls, end), COLUMNS)
    grid, words = price_grid(frame, lines=3)
    shapes = [
        grid,
        time_axis(frame, most=8)[0],
        area(frame, shown, base=0.0, css="fall"),
        line(frame, shown, css="fall-line"),
    ]
    return drawing(shapes, [words], css="slim", label="drawdown over the whole run")


def _results(trades: Sequence[Trade]) -> str:
    """A column for each trade, in order: what it made in multiples of what it risked."""
    if not trades:
        return ""
    results = [float(trade.r) for trade in trades]
    frame = framed(trades[0].opened_at, trades[0].opened_at, [0.0, *results], margin=0.08)
    width, zero = SIZE / max(len(results), _NARROWEST), frame.y(0)
    columns = "".join(
        f'<rect class="bar-{"rose" if result > 0 else "fell"}" x="{place * width + width * 0.14:.1f}"'
        f' y="{min(zero, frame.y(result))}" width="{width * 0.72:.1f}" height="{max(abs(frame.y(result) - zero), 4)}"/>'
        for place, result in enumerate(results)
    )
    grid, words = price_grid(frame, lines=4, unit=" R")
    shapes = [grid, f'<path class="zero" d="M0 {zero}H{SIZE}"/>', columns]
    return "<h3>result of each trade, in order</h3>" + drawing(
        shapes, [words], css="slim", label="result of each trade in multiples of its risk"
    )


# --- decisions -------------------------------------------------------------------------------------------------------


def _decisions(report: Report) -> str:
    s = report.summary
    steps = (
        (s.decisions, "candles decided on"),
        (s.signals, "signals"),
        (s.taken, "taken"),
        (s.trades, "filled"),
        (s.wins, "won"),
    )
    listed = "".join(f"<li><b>{count:,}</b><small>{words}</small></li>" for count, words in steps)
    denied = {f"denied: {code}": count for code, count in s.denied.items()}
    refused = f"<h3>signals that were not taken</h3>{_bars(denied)}" if denied else ""
    missing = {code.words: count for code, count in report.decisions.items() if code is not Code.SIGNAL}
    return (
        '<section><h2>Decisions</h2><p class="soft">Each closed candle leaves one: a signal, or the first condition'
        f' that was missing.</p><div class="sheet"><ol class="steps">{listed}</ol>{refused}'
        f"<h3>why there was no signal, in candles</h3>{_bars(missing)}</div></section>"
    )


def _bars(counts: dict[str, int]) -> str:
    most = max(counts.values(), default=1)
    rows = "".join(
        f'<div><span>{escape(words)}</span><i style="--share:{count / most * 100:.2f}%"></i><b>{count:,}</b></div>'
        for words, count in counts.items()
    )
    return f'<div class="bars">{rows}</div>'


# --- trades ----------------------------------------------------------------------------------------------------------

_HEADS = (
    ("#", ""), ("side", ""), ("opened, UTC", ""), ("closed", "wide"), ("contracts", "wide"), ("entry", ""),
    ("stop", "wide"), ("exit", "wide"), ("by", "wide"), ("R", ""), ("realised", "wide"), ("fees", "wide"),
    ("funding", "wide"),
)  # fmt: skip


def _trades(report: Report) -> str:
    if not report.trades:
        return '<section><h2>Trades</h2><p class="soft">None.</p></section>'
    heads = "".join(f'<th class="{css}">{name}</th>' for name, css in _HEADS)
    rows = "".join(_row(number, trade) for number, trade in enumerate(report.trades, start=1))
    return (
        f'<section><h2>Trades</h2><div class="sheet scroll"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>"
        "<section><h2>One by one</h2>"
        '<p class="soft">Zones, breaks of structure and sweeps as they were known when it was decided, nothing later.'
        " Shaded: risk and reward as planned, while the position was held.</p>"
        f'<div class="sheet">{"".join(_windows(report))}</div></section>'
    )


def _row(number: int, trade: Trade) -> str:
    texts = (
        f'<a href="#w{number}">{number}</a>',
        trade.side.value,
        _minute(trade.opened_at),
        _minute(trade.closed_at) if trade.closed_at else "still open",
        plain(trade.qty),
        money(trade.entry_price),
        money(trade.stop_price),
        money(trade.exit_price),
        _exits(trade),
        f'<span class="{_tone(float(trade.r))}">{trade.r:+.2f}</span>',
        f"{trade.realised_quote:+,.2f}",
        f"{trade.fees_quote:,.2f}",
        f"{trade.funding_quote:,.2f}",
    )
    cells = "".join(f'<td class="{css}">{text}</td>' for text, (_, css) in zip(texts, _HEADS, strict=True))
    return f'<tr id="t{number}">{cells}</tr>'


def _exits(trade: Trade) -> str:
    """In order, repeats counted: "target ×2, stop"."""
    counted: list[tuple[str, int]] = []
    for each in trade.exits:
        if counted and counted[-1][0] == each:
            counted[-1] = (each, counted[-1][1] + 1)
        else:
            counted.append((each, 1))
    return ", ".join(word if count == 1 else f"{word} ×{count}" for word, count in counted) or "-"


def _windows(report: Report) -> Iterator[str]:
    for number, trade in enumerate(report.trades[:MOST_WINDOWS], start=1):
        cut = cut_off(report, trade)
        rest = f" It was held for {cut:,} candles more than are shown." if cut else ""
        reasons = "; ".join(trade.reasons)
        yield (
            f'<details id="w{number}"{" open" if number <= OPEN_WINDOWS else ""}><summary><b>#{number} {trade.side}</b>'
            f'<span>{_minute(trade.opened_at)}</span><span class="{_tone(float(trade.r))}">{trade.r:+.2f} R</span>'
            f'<span class="soft">{_exits(trade)}</span></summary>{window(report, trade)}'
            f'<p class="soft">{escape(reasons[:1].upper() + reasons[1:])}.{rest}</p></details>'
        )
    if (left := len(report.trades) - MOST_WINDOWS) > 0:
        yield f'<p class="soft">{left:,} more trades are in the table and in report.json.</p>'


# --- what it rests on ------------------------------------------------------------------------------------------------


def _assumed(report: Report) -> str:
    listed = "".join(f"<li>{escape(each[:1].upper() + each[1:])}.</li>" for each in assumptions(report.costs))
    return (
        f'<section><h2>Assumed</h2><ul class="assumed">{listed}</ul></section>'
        f"<footer>Strategy parameters {escape(report.fingerprint)}. Times are UTC, money is quote currency, R is the"
        " multiple of what a trade risked, net of fees and funding. The same candles and settings give this page to"
        " the byte; the figures are in report.json beside it.</footer>"
    )


def _tone(value: float) -> str:
    return "good" if value > 0 else "bad" if value < 0 else ""


def _day(at: datetime) -> str:
    return f"{at.day} {at:%B %Y %H:%M}"


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"
