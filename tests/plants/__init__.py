"""Plants that only tests need."""

from pathlib import Path

TWO_MOTORS = str(Path(__file__).with_name("two_motors.yaml"))
"""A line of eight stations with two products, rework, shifts, kits from a supplier and customers: small enough to be
told by hand, which the bundled gearmotor no longer is."""
