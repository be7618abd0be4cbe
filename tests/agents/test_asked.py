"""What a stranger may type wrong: one sentence that says which option, what was expected, what was found, before
anything is computed, and never a traceback.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import plantwin
from agents.commands_train import _stoppable, left_of_search, left_of_training
from agents.training.recipe import Begun, Recipe

Say = Callable[..., tuple[int, str]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Say:
    """Run a command in a folder with a file `file`, and a folder `mine` that holds notes; (exit code, stderr)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("do not overwrite")

    def never(*_: object, **__: object) -> None:
        raise AssertionError("computed before it was checked")

    for name in (
        "agents.rules.tune.tune",
        "agents.training.console.tune",
        "agents.exact.optimum.optimum",
        "agents.evaluation.explain.explain",
    ):
        monkeypatch.setattr(name, never)

    def run(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            raise SystemExit(plantwin.main(list(arguments)))
        said = capsys.readouterr().err
        assert "Traceback" not in said
        code = ended.value.code
        assert isinstance(code, int)
        # usage errors are wrapped in a box on some terminals
        return code, re.sub(r"[\s\u2500-\u257f]+", " ", said)

    return run


TRAIN = ("train", "make_to_stock", "--out", "new")


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        ((*TRAIN, "--budget", "0"), 1, "budget '0': expected a time greater than 0"),
        ((*TRAIN, "--budget", "-3m"), 1, "budget '-3m': expected a time greater than 0"),
        ((*TRAIN, "--budget", "abc"), 1, "budget 'abc': expected a time such as 90s, 10m or 2h"),
        ((*TRAIN, "--keep", "abc"), 2, "'--keep': 'abc': expected a time such as 90s, 10m or 2h"),
        ((*TRAIN, "--keep", "-5"), 2, "'--keep': '-5': expected a time greater than 0"),
        ((*TRAIN, "--trainer", "foo"), 1, "trainer 'foo': expected one of resident, stock"),
        ((*TRAIN, "--decide", "foo"), 1, "decide 'foo': expected one of auto, interval, events"),
        ((*TRAIN, "--target", "foo"), 1, "target 'foo': expected a cost an hour (8.7)"),
        ((*TRAIN, "--target", "nan"), 1, "target 'nan': expected a cost an hour (8.7)"),
        ((*TRAIN, "--target", "3/year"), 1, "target '3/year': expected a cost an hour (8.7)"),
        ((*TRAIN, "--config", "none.yaml"), 1, "none.yaml: cannot be read (No such file or directory); expected a"),
        (("train", "make_to_stock", "--out", "file"), 2, "'--out': file: expected a folder, found a file"),
        (("train", "make_to_stock", "--out", "file/x"), 2, "'--out': file/x: expected file to be a folder, found"),
        (("train", "make_to_stock", "--out", "mine"), 2, "mine: expected a new or empty folder, or one of an earlier"),
        (("search", "make_to_stock", "--out", "file"), 2, "'--out': file: expected a folder, found a file"),
        (("search", "make_to_stock", "--out", "mine"), 2, "found notes.txt; choose another"),
        (("tune", "lost_sales", "--out", "mine"), 2, "'--out': mine: expected a file, found a folder; name a"),
        (("optimum", "lost_sales", "--out", "mine"), 2, "'--out': mine: expected a file, found a folder"),
        (("optimum", "lost_sales", "--out", "file/x"), 2, "expected file to be a folder, found a file"),
        (("optimum", "lost_sales", "--limit", "abc"), 2, "'--limit': 'abc': expected a time such as 90s, 10m or 2h"),
        (("policy", "table", "nothing", "--plant", "lost_sales", "--out", "mine"), 2, "'--out': mine: expected a file"),
        (("policy", "explain", "nothing", "--plant", "lost_sales", "--out", "file"), 2, "file: expected a folder"),
        (("policy", "export", "mine", "--out", "mine"), 2, "'--out': mine: expected a file, found a folder"),
        (("policy", "import", "file", "--plant", "lost_sales", "--out", "file"), 2, "'--out': file: expected a folder"),
        (("evaluate", "nothing", "--plant", "lost_sales"), 1, "rule: expected one that is shipped for plant lost"),
        (("evaluate", "policy", "--plant", "lost_sales"), 1, "make one with `plantwin train lost_sales --out DIR`"),
    ],
)  # fmt: skip
def test_a_wrong_option_is_named_before_anything_is_computed(
    say: Say, command: tuple[str, ...], code: int, says: str
) -> None:
    found, said = say(*command)
    assert says in said
    assert found == code
    assert not Path("new").exists(), "nothing is written for what cannot be done"


def test_a_device_that_is_not_there_is_said_at_once(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for command in (TRAIN, ("search", "make_to_stock", "--out", "new"), ("env", "line3")):
        found, said = say(*command, "--device", "cuda")
        assert found == 2
        assert "'--device': cuda: no CUDA device can be used here; expected cpu or auto" in said


def test_a_rule_or_policy_of_another_plant_is_named_with_its_file(say: Say) -> None:
    shipped = Path(plantwin.HERE) / "agents" / "policies" / "gearmotor"
    _, said = say("evaluate", str(shipped / "rule.json"), "--plant", "lost_sales", "--against", "nothing")
    assert f"{shipped / 'rule.json'} is no rule for plant lost_sales" in said
    _, said = say("evaluate", str(shipped), "--plant", "lost_sales", "--against", "nothing")
    assert "made for plant 'gearmotor'" in said


def begun(folder: Path, seeds: int = 2, done: tuple[int, ...] = ()) -> None:
    folder.mkdir(exist_ok=True)
    Begun("make_to_stock", "sha256:0", "rule:fixed:0", None, Recipe(seeds=seeds), "", done).write(folder)


def test_a_folder_of_another_plants_training_is_not_written_over(say: Say, tmp_path: Path) -> None:
    begun(tmp_path / "old")
    _, said = say("train", "lost_sales", "--out", "old")
    assert "old: holds a training of plant make_to_stock, not lost_sales; choose another" in said


def test_a_file_that_cannot_be_written_is_a_sentence(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "table.json")

    monkeypatch.setattr("agents.exact.optimum.write_policy", full)
    found, said = say("policy", "table", "nothing", "--plant", "lost_sales", "--out", "table.json")
    assert found == 1
    assert "plantwin: table.json: expected a file or folder that can be used, found: No space left on device" in said


def test_ctrl_c_says_what_is_left_and_how_it_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "made"
    assert "the training had not begun" in left_of_training(folder, "line3", "60s", began=False)
    begun(folder)
    (folder / "rule.json").write_text("{}")
    said = left_of_training(folder, "line3", "60s", began=False)
    assert "the training had not begun" in said, "what lies there is of an earlier one"
    assert f"--rule {folder / 'rule.json'}" in said
    said = left_of_training(folder, "line3", "60s", began=True)
    assert said.startswith("0 of 2 seeds are done, of the next no checkpoint was written yet (--keep 60s); there is no")
    assert said.endswith(f"Go on: plantwin train line3 --resume {folder}")
    begun(folder, done=(0,))
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "seed-1.safetensors").write_bytes(b"")
    said = left_of_training(folder, "line3", "60s", began=True)
    assert said.startswith(f"1 of 2 seeds are done, the next stands in {folder / 'checkpoints' / 'seed-1.safetensors'}")
    assert left_of_search(folder) == "no trial had begun"

    def cut() -> None:
        with _stoppable(lambda: left_of_search(folder)):
            raise KeyboardInterrupt

    with pytest.raises(BaseException) as ended:  # noqa: PT011 - typer's Exit is a RuntimeError without a text
        cut()
    assert getattr(ended.value, "exit_code", None) == 130
    assert "plantwin: stopped; no trial had begun" in capsys.readouterr().err
