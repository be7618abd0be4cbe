"""What is kept of the ensemble of one stretch of stations that no sensor sees (`twin.hidden`)."""

from __future__ import annotations

import msgspec


class Seen(msgspec.Struct, frozen=True):
    """What the ends of a stretch show at one moment: parts that came and went since the first row, free units behind
    it, least and most blocked units before it, (position of the queue, parts) of the level readings of this moment.
    """

    entered: int
    served: int
    willing: int
    least: int
    most: int
    levels: tuple[tuple[int, int], ...] = ()


class Hidden(msgspec.Struct):
    """Members as they were at plant time `t` (ms), as the bytes of float64[n, W] (`twin.hidden_kernel`).

    `step` numbers the draws; `entered` and `served` are the counts imposed so far; `willing`, `least`, `most`, `level`
    what the ends last showed; `since` when a unit behind the stretch last became free, `reacts` how many ms it needed
    at least, lately, to begin. `quiet`: log probability of the silence since something was last seen. `net` and
    `asked`: of the stock behind it, when `known`. `empty`: there was nothing inside when all began; `counts`: by
    channel its newest value and how many it has counted since then. `ess`: effective sample size at the last weighing;
    `resampled`, `again`, `rethought`, `surprises`, `seen`: how often that happened. `marks`: copies of all this from
    some observations ago, the older first; `since_mark`: what was seen since each; `rest`: how many observations it
    will not be worth while to take them in again. `left`: how many of `served` the tracker's own parts have followed
    (-1: they have not followed at all yet).
    """

    key: str
    n: int
    members: bytearray
    t: int
    step: int = 0
    entered: int = 0
    served: int = 0
    willing: int = 0
    since: int = 0
    least: int = 0
    most: int = 0
    level: int = -1
    reacts: float = 0.0
    quiet: float = 0.0
    net: int = 0
    asked: int = 0
    known: bool = False
    empty: bool = False
    counts: dict[str, tuple[int, int]] = {}
    ess: float = 0.0
    resampled: int = 0
    again: int = 0
    rethought: int = 0
    surprises: int = 0
    seen: int = 0
    rest: int = 0
    left: int = -1
    marks: list[bytes] = []
    since_mark: list[list[tuple[int, Seen]]] = []
