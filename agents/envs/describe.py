"""What an environment shows and takes, as data and as text."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from agents.envs.env import PlantVectorEnv
from agents.envs.epochs import ENDLESS, EVENTS, automatic, span_text
from agents.envs.fields import fields, unit_of
from agents.envs.money import term_names
from agents.envs.schema import CLIP
from sim.compile import Compiled
from sim.settings import settings as present
from sim.state import KINDS


def describe(plant: str | Compiled, **settings: Any) -> dict[str, Any]:
    """What an environment of this plant, with these fields of `agents.envs.env.Settings`, shows and takes."""
    env = PlantVectorEnv(1, plant, **settings)
    p = env.compiled.plant
    auto, why = automatic(p)
    return {
        "plant": p.id,
        "currency": p.currency,
        "decide": env.settings.decide,
        "decide_on": list(env.settings.decide_on or KINDS) if env.pace.by_events else None,
        "auto": {"decide": auto, "why": why},
        "epoch_s": env.epoch * p.tick_s,
        "epoch_from": _epoch_from(env),
        "reward_unit": env.reward_unit,
        "terms": list(term_names(env.compiled)),
        "discount_s": env.pace.constant * p.tick_s,
        "max_episode_steps": env.limit_steps if env.limit_steps < ENDLESS else None,
        "max_episode_s": env.pace.limit * p.tick_s if env.pace.by_events else env.limit_steps * env.epoch * p.tick_s,
        "fields": list(env.observer.fields),
        "observed": [asdict(f) for f in fields(env.compiled)],
        "observation_space": {"kind": "Box", "dtype": "float32", "shape": [env.observer.size], "bounds": [-CLIP, CLIP]},
        "action_space": {"kind": "MultiDiscrete", "nvec": [int(n) for n in env.grid.counts]},
        "observation": env.observer.hash,
        "action": env.grid.hash,
        "controls": _controls(env),
        "limits": [
            f"{limit.control} {limit.op} {limit.value:g}" + (f" while {limit.condition}" if limit.condition else "")
            for limit in p.limits
        ],
    }


def _epoch_from(env: PlantVectorEnv) -> str:
    """Why the interval is as long as it is."""
    if env.settings.epoch_s:
        return "as asked for"
    plant = env.compiled.plant
    slow = [c for c in plant.controls if c.every > 0]
    first = min(slow, key=lambda c: c.every, default=None)
    if first is not None and first.every * plant.tick_s > 3600.0:
        return f"the shortest `every` of the controls, {first.id}'s"
    return "an hour, since a control may move as often"


def _controls(env: PlantVectorEnv) -> list[dict[str, Any]]:
    plant, now = env.compiled.plant, present(env.compiled.plant)
    return [
        {
            "id": c.id,
            "sets": c.sets,
            "unit": unit_of(c),
            "low": c.low,
            "high": c.high,
            "step": c.step,
            "count": int(n),
            "every_s": c.every * plant.tick_s,
            "file": now[c.sets],
        }
        for c, n in zip(env.grid.controls, env.grid.counts, strict=True)
    ]


def text_of(about: dict[str, Any]) -> str:
    """The description for people."""
    money = about["currency"]
    lines = [
        f"{about['plant']}: one decision {_when(about)}, reward in units of {about['reward_unit']:.4g} {money}",
        (
            f"decisions: {about['decide']} (the interval: {about['epoch_from']}); `--decide auto` would choose "
            f"{about['auto']['decide']}: {about['auto']['why']}"
        ),
        (
            f"an episode: {about['max_episode_s'] / 86_400:g} days; info['discount'] falls to 1/e in "
            f"{about['discount_s'] / 3600:g} h"
        ),
        f"cost: {', '.join(about['terms']) or 'none'}",
    ]
    space = about["observation_space"]
    low, high = space["bounds"]
    lines.append(f"observation: Box float32 [{space['shape'][0]}] in [{low:g}, {high:g}]")
    wide = max(len(name) for name in about["fields"])
    for f in about["observed"]:
        scale = f"1 is {f['one']:g} {f['unit']}" if f["unit"] else ""
        scale += f", 0 is {f['zero']:g}" if f["zero"] else ""
        bounds = f"{f['low']:g} to {f['high']:g}"
        lines.append(f"  {f['name']:<{wide}}  {bounds:<8}  {scale:<20}  {f['meaning']}")
    lines.append(f"action: MultiDiscrete {about['action_space']['nvec']}, one grid index a control")
    for c in about["controls"]:
        lines.append(
            f"  {c['id']}: {c['low']} to {c['high']} {c['unit']} in steps of {c['step']}, moves once in "
            f"{span_text(c['every_s'])}; {c['file']} in the file ({c['sets']})"
        )
    lines += [f"limit: {limit}" for limit in about["limits"]]
    return "\n".join(lines)


def _when(about: dict[str, Any]) -> str:
    hours = f"{about['epoch_s'] / 3600:g} h"
    if about["decide"] != EVENTS:
        return f"every {hours}"
    asking = about["decide_on"]
    which = "at every event" if len(asking) == len(KINDS) else f"at events ({', '.join(asking)})"
    return f"{which}, and at the latest after {hours}"
