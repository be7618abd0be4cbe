"""Makes `gymnasium.make("plantwin:Plant-v0", plant=...)` work; `plantwin.py` calls it when gymnasium is already
loaded.
"""

from __future__ import annotations

ID = "Plant-v0"


def register() -> None:
    """Register the environments once; imports no numba and no plant."""
    import gymnasium

    if ID not in gymnasium.registry:
        gymnasium.register(ID, entry_point="agents.env:PlantEnv", vector_entry_point="agents.env:PlantVectorEnv")
