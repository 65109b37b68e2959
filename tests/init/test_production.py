"""The model in production: what its file says is checked, the rest is asked, and it is the first champion."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import yaml
from PIL import Image
from typer.testing import CliRunner

from evernas.bundle import load_bundle
from evernas.cli import app
from evernas.config import load_config
from evernas.digest import digest_bytes
from evernas.errors import EvernasError, HoldError, UsageError
from evernas.hardware.adapting import said_by
from evernas.hardware.measurement import Latency, Measurement
from evernas.hardware.runtime import runtime_named
from evernas.init import config_of, document, look_at, model_in_production, propose
from evernas.init.production import make_champion, named_model
from evernas.loop import importing
from evernas.registry.opening import open_journal
from evernas.state import Home

Rows = Callable[..., list[dict[str, Any]]]
Save = Callable[..., Path]
MEASURED = Measurement(
    "m", "this-machine", "onnxruntime-cpu", Latency(1.0, 1.1, 1.2, 0.1, 0.01, (1.0, 1.01), (1.1, 1.1)),
    peak_memory_mb=1.0, size_kb=1.0,
).to_json()  # fmt: skip
LABELS = ["run", "walk"]
STOP = "\x03"
SILENCE_S, MOST_SILENCES = 10, 12
"""What Ctrl-C sends."""


class _Theirs(torch.nn.Module):
    """Somebody's own network: the mean over all but the channels, then a linear layer; channels first or last."""

    def __init__(self, channels: int, classes: int, last: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.last = torch.nn.Linear(channels, classes), last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.permute(0, x.dim() - 1, *range(1, x.dim() - 1)) if self.last else x
        return self.linear(x.flatten(2).mean(2))


def exported(
    path: Path, *size: int, last: bool = False, classes: int = 2, dynamic: tuple[int, ...] = (), said: Any = None
) -> Path:
    """Written by torch's own exporter; `size` is (channels, ...), `dynamic` axes may have any size beside the batch."""
    shape = [*size[1:], size[0]] if last else list(size)
    axes = {"x": {axis: f"n{axis}" for axis in (0, *dynamic)}, "logits": {0: "n0"}}
    torch.onnx.export(
        _Theirs(size[0], classes, last).eval(), (torch.zeros(2, *shape),), path, dynamo=False, input_names=["x"],
        output_names=["logits"], dynamic_axes=axes,
    )  # fmt: skip
    if said is not None:
        model = onnx.load(path)
        model.metadata_props.add(key="names", value=str(said))
        onnx.save(model, path)
    return path


@pytest.fixture
def gait(rows: Rows, save: Save, folder: Path) -> Path:
    """Windows of 400 steps of three channels, by eight people."""
    save(rows())
    return folder


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quiet machine."""
    monkeypatch.setattr(importing, "measured_now", lambda config, device, model: MEASURED)


def init(gait: Path, *more: object) -> tuple[int, str]:
    """The command without a terminal: exit code, and all that was said."""
    folder = gait.parent
    fixed = [gait, "--out", folder / "evernas.yaml", "--home", folder / "home", "--yes", *more]
    done = CliRunner().invoke(app, ["init", *map(str, fixed)])
    if isinstance(done.exception, EvernasError):
        return done.exception.exit_code, done.output + str(done.exception)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def declare(model: Path, **more: Any) -> None:
    known = {"labels": ["walk", "run"], "channels": ["ax", "ay", "az"], "length": 400}
    model.with_suffix(".yaml").write_text(yaml.safe_dump(known | more))


def head_of(gait: Path) -> Any:
    config = load_config(gait.parent / "evernas.yaml")
    return open_journal(Home(gait.parent / "home"), config).head("this-machine")


def left(gait: Path) -> set[str]:
    return {path.name for path in gait.parent.iterdir()}


def answering(*answers: str) -> tuple[Callable[[str, str], str], list[str]]:
    """Somebody who answers so, an empty answer taking the guess; and what was asked."""
    given, asked = iter(answers), list[str]()

    def answer(question: str, guess: str) -> str:
        asked.append(question)
        return next(given) or guess

    return answer, asked


def test_the_network_that_a_declaration_stands_beside_is_the_champion_by_the_same_answers(
    gait: Path, tmp_path: Path, measured: None
) -> None:
    model = exported(tmp_path / "theirs.onnx", 3, 400, last=True)
    declare(model, layout="time_first", mean=[1.0, 2.0, 3.0], std=[2.0, 2.0, 4.0])
    code, said = init(gait, "--model", model, "--json")
    assert code == 0, said
    told = json.loads(next(line for line in said.splitlines() if line.startswith("{")))["model"]
    assert (told["file"], told["champion"]) == (digest_bytes(model.read_bytes()), True)
    config = load_config(tmp_path / "evernas.yaml")
    assert config.data.sample.channels == ["ax", "ay", "az"], "the data has no names of its own"
    entry = head_of(gait)
    assert (entry.kind, entry.number) == ("import", 1)
    bundle = load_bundle(Home(tmp_path / "home").bundles(config.project) / entry.bundle[:16])
    assert bundle.extra["imported"]["file"] == digest_bytes(model.read_bytes())
    assert list(bundle.labels) == LABELS
    x = np.random.default_rng(1).normal(size=(4, 3, 400)).astype(np.float32)
    prepared = (x - np.array([1, 2, 3])[:, None]) / np.array([2, 2, 4])[:, None]
    theirs = _Theirs(3, 2, True)(torch.tensor(prepared.transpose(0, 2, 1), dtype=torch.float32))
    ours = runtime_named("onnxruntime-cpu").load(bundle.model_path.read_bytes(), 1).run(x)
    np.testing.assert_allclose(ours, theirs.detach().numpy()[:, ::-1], atol=1e-5)


def test_the_classes_that_the_file_names_need_no_declaration(gait: Path, tmp_path: Path, measured: None) -> None:
    model = exported(tmp_path / "theirs.onnx", 3, 400, said={0: "walk", 1: "run"})
    assert init(gait, "--model", model)[0] == 0
    bundle = load_bundle(next(path for path in (tmp_path / "home/projects/gait/bundles").iterdir()))
    assert bundle.extra["imported"]["declared"]["labels"] == ["walk", "run"]


@pytest.mark.parametrize(
    ("key", "value", "labels"),
    [
        ("names", "{1: 'walk', 0: 'run'}", ("run", "walk")),
        ("id2label", '{"0": "run", "1": "walk", "10": "sit", "2": "hop"}', ("run", "walk", "hop", "sit")),
        ("classes", '["walk", null]', ("walk", "None")),
        ("Labels", "walk, run", ("walk", "run")),
        ("classes", "[walk", None),
        ("classes", "walk", None),
        ("classes", "7", None),
        ("author", "walk, run", None),
    ],
)
def test_classes_are_read_as_exporters_write_them(
    key: str, value: str, labels: tuple[str, ...] | None, tmp_path: Path
) -> None:
    model = onnx.load(exported(tmp_path / "theirs.onnx", 3, 400))
    model.metadata_props.add(key=key, value=value)
    assert said_by(model.SerializeToString()).labels == labels


def test_of_several_outputs_that_with_a_score_for_each_label_is_taken(gait: Path, tmp_path: Path) -> None:
    """As exporters of classical libraries write it: the label, and the probabilities."""
    model = onnx.load(exported(tmp_path / "theirs.onnx", 3, 400, said=LABELS))
    model.graph.node.append(onnx.helper.make_node("ArgMax", ["logits"], ["label"], axis=1, keepdims=0))
    model.graph.output.insert(0, onnx.helper.make_tensor_value_info("label", onnx.TensorProto.INT64, ["n0"]))
    onnx.save(model, tmp_path / "theirs.onnx")
    fits = partial(config_of, out=tmp_path / "evernas.yaml")
    _, given = named_model(propose(look_at(gait)), fits, tmp_path / "theirs.onnx", None, print)
    assert given.declaration.output == "logits"


def test_without_a_terminal_nothing_is_asked_and_the_command_is_printed(gait: Path) -> None:
    code, said = init(gait)
    assert code == 0
    assert "Is a model in production already?" in said
    assert "evernas champion import MODEL.onnx --config" in said


def test_what_the_file_does_not_say_is_not_guessed(gait: Path, tmp_path: Path) -> None:
    model = exported(tmp_path / "theirs.onnx", 3, 400, last=True)
    code, said = init(gait, "--model", model)
    assert code == 2
    assert "does not say in which order its classes are" in said
    template = yaml.safe_load(said[said.index("labels:") :])
    assert template == {"labels": LABELS, "channels": ["ch0", "ch1", "ch2"], "length": 400, "layout": "time_first"}
    assert "evernas.yaml" not in left(gait)
    both = exported(tmp_path / "square.onnx", 3, 400, dynamic=(1, 2), said=LABELS)
    assert "whether channels come first" in init(gait, "--model", both)[1]


@pytest.mark.parametrize(
    ("made", "code", "message"),
    [
        (lambda path: path.write_text("no network"), 2, "is no ONNX network"),
        (lambda path: None, 2, "cannot be read (No such file or directory)"),
        (lambda path: exported(path, 4, 400, said=LABELS), 2, "takes other samples"),
        (lambda path: exported(path, 3, 500, said=LABELS), 2, "the recordings fill windows of 400"),
        (lambda path: exported(path, 3, 400, classes=5), 2, "it answers with other classes"),
        (lambda path: exported(path, 3, 400, said=["walk", "jump"]), 2, "says that its classes are walk, jump"),
        (lambda path: exported(path, 3, 400, said=["walk", "run", "sit"]), 2, "says that its classes are walk, run"),
    ],
)
def test_a_file_that_does_not_fit_is_a_sentence_and_leaves_nothing(
    made: Callable[[Path], object], code: int, message: str, gait: Path, tmp_path: Path
) -> None:
    made(tmp_path / "theirs.onnx")
    before = left(gait)
    found, said = init(gait, "--model", tmp_path / "theirs.onnx")
    assert (found, message in said) == (code, True), said
    assert left(gait) == before


def test_a_declaration_that_contradicts_the_data_is_a_sentence(gait: Path, tmp_path: Path) -> None:
    model = exported(tmp_path / "theirs.onnx", 3, 400)
    declare(model, labels=["walk", "jump"])
    assert "only networks of the same classes can be compared" in init(gait, "--model", model)[1]
    declare(model, channels=["ax", "ay"])
    assert "only networks of the same windows" in init(gait, "--model", model)[1]
    declare(model, layout="channels_last")
    assert "of windows it is channels_first or time_first" in init(gait, "--model", model)[1]
    declare(model)
    twice = model.with_suffix(".yaml").read_text() + "labels: [jump, walk]\n"
    model.with_suffix(".yaml").write_text(twice)
    assert "is given again here, where only one can count" in init(gait, "--model", model)[1]
    model.with_suffix(".yaml").write_text("labels: [a")
    code, said = init(gait, "--model", model)
    assert (code, "is refused" in said) == (2, True)


def test_windows_become_those_of_the_network(gait: Path, tmp_path: Path, measured: None) -> None:
    model = exported(tmp_path / "theirs.onnx", 3, 100, last=True, said=LABELS)
    code, said = init(gait, "--model", model)
    assert code == 0
    assert "windows of 100 time steps, and so will every candidate" in said
    sample = load_config(tmp_path / "evernas.yaml").data.signal
    assert sample is not None
    assert (sample.length, sample.stride) == (100, 100)


def test_a_busy_machine_costs_neither_the_config_nor_what_was_said(
    gait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = {**MEASURED, "refused": "Other programs hold the cores.", "latency": None}
    monkeypatch.setattr(importing, "measured_now", lambda config, device, model: refused)
    model = exported(tmp_path / "theirs.onnx", 3, 400, said=LABELS)
    code, said = init(gait, "--model", model)
    assert code == 3
    assert "Other programs hold the cores." in said
    assert head_of(gait) is None
    monkeypatch.setattr(importing, "measured_now", lambda config, device, model: MEASURED)
    command = said[said.index("evernas champion import") :].split()
    done = CliRunner().invoke(app, [*command[1:], "--home", str(tmp_path / "home")])
    assert done.exit_code == 0, done.output
    assert head_of(gait).kind == "import"


def test_stopped_before_its_end_it_leaves_no_config_and_given_again_it_goes_on(
    gait: Path, tmp_path: Path, measured: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped while it is measured, and between the champion and the config."""
    model = exported(tmp_path / "theirs.onnx", 3, 400, said=LABELS)
    before = left(gait)
    stops = [
        (importing, "measured_now", _interrupted),
        (document, "os", _NoLinks(**{k: v for k, v in vars(os).items() if k != "link"})),
    ]
    for module, name, stopping in stops:
        with monkeypatch.context() as patch:
            patch.setattr(module, name, stopping)
            assert init(gait, "--model", model)[0] not in (0, 2)
        assert left(gait) - before <= {"home"}
    code, said = init(gait, "--model", model)
    assert (code, "is the champion of this-machine already" in said) == (0, True), said
    assert head_of(gait).number == 1
    other = exported(tmp_path / "other.onnx", 3, 400, last=True, said=LABELS)
    code, said = init(gait, "--model", other, "--force")
    assert (code, "and init replaces none" in said) == (2, True), said


def _interrupted(*arguments: Any, **named: Any) -> Any:
    raise KeyboardInterrupt


class _NoLinks(SimpleNamespace):
    """`os`, in which somebody stops the program as the config is about to get its name."""

    def link(self, *arguments: Any) -> None:
        raise KeyboardInterrupt


def test_a_person_is_asked_for_what_the_file_does_not_say_and_again_after_a_wrong_answer(
    gait: Path, tmp_path: Path
) -> None:
    model = exported(tmp_path / "theirs.onnx", 3, 400, last=True)
    (tmp_path / "bad.onnx").write_text("bad")
    said: list[str] = []
    answer, asked = answering(str(tmp_path / "bad.onnx"), str(model), "walk", "walk, run", "1, 2", "1,2,3", "0", "2")
    fits = partial(config_of, out=tmp_path / "evernas.yaml")
    _, given = model_in_production(propose(look_at(gait)), fits, None, answer, said.append)
    assert given is not None
    declared = given.declaration
    assert (declared.labels, declared.layout) == (["walk", "run"], "time_first")
    assert (declared.mean, declared.std) == ([1.0, 2.0, 3.0], [2.0, 2.0, 2.0])
    assert asked[0] == asked[1] == "Its ONNX file (Enter: none)"
    assert [sentence for sentence in said if "no ONNX network" in sentence]
    assert "Name each of run, walk once." in said
    assert "Give 3 positive numbers, one for each channel, or one for all." in said


def test_enter_is_for_no_model_and_of_texts_nobody_is_asked(gait: Path, tmp_path: Path) -> None:
    proposal, fits = propose(look_at(gait)), partial(config_of, out=tmp_path / "evernas.yaml")
    answer, asked = answering("")
    assert model_in_production(proposal, fits, None, answer, print) == (proposal, None)
    assert len(asked) == 1


def test_a_network_of_texts_is_refused_with_the_reason(tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    for label in ("greeting", "parting"):
        (texts / label).mkdir(parents=True)
        for number in range(90):
            (texts / label / f"{number}.txt").write_text(f"{label} number {number} of them all")
    code, said = init(texts, "--model", exported(tmp_path / "theirs.onnx", 3, 400))
    assert (code, "sub-words of its own, which evernas cannot cut" in said) == (2, True), said


@pytest.mark.parametrize("last", [False, True])
def test_a_network_of_images_is_imported_in_either_layout(last: bool, tmp_path: Path, measured: None) -> None:
    pets, random = tmp_path / "pets", np.random.default_rng(0)
    for label in ("cat", "dog"):
        (pets / label).mkdir(parents=True)
        for number in range(90):
            pixels = random.integers(0, 256, (16, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(pets / label / f"{number}.png")
    model = exported(tmp_path / "theirs.onnx", 3, 16, 20, last=last, said=["dog", "cat"])
    code, said = init(pets, "--model", model)
    assert code == 0, said
    bundle = load_bundle(next(path for path in (tmp_path / "home/projects/pets/bundles").iterdir()))
    assert (list(bundle.labels), bundle.contract.shape) == (["cat", "dog"], (3, 16, 20))
    x = random.uniform(0, 255, (2, 3, 16, 20)).astype(np.float32)
    theirs = _Theirs(3, 2, False)(torch.tensor(x)).detach().numpy()[:, ::-1]
    ours = runtime_named("onnxruntime-cpu").load(bundle.model_path.read_bytes(), 1).run(x)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    other = exported(tmp_path / "other.onnx", 3, 32, 32, said=["dog", "cat"])
    code, said = init(pets, "--model", other, "--force")
    assert (code, "3 x 16 x 20 (channels, then height and width)" in said) == (2, True), said


def test_a_network_that_answers_nan_is_held(gait: Path, tmp_path: Path) -> None:
    model = exported(tmp_path / "theirs.onnx", 3, 400, said=LABELS)
    network = onnx.load(model)
    for weight in network.graph.initializer:
        values = np.full(tuple(weight.dims), np.nan, np.float32)
        weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    onnx.save(network, model)
    proposal, fits = propose(look_at(gait)), partial(config_of, out=tmp_path / "evernas.yaml")
    with pytest.raises(HoldError, match="NaN or infinity"):
        named_model(proposal, fits, model, None, print)


def test_a_file_that_was_changed_meanwhile_is_not_imported(gait: Path, tmp_path: Path, measured: None) -> None:
    model = exported(tmp_path / "theirs.onnx", 3, 400, said=LABELS)
    proposal, fits = propose(look_at(gait)), partial(config_of, out=tmp_path / "evernas.yaml")
    fitted, given = named_model(proposal, fits, model, None, print)
    exported(model, 3, 400, said=LABELS[::-1])
    with pytest.raises(UsageError, match="was changed since it was looked at"):
        make_champion(fits(fitted), Home(tmp_path / "home"), given, print)


def test_on_a_terminal_it_asks_and_ctrl_c_leaves_nothing(gait: Path, tmp_path: Path) -> None:
    before = left(gait)
    command = [gait, "--out", tmp_path / "evernas.yaml", "--home", tmp_path / "home"]
    said = _at_a_terminal(command, [("Who judges", "\n"), ("Who guides", "\n"), ("Its ONNX file", STOP)])
    assert "can be what the first candidate has to beat" in said
    assert "Traceback" not in said
    assert left(gait) == before
    said = _at_a_terminal(command, [("Who judges", "\n"), ("Who guides", "\n"), ("Its ONNX file", "\n")])
    assert "Written: " in said
    assert "champion import MODEL.onnx" in said


def _at_a_terminal(command: list[Any], answers: list[tuple[str, str]]) -> str:
    """What `evernas init` says to somebody who answers so, each answer once its question is there."""
    ours, theirs = pty.openpty()
    evernas = [sys.executable, "-m", "evernas.cli", "init", *map(str, command)]
    process = subprocess.Popen(evernas, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
                               preexec_fn=_take_terminal)  # fmt: skip
    os.close(theirs)
    said, waiting, seen, last, silent = "", list(answers), 0, "", 0
    try:
        while True:
            if not select.select([ours], [], [], SILENCE_S)[0]:
                # Pressed just before the terminal listened, it is not heard: then it is pressed again.
                silent += 1
                assert silent < MOST_SILENCES, f"nothing more is said after {said!r}"
                os.write(ours, last.encode())
                continue
            try:
                data = os.read(ours, 65536)
            except OSError:
                break
            if not data:
                break
            said += data.decode(errors="replace")
            while waiting and waiting[0][0] in said[seen:]:
                seen = said.index(waiting[0][0], seen) + len(waiting[0][0])
                last = waiting.pop(0)[1]
                os.write(ours, last.encode())
        process.wait(60)
    finally:
        process.kill()
        os.close(ours)
    return said


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
