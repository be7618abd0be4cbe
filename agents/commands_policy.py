"""The command `policy`: sign, verify, show, import and export policy bundles; tables and their exact cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agents import asked, commands_optimum
from agents.commands import AllowCode, JsonFlag, _compiled, _told, seconds

if TYPE_CHECKING:
    from agents.bundles.bundle import Bundle

Folder = Annotated[Path, typer.Argument(help="Folder of a policy bundle.")]
policy = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)
policy.command()(commands_optimum.table)
policy.command()(commands_optimum.cost)


@policy.command()
def sign(
    bundle: Folder,
    key: Annotated[Path, typer.Option(help="Private key (PEM), such as keys/site.key of `plantwin keys`.")],
    out: Annotated[
        Path | None, typer.Option(help="Copy the bundle's files to OUT/HASH and sign them there; default: in place.")
    ] = None,
) -> None:
    """Verify a bundle and vouch for every file in its folder (Ed25519)."""
    with _told():
        from agents.bundles.bundle import sign as vouch
        from ingest.keys import read_private

        folder, signed = vouch(bundle, read_private(key), out)
    typer.echo(f"{folder}: {signed.name}, {signed.vouched}")


@policy.command()
def verify(
    bundle: Folder,
    key: Annotated[
        Path | None, typer.Option(help="Public key (PEM) the bundle must be signed with; default: the one it names.")
    ] = None,
) -> None:
    """Check a bundle's files and signature; exit code 1 when they are not good, or nobody has signed."""
    with _told():
        from agents.bundles.bundle import load
        from ingest.keys import read_public

        loaded = load(bundle, signer=read_public(key) if key is not None else None)
    typer.echo(f"{bundle}: {loaded.name}, {loaded.vouched}")
    if loaded.signature is None:
        typer.echo("plantwin: its files agree with each other, but nobody vouches for them", err=True)
        raise typer.Exit(1)


@policy.command()
def show(bundle: Folder, json_: JsonFlag = False) -> None:
    """Say what a bundle is for, how it was made and judged, and who vouches for it."""
    with _told():
        from agents.bundles.bundle import load

        about = _about(load(bundle))
    if json_:
        typer.echo(json.dumps(about))
        return
    typer.echo(f"{about['name']}, {about['vouched']}")
    typer.echo(
        f"for {about['plant']}: looks at {about['fields']} fields and sets {', '.join(about['controls'])} "
        f"{'at events and at least ' if about['decide'] == 'events' else ''}every {about['epoch_s'] / 3600:g} h; "
        f"tanh layers {about['widths']}, {about['parameters']} numbers"
    )
    if about["rule"] is not None:
        typer.echo(f"it moves the setpoints of {about['rule']}, which is inside")
    for line in about["made"]:
        typer.echo(line)


def _about(loaded: Bundle) -> dict[str, Any]:
    evidence, spec, network = loaded.evidence, loaded.spec, loaded.network
    made = [_plain(f"made by {evidence['command']}")] if "command" in evidence else []
    if isinstance(evidence.get("imported"), dict):
        source = evidence["imported"]
        made.append(_plain(f"imported from {source.get('file')} (Stable-Baselines3 {source.get('stable_baselines3')})"))
    verdicts = evidence.get("verdicts")
    if isinstance(verdicts, dict):
        for against, verdict in verdicts.items():
            if isinstance(verdict, dict):
                made.append(_plain(f"A = policy, B = {against}: {verdict.get('sentence')}"))
    return {
        "name": loaded.name,
        "vouched": loaded.vouched,
        "plant": _plain(str(spec["plant"])),
        "epoch_s": loaded.epoch_s,
        "decide": spec.get("decide", "interval"),
        "rule": None if loaded.over is None else loaded.over.name,
        "fields": len(spec["observation"]["fields"]),
        "controls": [_plain(str(c["id"])) for c in spec["action"]["controls"]],
        "widths": list(spec["architecture"]["widths"]),
        "parameters": sum(w.size + b.size for w, b in zip(network.weights, network.biases, strict=True)),
        "made": made,
    }


def _plain(text: str) -> str:
    """Text of a file from elsewhere, without what could steer a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)[:400]


@policy.command(name="import")
def import_(
    zip_: Annotated[Path, typer.Argument(metavar="ZIP", help="A zip written by Stable-Baselines3's `model.save`.")],
    plant: Annotated[str, typer.Option(help="The plant it was trained on.")],
    out: Annotated[Path, typer.Option(help="Folder for the bundle.")],
    epoch: Annotated[
        str | None, typer.Option(help="Interval of its decisions (90s, 10m, 2h); default: the plant's usual one.")
    ] = None,
    allow_code: AllowCode = False,
) -> None:
    """Take the tensors of a Stable-Baselines3 zip and write them as a bundle; nothing in the zip is run."""
    asked.out_folder(out)
    with _told():
        from agents.bundles.sb3bundle import import_zip

        done = import_zip(zip_, _compiled(plant, allow_code), out, seconds(epoch, "--epoch") if epoch else None)
    typer.echo(f"{out}: {done.name}, unsigned")
    if done.read.undecoded:
        typer.echo(_plain(f"serialized values, not decoded: {', '.join(done.read.undecoded)}"))
    if done.read.unchecked:
        typer.echo(f"not said by the zip, and not checked: {', '.join(done.read.unchecked)}")
    typer.echo(f"next: plantwin evaluate {out} --against rule --plant {plant}")


@policy.command()
def export(
    bundle: Folder,
    out: Annotated[Path, typer.Option(help="File to write (.onnx).")],
) -> None:
    """Write a bundle as ONNX: scaled observations in, logits and grid indices out."""
    asked.out_file(out)
    with _told():
        from agents.bundles.bundle import load
        from agents.bundles.onnxexport import export as write

        loaded = load(bundle)
        size = write(loaded, out)
    typer.echo(f"{out}: {loaded.name}, {size} bytes")


@policy.command()
def explain(
    who: Annotated[
        str, typer.Argument(help="As for `plantwin evaluate`: policy, a bundle's folder, rollout:rule, ...")
    ],
    plant: Annotated[str, typer.Option(help="Plant.")],
    out: Annotated[Path, typer.Option(help="Folder for the page, the numbers and the pictures.")],
    against: Annotated[str, typer.Option(help="What to compare with.")] = "rule",
    replicas: Annotated[int, typer.Option(min=2, help="Runs on the same luck.")] = 64,
    weeks: Annotated[int, typer.Option(min=1, help="Weeks of each that are looked at.")] = 4,
    allow_code: AllowCode = False,
) -> None:
    """Say and draw what a controller does differently: when it moves what, expedites, maintains, draws power."""
    asked.out_folder(out)
    with _told():
        from agents.control.controllers import controller
        from agents.evaluation.explain import Look
        from agents.evaluation.explain import explain as look
        from agents.evaluation.explainpage import sentences, write

        compiled = _compiled(plant, allow_code)
        both = [controller(what, compiled, allow_code=allow_code) for what in (who, against)]
        found = look(both[0], both[1], compiled, Look(replicas, weeks))
        files = write(found, out)
    for text in sentences(found):
        typer.echo(text)
    typer.echo(f"written: {', '.join(map(str, files))}")
