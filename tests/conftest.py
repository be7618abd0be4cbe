"""For all tests: the same examples in every run of the continuous integration, other ones at every developer's."""

from __future__ import annotations

import os

from hypothesis import settings

# A run that lands or rejects a change must not depend on luck; new counterexamples are looked for at the desk.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
