"""What every service of this package does alike: signals, its file in `run/`, one sentence when it fails."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import typer


def say(name: str, text: str) -> None:
    """One plain line of output."""
    print(f"{name}: {text}", flush=True)


def announce(data: Path, name: str, **more: Any) -> Path:
    """Write `run/NAME.json` in one step: the service is ready."""
    folder = data / "run"
    folder.mkdir(parents=True, exist_ok=True)
    path, draft = folder / f"{name}.json", folder / f".{name}.json.new"
    draft.write_text(json.dumps({"name": name, "pid": os.getpid(), **more}) + "\n")
    draft.replace(path)
    return path


def retire(path: Path) -> None:
    """Take the service's file away, unless it is another process's by now."""
    try:
        if json.loads(path.read_text()).get("pid") == os.getpid():
            path.unlink()
    except (OSError, ValueError):
        pass


def stop_on_signals() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def run(name: str, main: Coroutine[Any, Any, None]) -> None:
    """Run a service to its end; an expected error becomes one sentence and exit code 1."""
    from sim.plantfile import PlantError

    try:
        asyncio.run(main)
    except PlantError as error:
        print(error, file=sys.stderr, flush=True)
        raise typer.Exit(2) from error
    except (OSError, ValueError, RuntimeError) as error:
        print(f"{name}: {error}", file=sys.stderr, flush=True)
        raise typer.Exit(1) from error


def seconds_of(text: str) -> float:
    """A duration as typed (`3d`, `90 min`, `2 h`, `45s`, `0`) in seconds; ValueError otherwise."""
    units = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
    stripped = text.strip()
    if stripped == "0":
        return 0.0
    number = stripped.rstrip("abcdefghijklmnopqrstuvwxyz ")
    unit = stripped[len(number) :].strip()
    try:
        return float(number) * units[unit]
    except (ValueError, KeyError):
        raise ValueError(
            f"duration {text!r}: expected a number with a unit ({', '.join(units)}), for example 3d"
        ) from None
