"""The first page of the health port for a person with a browser: one glance, then where to look next. [P]

Pure HTML without script or outside resource; every word of the worker's is escaped, and masked at the exit.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from html import escape

from live.status import Status, age_seconds

STYLE = """
:root { color-scheme: light dark; --ground: #faf9f6; --card: #fff; --ink: #1d2126; --soft: #666c74; --hair: #e3e1db;
  --good: #2c7f6b; --bad: #b5483e; --warn: #9a6708; --tone: var(--soft) }
@media (prefers-color-scheme: dark) { :root { --ground: #13151a; --card: #1a1d23; --ink: #e4e6ea; --soft: #9299a3;
  --hair: #2b2f37; --good: #4db399; --bad: #e2776d; --warn: #d8a445 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI",
  Roboto, "Helvetica Neue", Arial, sans-serif; font-variant-numeric: tabular-nums }
main { max-width: 46rem; margin: 0 auto; padding: 2.5rem 1.25rem 3rem }
header { border-left: 5px solid var(--tone); padding: .1rem 0 .1rem 1rem }
h1 { font-size: 1.6rem; line-height: 1.25; font-weight: 650; margin: 0; color: var(--tone) }
header p { margin: .15rem 0 0; color: var(--soft); overflow-wrap: anywhere }
ul { margin: 1rem 0 0; padding: 0; list-style: none }
li { border-left: 3px solid var(--bad); background: var(--card); padding: .45rem .8rem; margin: .4rem 0;
  overflow-wrap: anywhere }
dl { display: grid; grid-template-columns: minmax(8rem, max-content) 1fr; margin: 1.6rem 0 0; background: var(--card);
  border: 1px solid var(--hair); border-radius: .6rem; overflow: hidden }
dt, dd { margin: 0; padding: .5rem 1rem; border-bottom: 1px solid var(--hair) }
dt { color: var(--soft) } dd { overflow-wrap: anywhere }
dt:last-of-type, dd:last-of-type { border-bottom: 0 }
.good { --tone: var(--good) } .bad { --tone: var(--bad) } .warn { --tone: var(--warn) }
dd[class] { color: var(--tone) }
footer { margin-top: 1.4rem; color: var(--soft); font-size: .85rem } a { color: inherit }
@media (max-width: 480px) { dl { grid-template-columns: 1fr } dt { border-bottom: 0; padding-bottom: 0 }
  dd { padding-top: 0 } main { padding: 1.25rem .9rem } }
"""

_Row = tuple[str, str, str]  # what, value, tone: "", "good", "bad" or "warn"


def page_html(status: Status, reasons: list[str], links: Iterable[str], now: datetime) -> str:
    """The whole page. reasons: why /health answers 503, [] when it answers 200; now: aware UTC."""
    word, tone = _verdict(status, reasons)
    head = (
        f'<header class="{tone}"><h1>{escape(word)}</h1>'
        f"<p>{escape(status.scope or 'no account yet')} · prodsafe {escape(status.version or '')}</p></header>"
    )
    why = "".join(f"<li>{escape(reason)}</li>" for reason in reasons)
    rows = "".join(
        f'<dt>{escape(what)}</dt><dd class="{tone}">{escape(value)}</dd>' for what, value, tone in _rows(status, now)
    ).replace(' class=""', "")
    anchors = " · ".join(f'<a href="{escape(link)}">{escape(link)}</a>' for link in links)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="refresh" content="5"><title>{escape(word)} · {escape(status.scope)}</title>'
        f"<style>{STYLE}</style></head><body><main>{head}"
        f"{f'<ul>{why}</ul>' if why else ''}<dl>{rows}</dl>"
        f"<footer>{anchors}<br>Read-only; RUNBOOK.md has a section for each id. {now:%Y-%m-%d %H:%M:%S} UTC, "
        "renewed every 5 s.</footer></main></body></html>"
    )


def _verdict(status: Status, reasons: list[str]) -> tuple[str, str]:
    if status.state == "standby":
        return "Standing by", "warn"
    if reasons:
        return ("Not trading" if status.state in ("stopped", "unknown") else "Unhealthy"), "bad"
    return ("Halted: exits and stops only", "warn") if status.halted else ("Healthy", "good")


def _rows(status: Status, now: datetime) -> list[_Row]:
    """What a person on call asks, in the order of asking; what this worker cannot know is left out."""
    beat = "held and beating" if status.lease_fresh else "not held or not fresh"
    naked = f"longest time without a stop {status.naked_seconds_max:.1f} s"
    rows: list[_Row] = [
        ("state", status.state, ""),
        ("lease", f"{beat}, epoch {status.epoch or '-'}", "good" if status.lease_fresh else "bad"),
        ("holder", f"{status.host or '-'} pid {status.pid or '-'}", ""),
    ]
    if status.standby_for:
        return [*rows[:1], ("waits for", status.standby_for, "warn"), rows[2]]
    rows += [
        ("positions", f"{status.open_positions} open, {status.live_orders} orders working", ""),
        ("protection", f"without a stop: {', '.join(status.unprotected)}", "bad")
        if status.unprotected
        else ("protection", f"every position has its stop; {naked}", "good"),
        ("unknown orders", str(status.unknown_orders), "warn" if status.unknown_orders else ""),
        ("halt latch", f"SET: {status.halt_reason}" if status.halted else "not set", "warn" if status.halted else ""),
        ("last tick", _age(status.last_tick_at, now), ""),
    ]
    for what, words in (("no entries, since", status.degraded), ("book and venue", status.findings)):
        rows += [(what, text, "warn") for text in words]
    if status.flattening:
        rows.append(("to be closed", ", ".join(status.flattening), "warn"))
    if status.clock_offset_seconds is not None:
        rows.append(("venue's clock", f"{status.clock_offset_seconds:+.2f} s from ours", ""))
    if status.equity_quote:
        rows.append(("equity", status.equity_quote, ""))
    if status.last_action:
        rows.append(("last action", status.last_action, ""))
    program = [status.version, status.commit, *(f"{name} schema {version}" for name, version in status.schema.items())]
    rows.append(("program", ", ".join(filter(None, program)) or "-", ""))
    return rows


def _age(then: datetime | None, now: datetime) -> str:
    age = age_seconds(then, now)
    return "none yet" if age is None else f"{max(age, 0):.1f} s ago"
