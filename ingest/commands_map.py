"""`plantwin map`: check a topic map or a mapping, and see what it makes of what is heard."""

from __future__ import annotations

import queue
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ingest.mapping import Mapping
    from ingest.mapping_preview import Preview
    from ingest.message import Message
    from sim.plant import Plant

SECONDS = 5.0
"""How long is listened where nobody says how long (`--once`, or output that is no terminal)."""


def _fail(text: str, code: int = 1) -> typer.Exit:
    typer.echo(text, err=True)
    return typer.Exit(code)


def map_(
    file: Annotated[Path, typer.Argument(help="The mapping (mapping.yaml) or a simple topic map (topics.yaml).")],
    plant: Annotated[str | None, typer.Option(help="Plant whose tags are fed; a mapping needs it.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Only check the file.")] = False,
    broker: Annotated[str | None, typer.Option(help="Listen on this broker, HOST:PORT, and show a live table.")] = None,
    listen: Annotated[str, typer.Option(help="Topics to look for unmapped ones in.")] = "#",
    history: Annotated[Path | None, typer.Option(help="A recording, CSV with t,name,value.")] = None,
    rule: Annotated[str | None, typer.Option(help="Show every output of this rule (a tag, or 'event N ...').")] = None,
    rebirth: Annotated[
        bool, typer.Option("--rebirth", help="Ask the Sparkplug edge nodes of the mapping for their births.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="End as soon as every mapped topic was heard.")] = False,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Listen this long, then end.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Tell the result as JSON.")] = False,
) -> None:
    """Check a topic map or a mapping, and preview what it makes of live topics or of a recording.

    Without --check, --broker or --history: what `NAME VALUE` lines on standard input become.
    """
    from ingest.mapping import is_mapping

    if not is_mapping(file):
        if broker or history or json_:
            raise _fail(f"plantwin map: {file} is a simple topic map; --broker, --history and --json need a mapping", 2)
        _simple(file, check)
        return
    mapping, loaded = _load(file, plant)
    if rule is not None and rule not in {r.key for r in mapping.rules}:
        from sim.units import suggestion

        raise _fail(
            f"plantwin map: --rule {rule!r} is none of the file; {suggestion(rule, [r.key for r in mapping.rules])}", 2
        )
    if check:
        _checked(mapping, json_)
    elif history is not None:
        _show(_replayed(mapping, loaded, history, rule), json_)
    elif broker is not None:
        _live(Listening(mapping, loaded, broker, listen, rebirth=rebirth), _Until(once, seconds, json_), rule)
    else:
        _from_stdin(mapping, loaded, rule)


def _simple(file: Path, check: bool) -> None:
    from ingest.topicmap import TopicMapError, load

    try:
        topics = load(file)
    except TopicMapError as error:
        raise _fail(str(error), 2) from None
    typer.echo(f"{file}: {len(topics.rules)} rules")
    if check:
        return
    for text in sys.stdin:
        typer.echo(_mapped(topics, text))


def _mapped(topics: object, text: str) -> str:
    from ingest.payloads import WireError
    from ingest.topicmap import TopicMap

    assert isinstance(topics, TopicMap)
    where, _, body = text.rstrip("\n").partition(" ")
    try:
        found = topics.convert(where, body.encode(), 0)
    except WireError as error:
        return f"{where}: {error}"
    return f"{where}: {found.tag} = {found.value:g}"


def _load(file: Path, plant: str | None) -> tuple[Mapping, Plant]:
    from ingest.mapping import MappingError, load
    from sim.plantfile import load as load_plant

    if plant is None:
        raise _fail(f"plantwin map: {file} is checked against a plant; name it with --plant", 2)
    loaded = load_plant(plant)
    try:
        return load(file, loaded), loaded
    except MappingError as error:
        raise _fail(str(error), 2) from None


def _checked(mapping: Mapping, as_json: bool) -> None:
    facts: dict[str, Any] = {
        "file": mapping.file,
        "rules": [rule.key for rule in mapping.rules],
        "raw_names": list(mapping.raw_names()),
        "unfed": list(mapping.unfed),
        "notes": list(mapping.notes),
    }
    if as_json:
        _print_json(facts)
        return
    typer.echo(f"{mapping.file}: {len(mapping.rules)} rules, {len(mapping.raw_names())} raw names")
    if mapping.unfed:
        typer.echo(f"{len(mapping.unfed)} tags of the plant that no rule feeds: {', '.join(mapping.unfed)}")
    for note in mapping.notes:
        typer.echo(f"note: {note}")


def _replayed(mapping: Mapping, plant: Plant, path: Path, rule: str | None) -> Preview:
    from ingest.mapping_preview import HistoryError, Preview, history

    preview, last = Preview(mapping, plant, rule), 0
    try:
        for t, name, value in history(path, plant.timezone):
            preview.hear(t, name, value)
            last = max(last, t)
    except HistoryError as error:
        raise _fail(str(error), 2) from None
    preview.advance(last)
    return preview


def _from_stdin(mapping: Mapping, plant: Plant, rule: str | None) -> None:
    from ingest.mapping_preview import Preview
    from ingest.readings import wall_ms

    preview = Preview(mapping, plant, rule)
    for text in sys.stdin:
        name, _, value = text.rstrip("\n").partition("\t" if "\t" in text else " ")
        preview.hear(wall_ms(), name, value)
        entry = preview.heard.get(name)
        told = "unmapped" if entry is None else "; ".join(entry.led_to) or "nothing yet: it waits"
        typer.echo(f"{name}: {told}")


class _Until:
    """When a live preview ends; None: never by itself."""

    def __init__(self, once: bool, seconds: float | None, as_json: bool) -> None:
        self.once, self.json = once, as_json
        self.live = not once and seconds is None and not as_json and sys.stdout.isatty()
        self._end = None if self.live else time.monotonic() + (SECONDS if seconds is None else seconds)

    def reached(self, preview: Preview) -> bool:
        if self.once and all(name in preview.heard for name in preview.mapping.raw_names()):
            return True
        return self._end is not None and time.monotonic() >= self._end


class Listening:
    """The topics of a mapping, and those beside it, on a broker. `drain` hands what has come to a preview."""

    def __init__(self, mapping: Mapping, plant: Plant, broker: str, listen: str, *, rebirth: bool = False) -> None:
        from ingest.mapping_past import SPARKPLUG
        from ingest.mapping_rows import topic_problems
        from ingest.mqtt import Link
        from ingest.sparkplug_listen import Nodes
        from ingest.sparkplug_listen import filters as node_filters
        from ingest.topicmap import Rule

        host, _, number = broker.rpartition(":")
        if not host or not number.isdigit():
            raise _fail(f"plantwin map: --broker: expected HOST:PORT, found {broker}", 2)
        problems = topic_problems(mapping)
        if problems:
            raise _fail("\n".join(problems), 2)
        self.mapping, self.plant, self.broker = mapping, plant, broker
        self._queue: queue.SimpleQueue[Message] = queue.SimpleQueue()
        covered = Rule(listen, "")
        plain = [name for name in mapping.raw_names() if not name.startswith(SPARKPLUG)]
        filters = [listen, *(name for name in plain if covered.match(name) is None), *node_filters(mapping, listen)]
        self.nodes = Nodes(mapping, ask=rebirth)
        self.link = Link(host, int(number), filters, self._queue.put, name="map")

    def drain(self, preview: Preview, wait_s: float) -> None:
        """Take what comes within `wait_s`; our own topics are left out."""
        from ingest.mapping_past import SPARKPLUG
        from ingest.readings import wall_ms

        end = time.monotonic() + wait_s
        while (left := end - time.monotonic()) > 0:
            try:
                message = self._queue.get(timeout=left)
            except queue.Empty:
                break
            if message.topic.startswith(SPARKPLUG):
                self.nodes.hear(preview, message)
            elif not message.topic.startswith("ptw/"):
                preview.hear(message.recv, message.topic, message.body)
            self.link.acknowledge([message])
        self.nodes.turn(preview, lambda topic, body: self.link.publish(topic, body, qos=0))
        preview.advance(wall_ms())


def _live(listening: Listening, until: _Until, rule: str | None) -> None:
    from ingest.mapping_preview import Preview

    preview = Preview(listening.mapping, listening.plant, rule)
    listening.link.start()
    try:
        if until.live:
            _watch(listening, preview, until)
        else:
            while not until.reached(preview):
                listening.drain(preview, 0.1)
    finally:
        listening.link.stop()
    if not listening.link.number:
        raise _fail(f"plantwin map: no broker answered on {listening.broker}; is it running? (plantwin broker)")
    _show(preview, until.json)


def _watch(listening: Listening, preview: Preview, until: _Until) -> None:
    """The table, four times a second, until Ctrl-C."""
    from rich.console import Group
    from rich.live import Live

    from ingest.mapping_show import console, live_table, rest
    from ingest.readings import wall_ms

    try:
        with Live(console=console(), auto_refresh=False) as screen:
            while not until.reached(preview):
                listening.drain(preview, 0.25)
                screen.update(Group(live_table(preview, wall_ms()), *rest(preview.report())), refresh=True)
    except KeyboardInterrupt:
        typer.echo("")


def _show(preview: Preview, as_json: bool) -> None:
    if as_json:
        timeline = [{"t": t, "output": text} for t, text in preview.timeline]
        _print_json(preview.report() | ({"timeline": timeline} if preview.rule is not None else {}))
        return
    from zoneinfo import ZoneInfo

    from ingest.mapping_show import console, whole

    console().print(whole(preview, ZoneInfo(preview.plant.timezone)))


def _print_json(facts: dict[str, Any]) -> None:
    import json

    typer.echo(json.dumps(facts, indent=1, ensure_ascii=False))
