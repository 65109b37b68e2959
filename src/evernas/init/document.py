"""The proposed config as YAML with its reasons as comments, and writing it where nothing is lost."""

from __future__ import annotations

import os
import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from evernas.config import Config, ImageConfig, TextConfig, load_config, parse_config, source_address
from evernas.errors import UsageError
from evernas.init.proposal import Proposal

WIDTH = 118
_HEIGHTS = "resolutions, at most the images' own."
_OWN = [
    "  near_duplicates:",
    "    join: 1.0 # parts are no people: a copy leaves training, and no part joins another",
]
_GATE = [
    "gate:",
    "  near_misses: false # few parts judge, which cannot pay for being told of near misses",
    "",
]


def yaml_text(proposal: Proposal, beside: Path) -> str:
    """The config's text; the source is relative to `beside`, the folder that it will lie in, if it is inside."""
    why, split = proposal.reasons, proposal.split
    lines = [
        "# Made by `evernas init` from the data: each guess has its reason beside it; change what you know better.",
        "# `evernas schema` prints every other key with its meaning and default.",
        *[line for remark in proposal.remarks for line in _comment(f"Note: {remark}", 0)],
        "version: 1",
        f"project: {_value(proposal.project)} # prefix of everything that is kept; from the folder's name",
        "",
        "data:",
        *_comment(why["source"], 2),
        *([f"  #   {_printable(why['command'])}"] if "command" in why else []),
        *_comment(why.get("form", ""), 2),
        *(f"  #   {line}" for line in why.get("form_code", "").splitlines()),
        f"  source: {_value(_source(proposal.source, beside))}",
        *_sample(proposal),
        *_comment(why["labels"], 2),
        f"  labels: {_value(split.labels)}",
        *_comment(why["noun"], 2),
        f"  domain_noun: {_value(proposal.noun)}",
        *_comment(why["splits"], 2),
        "  splits:",
        *_splits(proposal),
        *(_OWN if proposal.own else []),
        "",
        *(
            [
                "validation:",
                *_comment(why["max_abs"], 2),
                f"  max_abs: {_value(proposal.max_abs)}",
                "",
            ]
            if proposal.text is None and proposal.image is None
            else []
        ),
        *_training(proposal),
        *(_GATE if proposal.own else []),
        "devices:",
        *_comment("This machine, one thread an inference. Name the machine that the network will run on.", 2),
        "  - name: this-machine",
        "    runtime: onnxruntime-cpu",
        "    threads: 1",
        "",
        *_comment("A champion must also keep your bounds, for example:", 0),
        "# constraints:",
        "#   - {metric: latency_ms, max: 5}",
        "#   - {metric: size_kb, max: 200}",
    ]
    return "\n".join(lines) + "\n"


def _splits(proposal: Proposal) -> list[str]:
    split, noun = proposal.split, proposal.sample_noun
    if split.lot is None:
        return [
            f"    gate: {_value(split.gate)} # {_recordings(proposal, split.gate)}",
            f"    search: {_value(split.search)} # {_recordings(proposal, split.search)}",
            f"    # train: all others; now {len(split.train)} with {_recordings(proposal, split.train)}",
        ]
    lot = split.lot
    return [
        "    by: recording",
        f"    gate: {lot.gate:g} # share of the {noun} that judge; now {lot.recordings['gate']:,}",
        f"    search: {lot.search:g} # share that guides the search; now {lot.recordings['search']:,}",
        f"    # train: all others; now {lot.recordings['train']:,}",
        *([f"    seed: {lot.seed} # the first lot that gives each split every label"] if lot.seed else []),
        *_comment(
            f"Were {noun} cut from one session, and do they bear its name? Say how, or some of it would judge what "
            "others of it trained:",
            4,
        ),
        "    # group: ^(.+)-[0-9]+$",
    ]


def _sample(proposal: Proposal) -> list[str]:
    if proposal.image is not None:
        return _image(proposal, proposal.image)
    return _signal(proposal) if proposal.text is None else _text(proposal.text, proposal.reasons["length"])


def _image(proposal: Proposal, image: ImageConfig) -> list[str]:
    why = proposal.reasons
    return [
        "  kind: image",
        "  image:",
        *_comment(why["channels"], 4),
        f"    channels: {_value(image.channels)}",
        *_comment(why["length"], 4),
        f"    height: {image.height}",
        f"    width: {image.width}",
    ]


def _training(proposal: Proposal) -> list[str]:
    """The space and the training of images, which depend on how large and how many they are."""
    if proposal.image is None or proposal.steps is None:
        return []
    cold, warm, tuning = proposal.steps
    mirror = (
        "    # mirror: 0.5 # where left and right do not matter, as of most photographs; never of letters or digits"
    )
    return [
        "space:",
        *_comment(f"Small enough to be searched in minutes. Heights that a network may scale images to: {_HEIGHTS}", 2),
        *(f"  {key}: {_value(value)}" for key, value in proposal.space.items()),
        "",
        "supernet:",
        *_comment(proposal.reasons["steps"], 2),
        f"  steps: {cold}",
        f"  warm_steps: {warm}",
        "  learning_rate: 0.012 # so few steps need a higher rate than a network alone",
        "  random_subnets: 1",
        "  label_smoothing: 0.1",
        "  augment:",
        "    # Changes that leave the class of most images as it is: turned, zoomed, moved, lighter or darker.",
        "    rotate_degrees: 10",
        "    time_warp: 0.1 # the zoom",
        "    shift: 0.06",
        "    scale: 0.1",
        "    jitter: 0.02",
        mirror,
        "",
        "finalists:",
        f"  steps: {tuning}",
        "",
    ]


def _signal(proposal: Proposal) -> list[str]:
    why = proposal.reasons
    return [
        "  kind: signal",
        "  signal:",
        *_comment(why["channels"], 4),
        f"    channels: {_value(proposal.channels)}",
        *_comment(why["length"], 4),
        f"    length: {proposal.length}",
        f"    stride: {proposal.stride} # "
        + ("windows do not overlap" if proposal.stride == proposal.length else "windows overlap by half"),
        "    # rate_hz: 50 # the sampling rate, if you know it; for reports",
    ]


def _text(text: TextConfig, why: str) -> list[str]:
    return [
        "  kind: text",
        "  text:",
        *_comment(why, 4),
        f"    characters: {text.characters}",
        f"    tokens: {text.tokens}",
        f"    vocabulary: {text.vocabulary} # sub-words that are learned from the training texts",
        "    lowercase: true # false where capitals tell classes apart",
    ]


def refuse_existing(out: Path, force: bool) -> None:
    """UsageError if the file is there and may not be overwritten, or can never be written."""
    if out.is_dir():
        raise UsageError(f"{out} is a folder: give --out the path of a YAML file.")
    if out.exists() and not force:
        raise UsageError(f"{out} exists: give --force to overwrite it, or --out for another file.")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"There is no folder {out.absolute().parent} to write {out.name} into: create it.")


def config_of(proposal: Proposal, out: Path) -> Config:
    """The config as it would be written, without writing it. UsageError if it is none."""
    return parse_config(yaml.safe_load(yaml_text(proposal, out.absolute().parent)), str(out))


def write(
    proposal: Proposal,
    out: Path,
    home: Path,
    force: bool = False,
    before: Callable[[Config], None] = lambda config: None,
) -> None:
    """Write the config, once it has passed what `evernas run` refuses early; another's file is never overwritten.

    `before` is done just before the config gets its name: if that raises, or is stopped, there is none.
    """
    from evernas.loop import preflight

    out = out.absolute()
    refuse_existing(out, force)
    handle, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(yaml_text(proposal, out.parent))
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        config = load_config(temporary)
        if source_address(config, home) != str(proposal.source.absolute()):
            raise UsageError(f"The path {proposal.source} holds '${{', which a config expands: rename the folder.")
        preflight.check(config, home)
        before(config)
        if force:
            temporary.replace(out)
        else:
            # Unlike a rename, a link fails if another wrote the file meanwhile.
            os.link(temporary, out)
    except FileExistsError:
        raise UsageError(f"{out} exists: give --force to overwrite it, or --out for another file.") from None
    finally:
        temporary.unlink(missing_ok=True)


def _source(source: Path, beside: Path) -> str:
    absolute = source.absolute()
    if absolute.is_relative_to(beside.absolute()):
        return f"./{absolute.relative_to(beside.absolute()).as_posix()}"
    return str(absolute)


def _value(value: Any) -> str:
    """A value on one line of YAML."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=2**30)
    return text.removesuffix("\n").removesuffix("\n...").strip()


def _comment(text: str, indent: int) -> list[str]:
    # What comes from the data stands in quotes with its escapes, so that no line break of its own ends the comment.
    mark = " " * indent + "# "
    return textwrap.wrap(_printable(text), WIDTH, initial_indent=mark, subsequent_indent=mark, break_long_words=False)


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _recordings(proposal: Proposal, domains: list[str]) -> str:
    return f"{sum(proposal.recordings.get(domain, 0) for domain in domains):,} {proposal.sample_noun}"
