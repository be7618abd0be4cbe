"""What the twin has to do without although it goes on, in words: the "degraded" of the dashboard's strip.

Each sentence says what is missing, what that means, and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twin.machines import Machines
from twin.model import TwinState
from twin.topology import Topology

HEARD_WITHIN_MS = 600_000
"""So long after its first reading (plant time) a plant has told all its tags once: gateways do at their birth."""
ERROR_S = 60.0
"""A fault of the twin's own counts as present for so long (wall seconds)."""
NAMED = 3


def of_ingest(health: Mapping[str, Any] | None) -> list[str]:
    """From ingest's `GET /healthz`, None where it does not answer."""
    if health is None:
        return ["Ingest does not answer: commands, counts by hand and refits wait. Start plantwin ingest."]
    found = []
    if str(health.get("journal") or "ok") != "ok":
        found.append(f"Ingest writes nothing ({health['journal']}): new readings are refused. Make room on its disk.")
    if health.get("broker") == "down":
        found.append(
            "Ingest has no connection to the broker: nothing new arrives. Start the broker, or look at its log."
        )
    if health.get("degraded"):
        found.append(f"Ingest cannot keep up ({health['degraded']}). Send less, or give it a faster disk.")
    found += [f"Gateway {told}. Twin health, Sources, says since when." for told in health.get("sources") or ()]
    return found


def of_policy(told: Mapping[str, Any] | None) -> list[str]:
    """From what the advice service says of its policy."""
    if told is None or told["ok"]:
        return []
    n = told["late"] + told["failed"]
    why = str(told["why"])
    said = f"{why[:1].upper()}{why[1:]} ({n} time{'s' if n != 1 else ''})"
    return [f"{said}: rule and search propose without it. Restart plantwin advise, or give it another policy."]


def of_tags(topology: Topology, state: TwinState, machines: Machines) -> list[str]:
    """Tags of the plant file that nobody has told yet."""
    if not state.t or state.t - state.started < HEARD_WITHIN_MS:
        return []
    silent = [tag for tag in topology.tags if tag not in state.tags]
    silent += [tag for fold in machines.folds.values() for tag in fold.unheard()]
    if not silent:
        return []
    n = len(topology.tags) + len(machines.tags)
    more = f" and {len(silent) - NAMED} more" if len(silent) > NAMED else ""
    said = f"{len(silent)} of {n} tags have never been heard ({', '.join(silent[:NAMED])}{more})"
    return [f"{said}: what they would tell is estimated. plantwin gateway --check FILE --connect reads each once."]


def of_errors(seen: Mapping[str, float], now: float) -> list[str]:
    """Faults of the twin's own: kind and when it was last met (monotonic seconds)."""
    fresh = [kind for kind, at in seen.items() if now - at < ERROR_S and not kind.startswith("ingest:")]
    return [f"The twin meets faults ({', '.join(fresh[:NAMED])}). Look at its output."] if fresh else []
