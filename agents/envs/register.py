"""Makes `gymnasium.make("plantwin:Plant-v0", plant=...)` work; `plantwin.py` calls it when gymnasium is already
loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agents.envs.env import PlantVectorEnv

ID = "Plant-v0"


def vector_env(num_envs: int = 1, device: str = "cpu", **settings: Any) -> PlantVectorEnv:
    """The vector environment on the host, or on a CUDA device (which needs torch)."""
    if device == "cuda":
        from agents.envs.device import PlantDeviceEnv

        return PlantDeviceEnv(num_envs, device=device, **settings)
    from agents.envs.env import PlantVectorEnv

    return PlantVectorEnv(num_envs, device=device, **settings)


def register() -> None:
    """Register the environments once; imports no numba and no plant."""
    import gymnasium

    if ID not in gymnasium.registry:
        gymnasium.register(
            ID, entry_point="agents.envs.env:PlantEnv", vector_entry_point="agents.envs.register:vector_env"
        )
