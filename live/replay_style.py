"""How a replay's page looks: light or dark as the reader's system has it, from a phone's width up. [P]"""

STYLE = """
:root { color-scheme: light dark; --ground: #faf9f6; --card: #fff; --ink: #1d2126; --soft: #666c74; --hair: #e3e1db;
  --rose: #2c7f6b; --fell: #b5483e; --calm: #2a5db0; --warn: #9a6708; --zone: #8a6fc0 }
@media (prefers-color-scheme: dark) { :root { --ground: #13151a; --card: #1a1d23; --ink: #e4e6ea; --soft: #9299a3;
  --hair: #2b2f37; --rose: #4db399; --fell: #e2776d; --calm: #7fabf3; --warn: #d8a445; --zone: #ab93e0 } }
* { box-sizing: border-box }
html { -webkit-text-size-adjust: 100% }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI",
  Roboto, "Helvetica Neue", Arial, sans-serif; font-variant-numeric: tabular-nums }
main { max-width: 68rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem }
h1 { font-size: 1.7rem; line-height: 1.2; font-weight: 650; letter-spacing: -.01em; margin: 0 }
h2 { font-size: 1.05rem; font-weight: 650; margin: 2.75rem 0 .2rem }
p { margin: .2rem 0 0; max-width: 46rem } .soft { color: var(--soft) }
.caveat { border-left: 3px solid var(--warn); padding: .1rem 0 .1rem .8rem; margin-top: 1.1rem }
a { color: inherit }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.4rem, 1fr)); gap: 1px; margin-top: 1.6rem;
  background: var(--hair); border: 1px solid var(--hair); border-radius: .6rem; overflow: hidden }
.figures div { background: var(--card); padding: .8rem 1rem .75rem }
.figures small, .figures span { display: block; color: var(--soft); font-size: .8rem; line-height: 1.35 }
.figures b { display: block; font-size: 1.45rem; font-weight: 600; letter-spacing: -.01em; line-height: 1.35 }
.good { color: var(--rose) } .bad { color: var(--fell) }

.sheet { background: var(--card); border: 1px solid var(--hair); border-radius: .6rem; padding: .9rem 1rem .8rem;
  margin-top: .8rem }
.plot { position: relative; margin: 0 4.6rem 0 0 } .plot svg { display: block; width: 100%; height: 100% }
.plot + .plot, .plot + h3 { margin-top: 1.1rem }
.sheet h3 { font-size: .8rem; font-weight: 500; color: var(--soft); margin: 0 0 .45rem }
.sheet h3:not(:first-child) { margin-top: 1.2rem }
.tall { height: 260px } .low { height: 130px } .slim { height: 90px } .window { height: 360px }
svg path, svg rect { vector-effect: non-scaling-stroke }
.grid { stroke: var(--hair); stroke-width: 1; fill: none }
.band { fill: var(--ink); opacity: .16 } .close { fill: none; stroke: var(--ink); stroke-width: 1.2; opacity: .75 }
.equity { fill: none; stroke: var(--calm); stroke-width: 1.7; stroke-linejoin: round }
.equity-under { fill: var(--calm); opacity: .1 }
.fall { fill: var(--fell); opacity: .22 } .fall-line { fill: none; stroke: var(--fell); stroke-width: 1.2 }
.rose { fill: var(--rose); stroke: var(--rose); stroke-width: 1 }
.fell { fill: var(--fell); stroke: var(--fell); stroke-width: 1 }
.bar-rose { fill: var(--rose) } .bar-fell { fill: var(--fell) } .zero { stroke: var(--soft); stroke-width: 1 }
.gap { fill: var(--zone); opacity: .2 } .block { fill: none; stroke: var(--zone); stroke-width: 1 }
.used { fill: var(--zone); opacity: .38 }
.risk { fill: var(--fell); opacity: .11 } .reward { fill: var(--rose); opacity: .11 }
.structure { fill: none; stroke: var(--soft); stroke-width: 1 }
.swept { fill: none; stroke: var(--warn); stroke-width: 1.4; stroke-dasharray: 5 3 }
.decided { fill: none; stroke: var(--calm); stroke-width: 1; stroke-dasharray: 2 3 }
.entry-line { fill: none; stroke: var(--calm); stroke-width: 1.4 }
.stop-line { fill: none; stroke: var(--fell); stroke-width: 1.4 }
.target-line { fill: none; stroke: var(--rose); stroke-width: 1.2; stroke-dasharray: 4 3 }
.plot > i, .plot > a, .plot > b { position: absolute; font-style: normal; white-space: nowrap; line-height: 1 }
.tick, .tag { left: 100%; transform: translateY(-50%); padding-left: .45rem; font-size: .72rem; font-weight: 400;
  color: var(--soft) }
.tag { font-weight: 600 } .tag.entry { color: var(--calm) } .tag.stop { color: var(--fell) }
.tag.target { color: var(--rose) }
.dot { width: 9px; height: 9px; margin: -4.5px 0 0 -4.5px; border-radius: 50%; border: 1.5px solid var(--card);
  background: var(--rose) }
.dot.lost { background: var(--fell) } .dot.still { background: var(--calm) }
.dot:hover, .dot:focus { outline: 2px solid var(--ink) }
.word { text-shadow: 0 0 2px var(--card), 0 0 3px var(--card), 0 0 4px var(--card);
  font-size: .68rem; color: var(--soft); transform: translate(-50%, -125%); padding: 0 .15rem }
.word.below { transform: translate(-50%, 35%) } .word.sweep { color: var(--warn) } .word.zone { color: var(--zone);
  transform: translate(.1rem, -115%) }
.word.zone.below { transform: translate(.1rem, 25%) }
.word.when { transform: translate(-50%, 0); color: var(--calm); background: var(--card); padding: .1rem .25rem }
.buy, .sell { font-size: .8rem; transform: translate(-50%, 20%); color: var(--calm) }
.sell { transform: translate(-50%, -120%) } .stopped { color: var(--fell) } .reached { color: var(--rose) }
.times { position: relative; height: 1.2rem; margin-right: 4.6rem }
.times i { position: absolute; top: .3rem; transform: translateX(-50%); font-style: normal; font-size: .72rem;
  color: var(--soft); white-space: nowrap }

.steps { display: flex; flex-wrap: wrap; gap: .35rem 0; list-style: none; padding: 0; margin: .2rem 0 1rem }
.steps li { padding-right: 1.9rem; position: relative } .steps b { font-size: 1.1rem; font-weight: 600 }
.steps small { display: block; color: var(--soft); font-size: .78rem }
.steps li:not(:last-child)::after { content: "→"; position: absolute; right: .6rem; top: .05rem; color: var(--soft) }
.bars div { display: grid; grid-template-columns: minmax(8rem, 25rem) 1fr 4.5rem; gap: .1rem .9rem; align-items: center;
  font-size: .86rem; line-height: 1.3; padding: .14rem 0 }
.bars i { height: .62rem; border-radius: .15rem; background: var(--calm); width: max(var(--share), 2px); opacity: .75 }
.bars b { font-weight: 500; text-align: right }
.scroll { overflow-x: auto } table { border-collapse: collapse; width: 100%; font-size: .84rem }
th { text-align: right; font-weight: 500; color: var(--soft) } td { text-align: right }
th, td { padding: .32rem 0 .32rem 1rem; white-space: nowrap; border-bottom: 1px solid var(--hair) }
th:nth-child(-n+3), td:nth-child(-n+3) { text-align: left } th:first-child, td:first-child { padding-left: 0 }
tr:last-child td { border-bottom: 0 } tr:target { background: color-mix(in srgb, var(--calm) 12%, transparent) }
details { border-bottom: 1px solid var(--hair) } details:last-of-type { border-bottom: 0 }
summary { cursor: pointer; padding: .6rem 0; display: flex; flex-wrap: wrap; gap: 0 1.1rem; list-style: none }
summary::-webkit-details-marker { display: none } summary::before { content: "▸"; color: var(--soft) }
details[open] summary::before { content: "▾" } summary b { font-weight: 600 }
details .plot { margin-top: 1.6rem } details p { font-size: .86rem; margin: .5rem 0 1rem }
ul.assumed { margin: .5rem 0 0; padding-left: 1.1rem; max-width: 50rem; font-size: .9rem }
.assumed li { margin: .2rem 0 }
footer { margin-top: 2.5rem; color: var(--soft); font-size: .8rem }
@media (max-width: 600px) {
  main { padding: 1.5rem .9rem 3rem } .sheet { padding: .8rem .7rem } h1 { font-size: 1.4rem }
  .figures { grid-template-columns: 1fr 1fr } .figures div { padding: .65rem .75rem } .figures b { font-size: 1.2rem }
  .plot, .times { margin-right: 3.9rem } .tick, .tag { font-size: .68rem; padding-left: .3rem }
  .times i:nth-child(even), .wide { display: none } .tall { height: 200px } .window { height: 300px }
  .bars div { grid-template-columns: 1fr auto; padding: .25rem 0 }
  .bars i { grid-row: 2; grid-column: 1 / -1; height: .4rem }
  .close { stroke-width: .8 }
  .dot { width: 7px; height: 7px; margin: -3.5px 0 0 -3.5px }
}
@media print { body { background: #fff } details { break-inside: avoid } }
"""
