"""A small Prometheus exposition of the twin."""

from __future__ import annotations

from twin.engine import Engine


def exposition(engine: Engine) -> str:
    """Metrics as text (format 0.0.4)."""
    with engine.lock:
        scores, counts = engine.scores.summary(), dict(engine.tracker.state.counts)
        policy = engine.book.policy or {}
        changed = [n for n in engine.watch.open(engine.tracker.state) if n["kind"] == "condition"]
        age = engine.age_s()
        lines = [
            *_one("plantwin_twin_journal_position", "gauge", "Newest journal row applied", engine.tracker.pos),
            *_one("plantwin_twin_rows_total", "counter", "Journal rows applied since the start", engine.rows),
            *_one("plantwin_twin_age_seconds", "gauge", "Wall seconds since the newest row", min(age, 1e9)),
            *_one("plantwin_twin_stale", "gauge", "1 while the data are stale", int(bool(engine.stale()))),
            *_one("plantwin_twin_holes", "gauge", "Numbers missing below the newest", engine.tracker.holes),
            *_one(
                "plantwin_twin_contradictions",
                "gauge",
                "Contradictions shown",
                len(engine.tracker.state.contradictions),
            ),
            *_one("plantwin_twin_forecasts_scored_total", "counter", "Forecasts scored", scores["n"]),
            *_one("plantwin_twin_advice_total", "counter", "Decision moments checked", engine.book.evaluated),
            *_one("plantwin_twin_degraded", "gauge", "Things the twin has to do without", len(engine.missing())),
            *_one(
                "plantwin_policy_late_total", "counter", "Moments without the policy's answer", policy.get("late", 0)
            ),
            *_one("plantwin_policy_failed_total", "counter", "Moments at which it failed", policy.get("failed", 0)),
            *_one("plantwin_twin_machines_changed", "gauge", "Machines whose condition changed", len(changed)),
            *_one("plantwin_twin_log_rows", "gauge", "Rows of the evidence log", engine.log.checkpoint().seq),
        ]
        if scores["coverage90"] is not None:
            lines += _one("plantwin_twin_coverage90", "gauge", "Share inside the 90 % band", scores["coverage90"])
        lines += [
            "# HELP plantwin_twin_floor_total What the tracker had to infer or correct",
            "# TYPE plantwin_twin_floor_total counter",
        ]
        lines += [f'plantwin_twin_floor_total{{what="{name}"}} {n}' for name, n in sorted(counts.items())]
        lines += ["# HELP plantwin_twin_errors_total Faults by kind", "# TYPE plantwin_twin_errors_total counter"]
        lines += [f'plantwin_twin_errors_total{{kind="{name}"}} {n}' for name, n in sorted(engine.errors.items())]
    return "\n".join(lines) + "\n"


def _one(name: str, kind: str, text: str, value: float) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}", f"{name} {value}"]
