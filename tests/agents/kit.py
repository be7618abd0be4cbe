"""What tests of environments share."""

from __future__ import annotations

from sim.plantfile import bundled, load

PLANTS = [name for name in bundled() if load(name).controls]
"""Bundled plants with controls."""
