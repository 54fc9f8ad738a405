"""Cards, notes and tables as HTML text. Everything shown is escaped. [P]"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

GOOD, BAD, WARN, CALM = "#1a9c5b", "#d64545", "#c98a00", "#6b7280"

STYLE = """
<style>
.ps-cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.4rem, 1fr)); gap: .7rem; margin: .2rem 0 }
.ps-card { border: 1px solid color-mix(in srgb, currentColor 16%, transparent); border-left: 4px solid var(--tone);
           border-radius: .5rem; padding: .55rem .8rem; min-width: 0 }
.ps-card small { display: block; opacity: .65; font-size: .75rem; letter-spacing: .03em }
.ps-card b { display: block; font-size: 1.1rem; font-weight: 600; overflow-wrap: anywhere; line-height: 1.35 }
.ps-card span { display: block; opacity: .75; font-size: .8rem; overflow-wrap: anywhere }
.ps-note { border-left: 4px solid var(--tone); border-radius: .3rem; padding: .55rem .9rem; margin: .5rem 0;
           background: color-mix(in srgb, var(--tone) 11%, transparent); overflow-wrap: anywhere }
.ps-note ul { margin: .2rem 0 0 1.1rem; padding: 0 }
.ps-scroll { overflow-x: auto }
.ps-table { border-collapse: collapse; width: 100%; font-size: .85rem; font-variant-numeric: tabular-nums }
.ps-table th { text-align: left; font-weight: 500; opacity: .6; white-space: nowrap }
.ps-table th, .ps-table td { padding: .35rem .9rem .35rem 0; vertical-align: top; border: 0;
           border-bottom: 1px solid color-mix(in srgb, currentColor 12%, transparent) }
.ps-table td { white-space: nowrap }
.ps-table td:last-child { white-space: normal; overflow-wrap: anywhere; min-width: 13rem }
.ps-table .num { text-align: right } .ps-good { color: var(--ps-good) } .ps-bad { color: var(--ps-bad) }
.ps-h { font-size: 1rem; font-weight: 600; margin: 1rem 0 .25rem; padding: 0 }
.ps-title { font-size: 1.45rem; font-weight: 650; margin: 0; padding: 0; overflow-wrap: anywhere }
.ps-empty, .ps-foot { opacity: .6; font-size: .9rem } .ps-foot { font-size: .8rem; margin: .4rem 0 0 }
[data-testid="stMainBlockContainer"] { padding-top: 2rem; padding-bottom: 3rem; max-width: 82rem }
@media (max-width: 640px) { .ps-cards { grid-template-columns: 1fr 1fr; gap: .5rem }
  .ps-card { padding: .45rem .6rem } .ps-card b { font-size: 1rem } .ps-title { font-size: 1.15rem }
  [data-testid="stMainBlockContainer"] { padding-left: .9rem; padding-right: .9rem } }
</style>
"""


def card(title: str, value: str, detail: str = "", *, tone: str = CALM) -> str:
    return (
        f'<div class="ps-card" style="--tone:{tone}"><small>{escape(title)}</small>'
        f"<b>{escape(value)}</b><span>{escape(detail)}</span></div>"
    )


def cards(*each: str) -> str:
    return f'<div class="ps-cards">{"".join(each)}</div>'


def note(text: str, points: Sequence[str] = (), *, tone: str = CALM) -> str:
    items = f"<ul>{''.join(f'<li>{escape(point)}</li>' for point in points)}</ul>" if points else ""
    return f'<div class="ps-note" style="--tone:{tone}">{escape(text)}{items}</div>'


def heading(text: str) -> str:
    return f'<h4 class="ps-h">{escape(text)}</h4>'


def title(text: str) -> str:
    return f'<h2 class="ps-title">{escape(text)}</h2>'


def empty(text: str) -> str:
    return f'<p class="ps-empty">{escape(text)}</p>'


def foot(text: str) -> str:
    return f'<p class="ps-foot">{escape(text)}</p>'


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, none: str, numbers: Sequence[str] = ()) -> str:
    """`numbers` names the columns that are read by their last digits. `none` stands where there is no row."""
    if not rows:
        return empty(none)
    css = [' class="num"' if head in numbers else "" for head in heads]
    head = "".join(f"<th{kind}>{escape(each)}</th>" for each, kind in zip(heads, css, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{kind}>{escape(cell)}</td>' for cell, kind in zip(row, css, strict=True))}</tr>"
        for row in rows
    )
    return f'<div class="ps-scroll"><table class="ps-table"><tr>{head}</tr>{body}</table></div>'
