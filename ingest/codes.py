"""Codes of the wire: qualities, unit states, PackML names, reasons of rejection."""

from __future__ import annotations

GOOD, UNCERTAIN, STALE, BAD, MANUAL, ESTIMATED = range(6)
QUALITIES = ("good", "uncertain", "stale", "bad", "manual", "estimated")
"""Quality codes are positions in this tuple."""
UNIT_STATES = ("idle", "work", "blocked", "starved", "setup", "down", "off")
"""State codes of a work unit are positions in this tuple (the same as `sim.plant.STATES`)."""
PACKML_STATES = {
    "idle": "idle",
    "starting": "setup",
    "execute": "work",
    "completing": "work",
    "complete": "idle",
    "resetting": "setup",
    "holding": "blocked",
    "held": "blocked",
    "unholding": "work",
    "suspending": "starved",
    "suspended": "starved",
    "unsuspending": "work",
    "stopping": "down",
    "stopped": "off",
    "aborting": "down",
    "aborted": "down",
    "clearing": "down",
}
"""Default map from PackML (ISA-TR88.00.02) state names; suspended means the cause is outside the
machine, which is starved unless a plant's own mapping says blocked."""
PACKML_CODES = (
    "undefined", "clearing", "stopped", "starting", "idle", "suspended", "execute", "stopping", "aborting", "aborted",
    "holding", "held", "unholding", "suspending", "unsuspending", "resetting", "completing", "complete",
)  # fmt: skip
"""Names of PackML's state numbers 1 to 17 (ISA-TR88.00.02, `StateCurrent`); 0 is undefined."""

REASONS = (
    "not_utf8",
    "not_json",
    "too_big",
    "too_deep",
    "wrong_type",
    "bad_number",
    "bad_id",
    "columns",
    "bad_range",
    "unknown_tag",
    "bad_topic",
    "wrong_site",
    "topic_mismatch",
    "other_source",
    "no_birth",
    "sequence",
    "retained",
    "unmapped",
    "overflow",
    "not_protobuf",
    "bomb",
)
"""Every reason by which a message is rejected and counted."""
