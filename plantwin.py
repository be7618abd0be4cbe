"""The only entry point of plantwin: the `plantwin` command and `python -m plantwin`.

Before anything else it checks that the six packages lie beside this file: their names are general, and another
distribution's `agents` or `sim` in front of ours would run silently in its place. A package's module is imported only
when its command runs, so `plantwin --help` needs neither numba nor torch nor dash.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

PACKAGES = ("twin", "sim", "agents", "ingest", "dashboard", "hardware")
HERE = Path(__file__).resolve().parent

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("hardware.commands_demo", "Run the whole loop on a virtual plant and open the dashboard's address."),
    "doctor": ("hardware.commands_demo", "Say what works on this machine and what to do about the rest."),
    "validate": ("sim.commands", "Check a plant file; errors name file and line."),
    "show": ("sim.commands_show", "Draw a plant as an SVG picture."),
    "init": ("sim.commands", "Write a plant file to start from."),
    "simulate": ("sim.commands_run", "Simulate a plant with many replicas and print its figures."),
    "experiment": ("sim.commands_experiment", "Compare scenarios of a plant on the same random numbers."),
    "trace": ("sim.commands_run", "Print the events of one replica, from the kernel or the SimPy reference."),
    "discover": ("sim.commands_discover", "Draft a plant file from a shop-floor event log."),
    "broker": ("ingest.commands", "Run the embedded MQTT broker."),
    "ingest": ("ingest.commands", "Journal what arrives over MQTT; send approved commands out."),
    "keys": ("ingest.commands_keys", "Make the site's signing keys and the certificates of its gateways."),
    "wire": ("ingest.commands_wire", "Check a gateway against the contract, live or on a recording."),
    "map": ("ingest.commands_map", "Check a mapping of raw values to tags and events, live or on a recording."),
    "history": ("ingest.commands_history", "Read or export the history."),
    "compact": ("ingest.commands_history", "Turn the journal into Parquet and rollups (ingest does it by itself)."),
    "import": ("ingest.commands_history", "Back-fill the history from InfluxDB, CSV or OPC UA."),
    "plant": ("hardware.commands", "Run a virtual plant with a fieldbus."),
    "gateway": ("hardware.commands", "Carry a fieldbus to MQTT and checked commands back, with a durable outbox."),
    "cable": ("hardware.commands_demo", "Carry a gateway to its broker by a cable that can be pulled (the demo's)."),
    "replay": ("hardware.commands", "Publish a recording (event log or table of readings) over MQTT at speed."),
    "twin": ("twin.commands", "Keep the twin in step with the journal; serve its state, forecasts and log."),
    "condition": ("twin.commands", "Tell when the analog signals of a machine begin to behave differently."),
    "calibrate": ("twin.commands_calibrate", "Compare a plant file's parameters with what a journal says; propose."),
    "track": ("twin.commands_track", "Replay a recording with faults through the twin and compare with the truth."),
    "observe": ("twin.commands_track", "Say what a plant's tags let the twin know, before anything is connected."),
    "env": ("agents.commands", "Describe and check a Gymnasium environment of a plant."),
    "train": ("agents.commands_train", "Train a policy on a plant (PPO) and write a bundle."),
    "search": ("agents.commands_train", "Search for better settings of the training (Optuna)."),
    "tune": ("agents.commands", "Tune the simple rules on the same simulation budget."),
    "evaluate": ("agents.commands", "Compare policies and rules on the same random numbers."),
    "policy": ("agents.commands_policy", "Sign, verify, show, import, export policy bundles; tables and their cost."),
    "optimum": ("agents.commands_optimum", "The exact optimum of a small plant, and a policy that has it."),
    "advise": ("agents.commands", "Propose actions from the live twin, checked before they are shown."),
    "dashboard": ("dashboard.commands", "Serve the dashboard."),
    "bench": ("", "Reproduce a group of published figures (from a checkout)."),
}
"""Command -> (module that holds the function of that name, one line of help)."""

GROUPS = (
    ("Start here", ("demo", "doctor")),
    ("Describe and simulate a plant", ("validate", "init", "show", "simulate", "experiment", "trace", "discover")),
    ("The wire", ("broker", "ingest", "keys", "wire", "map", "plant", "gateway", "cable", "replay")),
    ("History", ("history", "import", "compact")),
    ("The twin and its people", ("observe", "twin", "track", "condition", "calibrate", "advise", "dashboard")),
    ("Train and compare", ("env", "train", "search", "tune", "evaluate", "policy", "optimum", "bench")),
)

QUICK = {"validate", "show", "simulate", "trace"}
"""Commands that call the kernel a few times or never, and end: importing numba would take longer than they do."""

EXTRA_OF = {
    "sim": ("numpy", "numba", "llvmlite", "scipy", "simpy", "safetensors"),
    "train": ("torch", "gymnasium", "stable_baselines3"),
    "tensorboard": ("tensorboard",),
    "search": ("optuna",),
    "ingest": ("iotcore", "cryptography", "fastapi", "uvicorn", "httpx", "influxdb_client", "paho"),
    "dashboard": ("dash", "dash_mantine_components", "plotly"),
    "edge": ("asyncua", "pymodbus"),
    "onnx": ("onnx", "onnxruntime"),
    "experiment": ("duckdb", "matplotlib"),
    "cluster": ("ray",),
}
"""Extra -> import names that come with it, to say what to install when one is missing."""


def shadowed() -> list[str]:
    """One sentence for each of our packages that Python would import from somewhere else; empty when all is well."""
    problems = []
    for name in PACKAGES:
        spec = find_spec(name)
        if spec is None:
            problems.append(f"{name}: expected {HERE / name}, found nothing")
            continue
        origin = Path(spec.origin).parent if spec.origin else Path(next(iter(spec.submodule_search_locations or ["?"])))
        if origin.resolve() != HERE / name:
            problems.append(f"{name}: expected {HERE / name}, found {spec.origin or origin}")
    return problems


def usage() -> str:
    """The text of `plantwin --help`."""
    lines = [
        "Usage: plantwin COMMAND [OPTIONS]",
        "",
        "A live digital twin of a factory: it proposes what to do next, checks it, and measures what it gained.",
        "",
    ]
    for title, names in GROUPS:
        lines.append(f"{title}:")
        lines += [f"  {name:<10} {COMMANDS[name][1]}" for name in names]
        lines.append("")
    lines.append("plantwin COMMAND --help explains a command; plantwin --version prints the version.")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Exit codes: 0 done, 1 failed, 2 wrong usage or a wrong input file."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    problems = shadowed()
    if problems:
        _say("plantwin: a package of plantwin is hidden or missing; install it in a virtual environment of its own:")
        for problem in problems:
            _say(f"  {problem}")
        return 1
    if not arguments or arguments[0] in {"-h", "--help", "help"}:
        print(usage())
        return 0
    name = arguments[0]
    if name in {"--version", "-V", "version"}:
        print(f"plantwin {__version__}")
        return 0
    if name not in COMMANDS:
        import difflib

        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        _say(f"plantwin: there is no command {name!r}{hint} (plantwin --help lists them)")
        return 2
    if argv is None and name in QUICK and "cuda" not in arguments:
        # only in a process of its own, and a device's kernels are compiled from the same functions by numba
        importlib.import_module("sim.native").ask()
    return _run(name, arguments[1:])


def _run(name: str, arguments: list[str]) -> int:
    """Run a command and turn what it raises into an exit code and one clear sentence."""
    try:
        if name == "bench":
            return _bench(arguments)
        function = _function(name)
        if function is None:
            _say(f"plantwin: {name} is not part of this version (its module {COMMANDS[name][0]} does not have it)")
            return 1
        return _call(name, function, arguments)
    except ModuleNotFoundError as error:
        sentence = _missing(name, error.name or "")
        if sentence is None:
            raise
        _say(sentence)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # the reader of our output went away, as with `plantwin simulate | head`
        sys.stdout = None
        return 0
    except Exception as error:
        # the plant file's errors are the user's to mend: no traceback; its type exists only where it was imported
        module = sys.modules.get("sim.plantfile")
        if module is not None and isinstance(error, module.PlantError):
            _say(str(error))
            return 2
        raise


def _function(name: str) -> Callable[..., Any] | None:
    """The function of a command: same name, `-` as `_`, with a `_` after it where the name is a Python builtin."""
    module = importlib.import_module(COMMANDS[name][0])
    plain = name.replace("-", "_")
    found: Callable[..., Any] | None = getattr(module, plain, None) or getattr(module, f"{plain}_", None)
    return found if callable(found) else None


def _call(name: str, function: Callable[..., Any], arguments: list[str]) -> int:
    import typer

    if isinstance(function, typer.Typer):  # a command with subcommands
        app = function
    else:
        app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        app.command(name)(function)
    command = typer.main.get_command(app)
    invoke = command.invoke

    def stoppable(context: Any) -> Any:
        try:
            return invoke(context)
        except KeyboardInterrupt:  # typer would say "Aborted!" and 1, as for a question that was not answered
            _say(f"\nplantwin: {name} was stopped")
            raise SystemExit(130) from None

    command.invoke = stoppable  # type: ignore[assignment]
    result = command.main(arguments, prog_name=f"plantwin {name}", standalone_mode=True)
    return result if isinstance(result, int) else 0


def _bench(arguments: list[str]) -> int:
    """Run `main(argv)` of `benchmarks/GROUP.py`, which a wheel does not contain."""
    folder = HERE / "benchmarks"
    if not folder.is_dir():
        _say("plantwin: bench runs from a checkout of the repository; the benchmarks are not installed with plantwin")
        return 1
    found = [*folder.glob("*.py"), *(path.parent for path in folder.glob("*/__init__.py"))]
    groups = sorted(path.stem for path in found if not path.stem.startswith("_"))
    if not arguments or arguments[0] not in groups:
        listed = ", ".join(groups) or "none yet"
        _say(f"Usage: plantwin bench GROUP [--json] [OPTIONS]\nGroups: {listed}")
        return 0 if arguments[:1] in (["--help"], ["-h"]) else 2
    if str(HERE) not in sys.path:
        sys.path.insert(0, str(HERE))
    module = importlib.import_module(f"benchmarks.{arguments[0]}")
    return int(module.main(arguments[1:]) or 0)


def _missing(command: str, name: str) -> str | None:
    """What to install when an optional library is missing; None when the missing module is not one of them."""
    top = name.partition(".")[0]
    for extra, names in EXTRA_OF.items():
        if top in names:
            return f"plantwin: {command} needs {top}, which is not installed: {how_to_add(extra)}"
    return None


def how_to_add(extra: str) -> str:
    """The command that installs an extra: in a checkout its own, since another `plantwin` may lie in a registry."""
    if not (HERE / "Makefile").is_file():
        return f"pip install 'plantwin[{extra}]'"
    return f"make setup in {HERE} (or pip install -e '.[{extra}]' there)"


def _say(text: str) -> None:
    print(text, file=sys.stderr)


if "gymnasium" in sys.modules:
    # gymnasium.make("plantwin:Plant-v0") imports this module and then looks for the id; nobody else needs it
    importlib.import_module("agents.envs.register").register()

if __name__ == "__main__":
    sys.exit(main())
