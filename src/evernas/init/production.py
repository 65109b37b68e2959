"""The model that is in production already: asked for, checked against the proposal, and made the first champion."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evernas.bundle import load_bundle
from evernas.config import Config
from evernas.digest import digest_bytes, short
from evernas.errors import EvernasError, HoldError, IntegrityError, UsageError
from evernas.init.proposal import Proposal
from evernas.init.questions import Ask, Say
from evernas.loop.declaring import Declaration, declared_by_default, read_declaration, sample_of
from evernas.registry.entries import Entry
from evernas.registry.opening import open_journal
from evernas.state import Home
from evernas.state.files import write_bytes

if TYPE_CHECKING:
    from evernas.hardware.adapting import Said

ConfigOf = Callable[[Proposal], Config]


@dataclass(frozen=True)
class Production:
    """A network's file, and what it takes and gives; it was loaded, and answers."""

    path: Path
    digest: str
    declaration: Declaration

    def to_json(self) -> dict[str, Any]:
        """As it is kept with the network, too."""
        return {"file": self.digest, "declared": self.declaration.model_dump(mode="json")}


class _UndeclaredError(UsageError):
    """What the file does not say has to be declared, since nobody is asked; `known` is what it says."""

    def __init__(self, text: str, known: Declaration) -> None:
        super().__init__(text)
        self.known = known


def model_in_production(
    proposal: Proposal, config_of: ConfigOf, path: Path | None, answer: Ask | None, say: Say
) -> tuple[Proposal, Production | None]:
    """The model in this file, else the one that a person names, with the proposal that it fits; None if there is none.

    Without an `answer` nothing is asked. UsageError, HoldError for a file that does not fit.
    """
    if path is not None:
        return named_model(proposal, config_of, path, answer, say)
    if answer is None:
        return proposal, None
    return ask_for_model(proposal, config_of, answer, say)


def ask_for_model(proposal: Proposal, config_of: ConfigOf, answer: Ask, say: Say) -> tuple[Proposal, Production | None]:
    """The model that a person names, and the proposal that its input fits; Enter is for none, a wrong file asks again.

    Of texts nobody is asked: their networks cannot be imported.
    """
    if proposal.text is not None:
        return proposal, None
    say("A model that is in production already can be what the first candidate has to beat.")
    while True:
        text = answer("Its ONNX file (Enter: none)", "").strip()
        if not text:
            return proposal, None
        try:
            return named_model(proposal, config_of, Path(text).expanduser(), answer, say)
        except EvernasError as error:
            say(str(error))


def named_model(
    proposal: Proposal, config_of: ConfigOf, path: Path, answer: Ask | None, say: Say
) -> tuple[Proposal, Production]:
    """The network in a file, and the proposal with windows of its length; what the file does not say is asked.

    Its declaration, a YAML file beside it of its name, says it too. UsageError, HoldError if it does not fit, with
    what to do; also where something is missing and there is no `answer`.
    """
    from evernas.hardware.adapting import said_by
    from evernas.loop.importing import read_network, tried

    sample_of(config_of(proposal))
    original = read_network(path)
    said, beside = said_by(original), path.with_suffix(".yaml")
    fitted = _of_its_windows(proposal, said, say)
    if beside.exists():
        fitted = _of_its_channels(fitted, beside)
        declared = read_declaration(beside, config_of(fitted))
    else:
        try:
            declared = _declared(declared_by_default(config_of(fitted)), said, path, answer, say)
        except _UndeclaredError as error:
            raise UsageError(f"{error} Write it into {beside}, such as\n{error.known.yaml.rstrip()}") from None
    config = config_of(fitted)
    tried(config, config.devices[0].name, original, declared)
    say(f"{path.name} fits: classes {', '.join(declared.labels)}, {declared.layout.replace('_', ' ')}.")
    return fitted, Production(path, digest_bytes(original), declared)


@dataclass
class Import:
    """The import of a model in production into a config's project; where this machine cannot measure it, why."""

    given: Production
    home: Home
    say: Say
    held: str | None = None

    def __call__(self, config: Config) -> None:
        """Do it. That the machine is busy costs nobody the config, nor what was asked."""
        try:
            self.say(make_champion(config, self.home, self.given, self.say))
        except HoldError as error:
            self.held = str(error)

    def to_json(self) -> dict[str, Any]:
        """For programs: the file, what was declared, and whether it is the champion."""
        return {**self.given.to_json(), "champion": self.held is None}

    def later(self, out: Path) -> str:
        """Why it was not imported, and how it is once that is mended; what was said of it is kept for that."""
        command = ["evernas", "champion", "import", str(self.given.path), "--config", str(out)]
        command += ["--declared", str(keep_declaration(self.given, out))]
        return f"{self.held} The config {out} is written; import the model once that is mended: {shlex.join(command)}"


def make_champion(config: Config, home: Home, given: Production, say: Say) -> str:
    """Import it as the champion of the config's device; the sentence to say. Of one that it is already, nothing more.

    UsageError where another is the champion; HoldError if it cannot be measured.
    """
    from evernas.loop.importing import import_champion, read_network

    device = config.devices[0].name
    head = open_journal(home, config).head(device)
    if head is not None and _is_that(config, home, head, given):
        return f"{given.path.name} is the champion of {device} already."
    if head is not None:
        raise UsageError(
            f"{config.project} has the champion {short(head.bundle)} on {device} (entry {head.number}), and init "
            f"replaces none: leave the model out here, and give `evernas champion import {given.path} --force "
            "--reason '...'` once the config is written."
        )
    if digest_bytes(read_network(given.path)) != given.digest:
        raise UsageError(f"{given.path} was changed since it was looked at: give the command again.")
    return import_champion(config, home, device, given.path, given.declaration, force=False, reason=None, say=say)


def keep_declaration(given: Production, out: Path) -> Path:
    """Where what was said of it lies: beside it, else from now on beside the config, so that nobody says it again."""
    beside = given.path.with_suffix(".yaml")
    if beside.exists():
        return beside
    path = out.with_name(f"{out.stem}.production.yaml")
    write_bytes(path, given.declaration.yaml.encode())
    return path


def _is_that(config: Config, home: Home, head: Entry, given: Production) -> bool:
    """Whether an earlier call that was stopped before its end imported just this."""
    try:
        bundle = load_bundle(home.bundles(config.project) / short(head.bundle), expected=head.bundle)
    except (IntegrityError, OSError):
        return False
    return head.kind == "import" and bool(bundle.extra.get("imported") == given.to_json())


def _of_its_windows(proposal: Proposal, said: Said, say: Say) -> Proposal:
    """The proposal with windows as long as the network's: it was given such in production.

    UsageError for longer ones than the recordings can fill, and for an input that takes no such samples.
    """
    channels = len(proposal.channels)
    sizes = [channels, proposal.length]
    if proposal.image is not None:
        sizes = [channels, proposal.image.height, proposal.image.width]
    if said.takes(sizes) or said.takes([*sizes[1:], sizes[0]]):
        return proposal
    shown = ", ".join(str(size) if size else "any" for size in said.input)
    what = " x ".join(map(str, sizes))
    length = _length_of(said, channels)
    if proposal.image is not None or length is None:
        raise UsageError(
            f"The network's input has the shape ({shown}), and the data is {what} (channels, then "
            f"{'height and width' if proposal.image is not None else 'time steps'}) a sample: it takes other samples, "
            "so that no candidate could be compared with it."
        )
    if length > proposal.length:
        raise UsageError(
            f"The network takes windows of {length} time steps, and the recordings fill windows of {proposal.length}: "
            "give longer recordings, or a network of shorter windows."
        )
    say(f"The network takes windows of {length} time steps, and so will every candidate.")
    stride = length if proposal.stride == proposal.length else max(1, length // 2)
    reasons = {**proposal.reasons, "length": "As the model in production takes them."}
    return replace(proposal, length=length, stride=stride, reasons=reasons)


def _length_of(said: Said, channels: int) -> int | None:
    """The time steps that an input of windows names, whichever axis is time; None where it is no such input."""
    if len(said.input) != 3:
        return None
    _, first, second = said.input
    if first == channels and second > 1:
        return second
    return first if second == channels and first > 1 else None


def _of_its_channels(proposal: Proposal, declared: Path) -> Proposal:
    """The proposal with the channels' names of the declaration: the data has none of its own."""
    if proposal.image is not None:
        return proposal
    try:
        names = Declaration.model_validate(_document(declared)).channels
    except (ValueError, OSError):
        # What is wrong with it says whoever reads it next.
        return proposal
    if len(names) != len(proposal.channels) or len(set(names)) != len(names):
        return proposal
    reasons = {**proposal.reasons, "channels": f"As {declared.name} declares them for the model in production."}
    return replace(proposal, channels=names, reasons=reasons)


def _document(path: Path) -> Any:
    import yaml

    from evernas.config_yaml import read_yaml

    try:
        return read_yaml(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def _declared(known: Declaration, said: Said, path: Path, answer: Ask | None, say: Say) -> Declaration:
    """What the network takes and gives, by its file and by a person."""
    known = known.model_copy(update={"output": _scores(said, len(known.labels))})
    known = known.model_copy(update={"layout": _layout(known, said, answer, say)})
    if said.labels is not None:
        labels = list(said.labels)
        if sorted(labels) != sorted(known.labels):
            raise UsageError(
                f"{path.name} says that its classes are {', '.join(labels)}, and the data's labels are "
                f"{', '.join(known.labels)}: only networks of the same classes can be compared."
            )
    elif answer is None:
        raise _UndeclaredError(
            f"{path.name} does not say in which order its classes are, and a wrong guess would ruin it.", known
        )
    else:
        labels = _labels(known.labels, answer, say)
    changes: dict[str, Any] = {"labels": labels}
    if answer is not None:
        mean = _numbers("What is subtracted from each channel before the network", len(known.channels), answer, say)
        std = _numbers("What each channel is then divided by", len(known.channels), answer, say, positive=True)
        changes |= {"mean": mean, "std": std}
    return known.model_copy(update=changes)


def _scores(said: Said, classes: int) -> str | None:
    """The output with the scores; None where there is but one. UsageError where none can be it."""
    fitting = [name for name, sizes in said.outputs.items() if len(sizes) == 2 and sizes[1] in (0, classes)]
    if not fitting:
        shown = "; ".join(f"{name} {sizes}" for name, sizes in said.outputs.items())
        raise UsageError(
            f"The network's outputs are {shown}, where scores of (batch, {classes}) belong, one for each label: it "
            "answers with other classes, or with none."
        )
    if len(said.outputs) == 1:
        return None
    named = [name for name in fitting if said.outputs[name][1] == classes]
    return (named or fitting)[0]


def _layout(known: Declaration, said: Said, answer: Ask | None, say: Say) -> str:
    """Which axis of the input are the channels."""
    first = [len(known.channels), *[side for side in (known.length, known.height, known.width) if side is not None]]
    last = "time_first" if known.length is not None else "channels_last"
    possible = [
        name for name, sizes in (("channels_first", first), (last, [*first[1:], first[0]])) if said.takes(sizes)
    ]
    if len(possible) == 1:
        return possible[0]
    if answer is None:
        raise _UndeclaredError("The network's input does not say whether channels come first.", known)
    while True:
        text = answer(f"Are its inputs {' or '.join(possible)}", possible[0]).strip()
        if text in possible:
            return text
        say(f"Answer {' or '.join(possible)}.")


def _labels(known: list[str], answer: Ask, say: Say) -> list[str]:
    while True:
        text = answer("Its classes in the order of its scores (with commas between)", ", ".join(known))
        if text == ", ".join(known):
            return known
        names = [name.strip() for name in text.split(",")]
        if sorted(names) == sorted(known):
            return names
        say(f"Name each of {', '.join(known)} once.")


def _numbers(question: str, channels: int, answer: Ask, say: Say, *, positive: bool = False) -> list[float] | None:
    """A number for each channel, or one for all; None for Enter."""
    while True:
        text = answer(f"{question} (numbers with commas, Enter: nothing)", "").strip()
        if not text:
            return None
        try:
            values = [float(part) for part in text.split(",")]
        except ValueError:
            values = []
        values = values * channels if len(values) == 1 else values
        fits = all(abs(value) < float("inf") and (value > 0 or not positive) for value in values)
        if len(values) == channels and fits:
            return values
        say(f"Give {channels} {'positive ' if positive else ''}numbers, one for each channel, or one for all.")
