"""From what was seen to a proposed config: every value with the reason for it, and what a person should know."""

from __future__ import annotations

import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from evernas.config import ImageConfig, SignalConfig, TextConfig, ValidationConfig
from evernas.delivery.nouns import noun_of
from evernas.delivery.pictures import lines_of_pillow
from evernas.errors import DataRefusedError
from evernas.init.delivered import Delivery
from evernas.init.judges import FEWEST, OWN, Split, given, split
from evernas.init.look import Look
from evernas.init.pictures import space_for, steps_for
from evernas.init.recordings import identities, split_recordings
from evernas.init.sample import guess_window, judge_sample
from evernas.init.texts import TextLook, guess_text
from evernas.report.quantities import natural

WITHIN = {False: "parts", True: "parts within train, validation and test, as the data came split,"}
OWN_TOLD = (
    "Nothing names people, sites or machines: each {one} is its own, in parts drawn by lot, and nothing is claimed "
    "about unseen people, sites or machines."
)


@dataclass(frozen=True)
class Proposal:
    """What `evernas init` would write. `reasons` explains values by key; `remarks` says what is wrong in the data."""

    project: str
    source: Path
    channels: list[str]
    length: int
    stride: int
    split: Split
    noun: str
    max_abs: float
    recordings: dict[str, int]
    labels_of: dict[str, set[str]]
    reasons: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    text: TextConfig | None = None
    """What a text is; then there are no windows."""
    image: ImageConfig | None = None
    """What an image is; then there are no windows either."""
    own: bool = False
    """Whether each sample is its own, in parts by lot: nothing is claimed about unseen domains."""
    packed: Delivery | None = None
    """Where the data had first to be written into the form that ingest reads: what was written, and of what."""
    space: dict[str, Any] = field(default_factory=dict)
    steps: tuple[int, int, int] | None = None
    """Training steps of a cold start, of a warm one, and of a finalist; the defaults where it is None."""

    @property
    def asks(self) -> bool:
        """Whether a person can say who judges: not where the data came split, or has no domains, or too few."""
        return self.split.lot is None and (self.packed is None or not (self.own or self.packed.split_of))

    def judged_by(self, gate: list[str], search: list[str]) -> Proposal:
        """The same with other judges, as a person named them."""
        rest = [d for d in self.recordings if d not in gate and d not in search]
        reasons = {**self.reasons, "splits": "Named by a person."}
        return replace(self, split=replace(self.split, gate=gate, search=search, train=rest), reasons=reasons)

    def sentences(self) -> list[str]:
        """What a person should know before going on, as sentences."""
        split, noun = self.split, self.noun
        what = f"{len(self.channels)} channels, windows of {self.length} time steps"
        if self.text is not None:
            what = f"at most {self.text.characters} characters, {self.text.tokens} sub-words"
        if self.image is not None:
            what = f"{', '.join(self.image.channels)}, {self.image.height} x {self.image.width} pixels"
        of = "in" if self.own else "of"
        return [
            f"{sum(self.recordings.values()):,} {self.sample_noun} {of} {len(self.recordings)} {noun}, "
            f"{len(split.labels)} labels; {what}.",
            *([] if self.packed is None else [f"{self.packed.why} Written to {self.packed.path}."]),
            *([OWN_TOLD.format(one=self.sample_noun.removesuffix("s"))] if self.own else []),
            self._judges(),
            *(f"Note: {remark}" for remark in self.remarks),
        ]

    def _judges(self) -> str:
        split, noun = self.split, self.noun
        if split.lot is None:
            return f"Judges: {_shown(split.gate)}. Search: {_shown(split.search)}. All other {noun} train."
        return (
            f"With {len(split.train)} {noun}, fewer than {FEWEST}, {self.sample_noun} are split within each: "
            f"{split.lot.gate:.0%} judge, {split.lot.search:.0%} guide the search, the others train. What the gate "
            f"shows holds for these {noun} only."
        )

    @property
    def sample_noun(self) -> str:
        """What is delivered, in the plural."""
        if self.image is not None:
            return "images"
        return "recordings" if self.text is None else "texts"

    def to_json(self, out: Path) -> dict[str, Any]:
        """A plain document for programs, with the path of the config."""
        return {
            **({} if self.text is None else {"text": self.text.model_dump(mode="json")}),
            **({} if self.image is None else {"image": self.image.model_dump(mode="json")}),
            **({} if self.packed is None else {"packed": str(self.packed.path), "each_its_own": self.own}),
            "config": str(out.absolute()),
            "project": self.project,
            "source": str(self.source),
            "channels": len(self.channels),
            "length": self.length,
            "stride": self.stride,
            "labels": self.split.labels,
            "left_out": self.split.left_out,
            "gate": self.split.gate,
            "search": self.split.search,
            "train": self.split.train,
            **({} if self.split.lot is None else {"by": "recording", **asdict(self.split.lot)}),
            "recordings": sum(self.recordings.values()),
            "reasons": self.reasons,
            "remarks": self.remarks,
        }


def propose(seen: Look) -> Proposal:
    """A config for what was seen; DataRefusedError, with the mend, if nothing that a run would accept can be made."""
    remarks = [f"{name} {why}: a run will leave it out." for name, why in list(seen.refused.items())[:8]]
    if len(seen.refused) > 8:
        remarks.append(f"{len(seen.refused) - 8} more files cannot be read either.")
    text: TextConfig | None = None
    image: ImageConfig | None = None
    packed = seen.delivery
    if packed is not None:
        remarks += packed.remarks
    if packed is not None and packed.guess is not None:
        image, why_length = packed.guess.image, packed.guess.why_size
        pixels = image.height * image.width
        signal = SignalConfig(channels=image.channels, length=pixels, stride=pixels, rate_hz=None)
        windows_each, max_abs = 1.0, ValidationConfig().max_abs
    elif isinstance(seen, TextLook):
        text, why_length = guess_text(seen, remarks)
        signal = SignalConfig(channels=text.channels, length=text.characters, stride=text.characters, rate_hz=None)
        windows_each, max_abs = 1.0, ValidationConfig().max_abs
    else:
        channels, length, stride, why_length = guess_window(seen, remarks)
        signal = SignalConfig(channels=[f"ch{i}" for i in range(channels)], length=length, stride=stride, rate_hz=None)
        windows_each, max_abs = judge_sample(seen, signal, remarks)
    named = {(d, label): n for (d, label), n in seen.pairs.items() if _good(d) and _good(label)}
    unnamed = sum(seen.pairs.values()) - sum(named.values())
    if unnamed:
        what = "recordings" if packed is None else packed.noun
        remarks.append(f"{unnamed} {what} have no domain or label, or one with blanks around it: quarantined.")
    pairs: dict[tuple[str, str], int] = {(str(d), str(label)): n for (d, label), n in named.items()}
    chosen = _split(pairs, windows_each, seen)
    counted: Counter[str] = Counter()
    labels_of: dict[str, set[str]] = defaultdict(set)
    for (domain, label), number in pairs.items():
        counted[domain] += number
        labels_of[domain].add(label)
    if chosen.lot is not None and packed is not None:
        remarks.append(f"{len(chosen.train)} domains are few. {OWN[packed.noun]}")
    _judge_left_out(chosen, pairs, unnamed, remarks)
    own = packed is not None and packed.own
    noun, why_noun = ("parts", "Cut by lot: nothing is said of people, sites or machines.") if own else _noun(counted)
    reasons = _reasons(seen, chosen, why_length, why_noun, len(signal.channels), max_abs)
    space: dict[str, Any] = {}
    steps: tuple[int, int, int] | None = None
    if image is not None:
        space = space_for(image)
        trained = sum(counted[domain] for domain in chosen.train)
        if chosen.lot is not None:
            trained = chosen.lot.recordings["train"]
        *counts, reasons["steps"] = steps_for(image, trained)
        steps = (counts[0], counts[1], counts[2])
    return Proposal(
        project=_project(seen.folder.name if packed is None else packed.place.stem),
        source=seen.folder,
        channels=signal.channels,
        length=signal.length,
        stride=signal.stride,
        split=chosen,
        noun=noun,
        max_abs=max_abs,
        recordings=dict(sorted(counted.items(), key=lambda item: natural(item[0]))),
        labels_of=dict(labels_of),
        reasons=reasons,
        remarks=remarks,
        text=text,
        image=image,
        own=own,
        packed=packed,
        space=space,
        steps=steps,
    )


def _split(pairs: dict[tuple[str, str], int], windows_each: float, seen: Look) -> Split:
    least = ValidationConfig().model_dump()["min_rows"]
    packed = seen.delivery
    if packed is not None and packed.split_of:
        return given(pairs, packed.split_of, least, packed.noun)
    noun = packed.noun if packed is not None else "texts" if isinstance(seen, TextLook) else "recordings"
    if 0 < len({domain for domain, _ in pairs}) < FEWEST:
        return split_recordings(identities(seen), windows_each, least, noun)
    return split(pairs, windows_each, least, noun)


def _judge_left_out(chosen: Split, pairs: dict[tuple[str, str], int], unnamed: int, remarks: list[str]) -> None:
    """Say which labels are left out; DataRefusedError if so many recordings are that a run would be refused.

    `unnamed` recordings, of no domain or label, are none of `pairs`.
    """
    rows = sum(pairs.values()) + unnamed
    lost = sum(number for (_, label), number in pairs.items() if label in chosen.left_out)
    unit = "domains" if chosen.lot is None else "recordings"
    told = ", ".join(f"{label!r} ({number} {unit})" for label, number in list(chosen.left_out.items())[:8])
    more = f" and {len(chosen.left_out) - 8} more" if len(chosen.left_out) > 8 else ""
    bound = ValidationConfig().max_quarantine
    if unnamed and (lost + unnamed) / rows > bound:
        raise DataRefusedError(
            f"{unnamed} of {rows} recordings have no domain or label, or one with blanks around it, and {lost} more a "
            f"label that too few domains share: a run refuses data of which more than {bound:.0%} go to quarantine. "
            "Write whom or what each comes from, and its class."
        )
    if lost / rows > bound:
        raise DataRefusedError(
            f"{lost} of {rows} recordings have a label that too few {unit} have ({told}{more}): each label is needed "
            "in training, in the search and in the gate. Record each class with more people, sites or machines."
        )
    if chosen.left_out:
        remarks.append(
            f"Left out: the labels {told}{more}. Each label is needed in all three splits, or nobody could judge it; "
            f"their {lost} recordings go to quarantine until more {unit} bring them and you add them to data.labels."
        )


def _reasons(
    seen: Look, chosen: Split, why_length: str, why_noun: str, channels: int, max_abs: float
) -> dict[str, str]:
    files, what, sampled = "Parquet files", "recordings", len(seen.sample)
    if isinstance(seen, TextLook):
        files, what, sampled = "files", "texts", len(seen.lengths)
    looked = f"{seen.files} {files}, {'about ' if not seen.complete else ''}{seen.rows:,} {what}"
    number = len(chosen.gate) + len(chosen.search) + len(chosen.train)
    labels = f"All labels found{'' if seen.complete else ' in the part that was read'}."
    if not seen.complete:
        labels += " The folder is too large to read whole: add a label that is missing."
    judges = (
        f"Drawn by lot among {number} domains so that each split has every label: {len(chosen.gate)} judge, "
        f"{len(chosen.search)} guide the search, and all others, those still to come too, train. Name instead whom you "
        "want to do well for. Once a run is done, these can never change: a judge that trained judges nothing."
    )
    if len(chosen.gate) < 5:
        judges += f" With {len(chosen.gate)} judges, fewer than five, the gate speaks of these alone, not of others."
    packed = seen.delivery
    if chosen.lot is not None:
        judges = _why_recordings(chosen)
    return {
        "source": f"{looked}; {sampled} of them were looked at.",
        "channels": (
            f"The payload has {channels} channels, and no names: name them as you like, in the order of the payload."
        ),
        "noun": why_noun,
        "max_abs": f"Ten times the largest value that was seen, rounded up to {max_abs:g}: more is a broken sensor.",
        "length": why_length,
        "labels": labels,
        "splits": judges,
        **({} if packed is None else _of_what_was_packed(packed)),
    }


def _why_recordings(chosen: Split) -> str:
    few = len(chosen.train)
    domains = "1 domain" if few == 1 else f"{few} domains"
    return (
        f"There {'is' if few == 1 else 'are'} only {domains}, and {FEWEST} are the least of which some can judge while "
        "others train. So recordings are split by lot within each domain, by their ids alone: one never changes its "
        "split, however the data grows. The gate then speaks of these domains only, and nothing is claimed about "
        "others. Once a run is done, these can never change; with more domains, name some to judge in a new project."
    )


def _of_what_was_packed(packed: Delivery) -> dict[str, str]:
    reasons = {
        "source": f"Made of {packed.place} by evernas init. {packed.why} New {packed.noun} are delivered by the "
        "command below, which leaves out what is there already.",
        "command": shlex.join(
            [
                *("evernas", "data", "pack", packed.place.name, f"{packed.path.parent.name}/batch-2.parquet"),
                *("--config", "THIS-FILE", *packed.options),
            ]
        ),
    }
    if packed.guess is not None:
        reasons["channels"] = packed.guess.why_channels
        found = packed.guess
        reasons["form"] = "Each image was given the form that this gives it, and must be in production too:"
        reasons["form_code"] = "\n".join(lines_of_pillow(found.image, found.transparent, found.deep))
    if packed.own:
        reasons["splits"] = (
            f"Nothing names people, sites or machines, so each {packed.noun.removesuffix('s')} is its own, and "
            f"{WITHIN[bool(packed.split_of)]} are drawn by lot, the same each time. A network is judged on new samples "
            "of what is here, and nothing is claimed about unseen people, sites or machines. Once a run is done, parts "
            "never change."
        )
    elif packed.split_of:
        reasons["splits"] = "As the data came split: test judges, validation guides the search. This never changes."
    return reasons


def _noun(domains: Iterable[str]) -> tuple[str, str]:
    noun = noun_of(domains)
    if noun is not None:
        return noun, "By the domains' names. For sentences in reports."
    return "domains", "For sentences in reports: people, sites, machines."


def _project(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:41].strip("-") or "first"


def _good(text: Any) -> bool:
    return isinstance(text, str) and bool(text) and text == text.strip()


def _shown(names: list[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
