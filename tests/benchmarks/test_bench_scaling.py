"""The benchmarks of size, threads, start and device run, and measure what they say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import _record, size, startup, threads
from benchmarks._lines import full, line
from benchmarks._record import Figure
from sim import kernel
from sim.state import EVENTS

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def nothing_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Result files of these tests go nowhere; the folder they would go to."""
    monkeypatch.setattr(_record, "RESULTS", tmp_path / "results")
    return tmp_path / "results"


def test_the_lines_are_what_they_say() -> None:
    compiled = line(10)
    rows = kernel.new_rows(compiled, 1, 8)
    kernel.run(rows, compiled, 500_000)
    before = compiled.layout.view(rows, "finished").sum()
    kernel.run(rows, compiled, 3_500_000)
    made = (compiled.layout.view(rows, "finished").sum() - before) / 8 / 3000
    assert made == pytest.approx(0.641, rel=0.05), "the throughput of line10"
    stuffed = full(200)
    rows = kernel.new_rows(stuffed, 1, 2)
    kernel.run(rows, stuffed, 100_000)
    assert stuffed.layout.view(rows, "wip").tolist() == [[200], [200]]


def test_cost_is_spent_on_about_the_events_asked_for() -> None:
    compiled = line(4)
    run = size.cost(compiled, 2, 4000)
    assert 1 < run() < 1e6
    rows = next(cell.cell_contents for cell in run.__closure__ or () if isinstance(cell.cell_contents, np.ndarray))
    before = int(rows[:, EVENTS].sum())
    run()
    assert 2000 < int(rows[:, EVENTS].sum()) - before < 8000


def test_memory_of_a_replica_is_its_row_and_no_more() -> None:
    found = size.memory(full(2000, 4))
    assert found["layout"] > 2000 * 8
    assert found["measured"] == pytest.approx(found["layout"], rel=0.1)


def test_size_prints_rows_and_keeps_nothing_of_a_quick_run(
    nothing_kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("STATIONS", (4, 10)), ("REPLICAS", (1, 4)), ("PARTS", (10, 20)), ("LARGE", 4)):
        monkeypatch.setattr(size, name, value)
    monkeypatch.setattr(size, "MEASURED_BYTES", 1 << 20)
    assert size.main(["--pairs", "1", "--events", "500", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["row"] for row in rows] == [6]
    assert rows[0]["ratio"] > 0
    assert not nothing_kept.exists()


def test_threads_change_no_number_and_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    assert threads.main(["--pairs", "2", "--environments", "8", "--seconds", "5", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["row"], row["n"]) == (4, 2)
    assert row["spread"][0] <= row["ratio"] <= row["spread"][1]


def test_startup_measures_processes_that_end_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = startup.Process(str(tmp_path))
    spent = process.seconds(("-c", "import decimal; sum(range(3_000_000))"))
    assert spent > 0.01
    assert 0.01 < process.cpu[0] < 2 * spent + 0.05
    assert list(tmp_path.rglob("decimal*.pyc")), "compiled sources are cached as for everybody"
    with pytest.raises(AssertionError, match="no_such_thing"):
        process.seconds(("-c", "import no_such_thing"))

    def seconds(self: startup.Process, arguments: tuple[str, ...]) -> float:
        self.cpu.append(0.1)
        return 0.6 if arguments == startup.SIMULATE else 0.15

    monkeypatch.setattr(startup.Process, "seconds", seconds)
    figures, detail = startup.measure(3)
    assert [(figure.row, figure.ratio) for figure in figures] == [(7, 0.6 / 1.5), (7, 0.15 / 0.3)]
    assert (detail["`--help`"]["seconds"], detail["`--help`"]["cpu_seconds"]) == (0.15, 0.1)


def test_a_device_s_result_file_bears_its_name_and_the_date(nothing_kept: Path) -> None:
    path = _record.keep("cuda", [Figure(1, "a", "b", 1.0, ">= 1x", 1, None)], {}, {}, "NVIDIA H100 80GB/HBM3")
    content = json.loads(path.read_text(encoding="utf-8"))
    assert path == nothing_kept / f"cuda-nvidia-h100-80gb-hbm3-{content['date']}.json"
    assert content["device"] == "NVIDIA H100 80GB/HBM3"


def bench_cuda(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`plantwin bench cuda` in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    argv = (sys.executable, "-m", "plantwin", "bench", "cuda", *arguments)
    return subprocess.run(argv, cwd=ROOT, env=environment | variables, capture_output=True, text=True, check=False)


def test_bench_cuda_refuses_politely_without_a_device() -> None:
    done = bench_cuda(CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 1
    assert done.stderr.strip() == "bench cuda: no CUDA device here; `plantwin doctor` says what is missing"
    assert done.stdout == ""


def test_bench_cuda_runs_in_the_simulator_and_keeps_nothing() -> None:
    arguments = ("--rounds", "1", "--replicas", "2,3", "--seconds", "5", "--json")
    before = sorted((ROOT / "benchmarks" / "results").iterdir())
    done = bench_cuda(*arguments, NUMBA_ENABLE_CUDASIM="1", NUMBA_DISABLE_JIT="1")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["device"] == "numba's CUDA simulator"
    assert [[x for x, _ in one["points"]] for one in found["curves"]] == [[2, 3], [2, 3]]
    assert sorted((ROOT / "benchmarks" / "results").iterdir()) == before


@pytest.mark.gpu
def test_bench_cuda_runs_on_a_device() -> None:
    cuda = pytest.importorskip("sim.cuda")
    if cuda.simulated() or not cuda.available():
        pytest.skip("no CUDA device")
    done = bench_cuda("--rounds", "1", "--replicas", "64,1024", "--seconds", "20", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["curves"][0]["points"][1][1] > 0
