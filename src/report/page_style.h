// The style of a report's page.
#pragma once

#include <string_view>

namespace fathom {

// Lines are told apart by dashes too, and the scale of loads runs from blue to orange, so that no one needs to tell red
// from green. Colours are Okabe and Ito's, made darker on white and lighter on black where contrast asks for it.
inline constexpr std::string_view kPageStyle = R"css(
:root { color-scheme: light dark; --ground: #fff; --card: #fff; --ink: #1b1f24; --soft: #59636e; --edge: #d5dae0;
  --grid: #e6e9ed; --c0: #0067a5; --c1: #c44e00; --c2: #00795b; --c3: #a0478a; --bad: #c1121f; --warn: #fff4e0;
  --b0: #0067a522; --b1: #0067a544;
  --q0: #08306b; --q1: #2f79b5; --q2: #74add1; --q3: #c6dcec; --q4: #eeeeee; --q5: #fdd9a5; --q6: #f59a45; --q7: #d65a10;
  --q8: #8c2d04; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #101418; --card: #171c22; --ink: #e4e8ec; --soft: #9aa5b1; --edge: #323a44; --grid: #2a313a;
    --c0: #56b4e9; --c1: #ff9a4d; --c2: #2fd0a4; --c3: #e69bd0; --bad: #ff6b6b; --warn: #3a2d12;
    --b0: #56b4e926; --b1: #56b4e94d;
    --q0: #d6ecff; --q1: #7cc0ff; --q2: #3f86c6; --q3: #24486a; --q4: #2b3036; --q5: #5e3f1e; --q6: #a3601c; --q7: #ea8c2f;
    --q8: #ffd9a0; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1240px; padding: 16px; background: var(--ground); color: var(--ink);
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  font-variant-numeric: tabular-nums; }
h1 { font-size: 1.6rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2rem 0 .6rem; border-bottom: 1px solid var(--edge); padding-bottom: .2rem; }
p { margin: .4rem 0; }
small, .note, .sub { color: var(--soft); }
.sub { overflow-wrap: anywhere; }
.note { font-size: .87rem; }
.warn { background: var(--warn); border-left: 3px solid var(--bad); padding: .3rem .6rem; font-size: .87rem;
  overflow-wrap: anywhere; }
.tiles { display: grid; gap: 10px; grid-template-columns: repeat(auto-fit, minmax(130px, 1fr)); margin: 1rem 0 0; padding: 0; }
.tiles div { border: 1px solid var(--edge); border-radius: 6px; padding: 8px 10px; background: var(--card); min-width: 0; }
.tiles dt { color: var(--soft); font-size: .8rem; }
.tiles dd { margin: 0; font-size: 1.25rem; font-weight: 600; overflow-wrap: anywhere; }
.tiles dd small { display: block; font-size: .78rem; font-weight: 400; }
.cards { display: grid; gap: 14px; grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr)); }
.cards + .cards { margin-top: 14px; }
.card { margin: 0; border: 1px solid var(--edge); border-radius: 6px; padding: 10px 12px; background: var(--card);
  min-width: 0; }
.wide { grid-column: 1 / -1; }
figcaption { font-weight: 600; font-size: .95rem; margin-bottom: 8px; overflow-wrap: anywhere; }
figcaption small { font-weight: 400; }
.plot { display: grid; grid-template: var(--h) 18px 16px / 3.6em 1fr; font-size: 12px; color: var(--soft);
  padding-right: 12px; }
.area { position: relative; grid-area: 1 / 2; min-width: 0; }
.area svg { display: block; width: 100%; height: 100%; overflow: visible; }
.ys { position: relative; grid-area: 1 / 1; }
.ys span { position: absolute; right: 6px; transform: translateY(-50%); white-space: nowrap; }
.xs { position: relative; grid-area: 2 / 2; }
.xs span { position: absolute; top: 3px; transform: translateX(-50%); white-space: nowrap; }
.xl { grid-area: 3 / 2; text-align: center; line-height: 16px; }
path { fill: none; vector-effect: non-scaling-stroke; stroke-linejoin: round; }
.grid { stroke: var(--grid); stroke-width: 1; }
.line { stroke-width: 1.6; stroke-linecap: round; }
.raw { stroke-width: 1; opacity: .45; }
.mean { stroke-width: 2.2; }
.dots { stroke-width: 7; stroke-linecap: round; }
.c0 { stroke: var(--c0); } .c1 { stroke: var(--c1); } .c2 { stroke: var(--c2); } .c3 { stroke: var(--c3); }
.line.c1 { stroke-dasharray: 6 3; } .line.c2 { stroke-dasharray: 2 3; } .line.c3 { stroke-dasharray: 9 3 2 3; }
.line.raw { stroke-dasharray: none; }
.b0 { fill: var(--b0); } .b1 { fill: var(--b1); }
.bad { stroke: var(--bad); stroke-width: 1; fill: var(--bad); fill-opacity: .25; }
.badmark { position: absolute; top: 0; padding: 0 3px; font-size: 11px; color: var(--bad); background: var(--card);
  max-width: 100%; transform: translateX(-50%); white-space: nowrap; }
.badkey { display: inline-block; width: 10px; height: 10px; border: 1px solid var(--bad); margin-right: 6px; }
.heat { vector-effect: none; stroke-width: inherit; stroke-linecap: butt; }
.q0 { --q: var(--q0); } .q1 { --q: var(--q1); } .q2 { --q: var(--q2); } .q3 { --q: var(--q3); } .q4 { --q: var(--q4); }
.q5 { --q: var(--q5); } .q6 { --q: var(--q6); } .q7 { --q: var(--q7); } .q8 { --q: var(--q8); }
.heat { stroke: var(--q); }
.swatch { display: inline-block; width: 14px; height: 12px; margin-right: 4px; background: var(--q);
  border: 1px solid var(--edge); vertical-align: -1px; }
.loads { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 12px; margin: 6px 0 0; padding: 0; font-size: .8rem; }
table { border-collapse: collapse; font-size: .87rem; }
th { text-align: left; font-weight: 500; }
.legend { width: 100%; margin-top: 6px; font-size: .8rem; }
.legend thead th { color: var(--soft); font-weight: 400; }
.legend th, .legend td { padding: 1px 4px 1px 0; vertical-align: top; }
.legend tbody th { padding-left: 30px; position: relative; }
.legend td { white-space: nowrap; width: 5.2em; }
.legend td small { display: block; font-size: .72rem; line-height: 1.1; }
.key { position: absolute; left: 0; top: .5em; width: 24px; height: 8px; }
.values th, .values td, .settings th, .settings td { padding: 3px 12px 3px 0; border-bottom: 1px solid var(--grid);
  vertical-align: top; }
.values td, .values thead th + th { text-align: right; }
.settings { width: 100%; }
.settings td, .settings th { overflow-wrap: anywhere; }
.settings tbody td { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: .8rem; }
.scroll { overflow-x: auto; }
details { margin: .8rem 0; }
summary { cursor: pointer; font-weight: 500; }
@media (max-width: 480px) {
  body { padding: 8px; }
  .card { padding: 8px; }
  .plot { padding-right: 8px; }
}
footer { margin-top: 2rem; color: var(--soft); font-size: .8rem; }
)css";

}  // namespace fathom
