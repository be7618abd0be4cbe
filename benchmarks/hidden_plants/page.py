"""The page of the hidden plants, written from the results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks._record import Figure
from benchmarks.hidden_plants.rivals import RIVALS, SPREAD, best_single, better

HEAD = """# Hidden plants

A twin is easily right about plants that its authors wrote. These were not made comfortable for it: SimPy models
that share no code with the twin, the kernel or the virtual plant (`benchmarks/hidden_plants/model.py`, `spec.py`,
`field.py`), drawn from a seed and seen only through the registers of their controllers. This page is written by
`plantwin bench hidden_plants --plants {plants} --seed {seed} --shifts {shifts} --page docs/hidden-plants.md`.

**What is dirty.** About half of the stations have no controller at all. Registers of 16 bits wrap and are reset at
the change of shift, some while the gateway is down; part sensors miss 1 to 3 %; states come as PackML words with
other bits in them, or as single bits, late; reason codes are typed in up to 25 minutes afterwards; people carry
parts past a machine or put them aside; the power dips and stops half of the line; plain MQTT loses messages; clocks
are off; lines start slowly; a part is not begun before there is room behind; one operator serves two stations; and
the shifts do not do what the plan says (a longer break, an early end on Friday, a late start, a Saturday shift).

**What the engineer writes** on the first day (`engineer.py`): a plant file from nameplates (times 10 to 40 % off,
failure data off by up to twice, the official shift plan, nothing of dips, hand moves or blocking before service),
the tag list, and a `mapping.yaml`. Then {listen_days:g} days of listening, read-only. At their end he approves the
hours of work that the twin proposes (`plantwin calibrate`, lines `hours:`); nothing else is touched.

**What is scored.** The good parts of each of {shifts} shifts, forecast at the beginning of the shift from the live
state with the calibrated parameters, against what the hidden plant really made. Everybody knows the booked output
of the shifts that are over: the rivals take it as it is, the twin corrects its own forecasts with it
(`twin/experience.py`; the forecasts of the week of listening are made again, at its end, from the states kept then,
with what is known now). Both are the running twin's own code (`twin/shiftcast.py`), which does the same by itself
(`twin/shiftbook.py`); it takes what it has counted for the booked output where nobody books it.
*Alone* is the twin without that correction. The naive forecasts are single numbers, whose
CRPS is their absolute error: the last shift, the same shift a day before, the same shift a week before, the mean of
the shifts so far. A sample has an advantage over a single number under CRPS, so the table also has the mean
absolute error, and one more rival, the strictest: all shifts of the same kind so far as a sample (*{spread}*).

"""

TAIL = """
## What this does not say
- The hidden plants were written by the same people as the twin: they are other code, not other minds.
- The form of the correction, and what counts as work in closed time, were settled after the plants of seeds 0 to 5 had
  been seen; the share without them is in the table.
- **Much of the advantage is that of a band over a number.** Where nothing changes from week to week the past is hard to
  beat: by mean absolute error the twin is better than the mean so far on about half of the plants only, and against all
  shifts of the kind so far as a sample on less than a third; over all plants both are equal.
- Without the correction by booked outputs the twin is better on fewer plants than the target asks for: a week of
  listening to half of the stations does not tell how fast the other half is.
- Few shifts a plant: what is said of one plant is not certain.
- *Corrected by its own counts*: nobody books anything, and what the twin itself has counted takes the place of the
  booked output, as it does in the running twin by default. On most plants both agree to less than a part a shift; where
  the last station sends parts back and its counter knows only that an operation ended (*rework*), the count is up to
  some twenty parts a shift too high: book the output there, or count good parts.
- The correction by booked outputs does much of the work where the bottleneck has no controller; the column *alone*
  says how much.
- Plants are stationary but for their weeks: no drift, no new product. What the twin gains there over a mean of the past
  is not measured here.
- Hours that happen on one day of the week only are seen once in a week of listening and are believed after that once.
"""


def write_page(path: Path, results: Sequence[dict[str, Any]], figures: Sequence[Figure], asked: dict[str, Any]) -> None:
    """Write the page of the results."""
    text = HEAD.format(**asked, spread=SPREAD) + _figures(figures) + _table(results) + _stories(results) + TAIL
    path.write_text(text, encoding="utf-8")


def _figures(figures: Sequence[Figure]) -> str:
    lines = ["| figure Q13 | value | target |", "|---|---|---|"]
    for f in figures:
        against = f" / {f.peer}" if f.what.startswith("CRPS") else ""
        lines.append(f"| {f.what}{against} | {f.ratio:.2f} | {f.target} |")
    return "\n".join(lines) + "\n\n"


def _table(results: Sequence[dict[str, Any]]) -> str:
    single = best_single(results)
    lines = [
        "## Plant by plant",
        "CRPS and errors in parts a shift, bold where the twin is better than the best single naive forecast over all",
        f"plants ({single}). The best of each plant is chosen afterwards, which nobody could have known.",
        "",
        f"| plant | kind, release | parts a shift | twin | alone | {single} | best of it | {SPREAD} | error | covers |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in results:
        c = r["crps"]
        twin = f"**{c['twin']:.1f}**" if better(r, single) else f"{c['twin']:.1f}"
        best = min(RIVALS, key=lambda who: c[who])
        lines.append(
            f"| {r['seed']} | {r['kind']}, {r['release']} | {r['output']:.0f} | {twin} | {c['alone']:.1f} "
            f"| {c[single]:.1f} | {c[best]:.1f} ({best}) | {c[SPREAD]:.1f} | {c['mae']:.1f} "
            f"| {100 * r['coverage']:.0f} % |"
        )
    return "\n".join(lines) + "\n\n"


def _stories(results: Sequence[dict[str, Any]]) -> str:
    single = best_single(results)
    lines = ["## What was dirty, what was found, what went wrong"]
    for r in results:
        verdict = "better" if better(r, single) else "**not better**"
        also = "" if better(r, "best") else "; not better than its best naive"
        bias = f"mean forecast less measured {r['bias']:+.1f}, without correction {r['bias_alone']:+.1f}"
        lines.append(f"- **Plant {r['seed']}** ({verdict}{also}; {bias}). *Dirty*: {', '.join(r['dirt'])}.")
        if r["calendar"]:
            lines.append(f"  *Hours found*: {'; '.join(r['calendar'])}.")
        lines.append(f"  *Went wrong*: {'; '.join(r['went_wrong'])}.")
    return "\n".join(lines) + "\n"
