"""Rows that stay on a device do what rows on the host do: in numba's simulator here, on a device where there is one."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from sim import kernel
from sim.dlpack import CPU, MemoryView
from tests.sim.engines import SEED, compiled_bundled, compiled_random
from tests.sim.resident_rows import Device, Host, moments, reading, told
from tests.sim.test_engines import run_python

SIMULATOR = {"NUMBA_DISABLE_JIT": "1", "NUMBA_ENABLE_CUDASIM": "1"}
PLANTS = {"gearmotor": 1_500_000, "line3": 40_000, "4": 120, "8": 120, "10": 120}
REPLICAS = 5


def test_the_story_is_the_same_in_the_simulator() -> None:
    pairs = [f"{name}={until}" for name, until in PLANTS.items()]
    found = json.loads(run_python("tests.sim.resident_rows", str(REPLICAS), *pairs, **SIMULATOR))
    expected = told(Host, REPLICAS, PLANTS)
    assert found == expected
    for name, digests in expected.items():
        assert len(set(digests)) == len(digests), f"plant {name}: a step of the story changed nothing"


def test_errors_and_views_in_the_simulator() -> None:
    assert run_python("tests.sim.resident_inside", **SIMULATOR).split() == ["all", "well"]


def test_what_clear_stats_forgets_is_found_by_watching_it() -> None:
    from sim.cuda import cleared

    compiled = compiled_bundled("gearmotor")
    rows = kernel.new_rows(compiled, SEED, 2)
    kernel.run(rows, compiled, 3_000_000)
    expected = rows.copy()
    kernel.clear_stats(expected, compiled)
    zeroed, stamped = cleared(compiled)
    rows[:, zeroed] = 0
    rows[:, stamped] = rows[:, :1]
    assert np.array_equal(rows, expected)


def test_a_view_keeps_its_owner_alive_and_shares_its_memory() -> None:
    import gc
    import weakref

    from sim import dlpack

    class Owner:
        def __init__(self) -> None:
            self.array = np.arange(12, dtype=np.int64).reshape(3, 4)

    owner = Owner()
    array = owner.array
    waited: list[int] = []
    view = MemoryView(owner, array.ctypes.data + 8, (2, 3), (8, 32), array.dtype, (CPU, 0), 1, lambda: waited.append(1))
    seen = np.from_dlpack(view)
    assert seen.tolist() == [[1, 5, 9], [2, 6, 10]]
    array[2, 1] = 99
    assert seen[0, 2] == 99
    assert waited
    assert not hasattr(view, "__cuda_array_interface__")
    gone = weakref.ref(owner)
    del owner, view
    gc.collect()
    assert gone() is not None, "the consumer still uses it"
    del seen
    gc.collect()
    assert gone() is None
    assert not dlpack._ALIVE


def test_an_export_that_nobody_takes_is_dropped() -> None:
    from sim import dlpack

    array = np.zeros(2)
    view = MemoryView(array, array.ctypes.data, (2,), (8,), array.dtype, (CPU, 0), 1, lambda: None)
    capsule = view.__dlpack__()
    assert len(dlpack._ALIVE) == 1
    del capsule
    assert not dlpack._ALIVE
    with pytest.raises(BufferError, match="never a copy"):
        view.__dlpack__(copy=True)


def device() -> Any:
    """The module of the device, or a skip with its reason."""
    cuda = pytest.importorskip("sim.cuda")
    if cuda.simulated() or not cuda.available():
        pytest.skip("no CUDA device")
    return cuda


@pytest.mark.gpu
@pytest.mark.parametrize("replicas", [REPLICAS, 1000])
def test_the_story_is_the_same_on_a_device(replicas: int) -> None:
    device()
    assert told(Device, replicas, PLANTS) == told(Host, replicas, PLANTS)


@pytest.mark.gpu
def test_a_device_s_errors_wait_until_they_are_asked_for() -> None:
    cuda = device()
    compiled = compiled_random(3)
    resident = cuda.Resident.new(compiled, SEED, 40)
    resident.advance(100)
    resident.advance(50)
    with pytest.raises(ValueError, match=r"time never runs backwards"):
        resident.check()
    rows = kernel.new_rows(compiled, SEED, 40)
    rows[7, 3] = 1
    resident = cuda.Resident(rows, compiled)
    resident.advance(100)
    with pytest.raises(kernel.KernelError, match="replica 7 of seed"):
        resident.check()


@pytest.mark.gpu
def test_torch_shares_the_memory_of_a_device() -> None:
    cuda = device()
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this build of torch has no CUDA")
    compiled = compiled_bundled("gearmotor")
    resident = cuda.Resident.new(compiled, SEED, 64)
    resident.advance(1_000_000)
    expected = resident.to_host()
    for name in ("now", "q_len", "n_state", "unit_draws", "finished"):
        wanted = compiled.layout.view(expected, name)
        for tensor in (
            torch.from_dlpack(resident.view(name)),
            torch.as_tensor(resident.view(name), device="cuda"),
        ):
            assert tensor.shape == wanted.shape
            assert np.array_equal(tensor.cpu().numpy(), wanted), name
    tensor = torch.from_dlpack(resident.view("seed"))
    tensor += 5
    torch.cuda.synchronize()
    assert np.array_equal(resident.to_host()[:, 1], expected[:, 1] + 5)
    # and the other way round: observations straight into a tensor, ticks and controls straight from one
    what = resident.selection(*reading(compiled))
    seen = torch.zeros((64, len(what)), dtype=torch.float32, device="cuda")
    assert resident.gather(what, seen) is not None
    given = resident.gather(what).copy_to_host()
    assert np.array_equal(seen.cpu().numpy(), given)
    resident.advance(torch.full((64,), 1_000_001, dtype=torch.int64, device="cuda"))
    controls = kernel.get_controls(resident.to_host(), compiled)
    resident.set_controls(torch.as_tensor(controls, device="cuda"))
    resident.check()


@pytest.mark.gpu
def test_a_torch_stream_can_be_handed_in() -> None:
    cuda = device()
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this build of torch has no CUDA")
    compiled = compiled_bundled("gearmotor")
    expected = list(moments(Host(kernel.new_rows(compiled, SEED, 300), compiled), compiled, 300, 1_500_000))
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        machine = Device(kernel.new_rows(compiled, SEED, 300), compiled, stream.cuda_stream)
        assert list(moments(machine, compiled, 300, 1_500_000)) == expected
        resident, what = machine.resident, machine.selection
        # no waiting anywhere: torch's own work on the stream comes after the kernel's, and before the next one's
        seen = torch.empty((300, len(what)), dtype=torch.float32, device="cuda")
        resident.gather(what, seen)
        total = seen.double().sum()
        resident.use(None)
        resident.advance(4_000_000)
        resident.use(stream.cuda_stream)
        resident.gather(what, seen)
        later = seen.double().sum()
    stream.synchronize()
    assert total.item() != later.item()
    fresh = cuda.Resident(resident.to_host(), compiled)
    found = fresh.gather(what).copy_to_host().astype(np.float64).sum()
    assert later.item() == pytest.approx(float(found), rel=1e-12)
