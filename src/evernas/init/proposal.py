"""From what was seen to a proposed config: every value with the reason for it, and what a person should know."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evernas.config import SignalConfig, TextConfig, ValidationConfig
from evernas.errors import DataRefusedError
from evernas.init.judges import Split, split
from evernas.init.look import Look
from evernas.init.sample import guess_window, judge_sample
from evernas.init.texts import TextLook, guess_text
from evernas.report.quantities import natural

_NOUNS = {
    "people": "person people subject participant user wearer patient speaker writer s p u",
    "sites": "site plant hospital room location house",
    "machines": "machine engine motor pump bearing turbine robot unit",
    "devices": "device sensor phone watch node",
}


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
        return [
            f"{sum(self.recordings.values()):,} {self.sample_noun} of {len(self.recordings)} {noun}, "
            f"{len(split.labels)} labels; {what}.",
            f"Judges: {_shown(split.gate)}. Search: {_shown(split.search)}. All other {noun} train.",
            *(f"Note: {remark}" for remark in self.remarks),
        ]

    @property
    def sample_noun(self) -> str:
        """What is delivered, in the plural."""
        return "recordings" if self.text is None else "texts"

    def to_json(self, out: Path) -> dict[str, Any]:
        """A plain document for programs, with the path of the config."""
        return {
            **({} if self.text is None else {"text": self.text.model_dump(mode="json")}),
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
    if isinstance(seen, TextLook):
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
        remarks.append(f"{unnamed} recordings have no domain or label, or one with blanks around it: quarantined.")
    pairs: dict[tuple[str, str], int] = {(str(d), str(label)): n for (d, label), n in named.items()}
    chosen = split(pairs, windows_each, ValidationConfig().model_dump()["min_rows"])
    counted: Counter[str] = Counter()
    labels_of: dict[str, set[str]] = defaultdict(set)
    for (domain, label), number in pairs.items():
        counted[domain] += number
        labels_of[domain].add(label)
    _judge_left_out(chosen, pairs, remarks)
    noun, why_noun = _noun(list(counted))
    return Proposal(
        project=_project(seen.folder.name),
        source=seen.folder,
        channels=signal.channels,
        length=signal.length,
        stride=signal.stride,
        split=chosen,
        noun=noun,
        max_abs=max_abs,
        recordings=dict(sorted(counted.items(), key=lambda item: natural(item[0]))),
        labels_of=dict(labels_of),
        reasons=_reasons(seen, chosen, why_length, why_noun, len(signal.channels), max_abs),
        remarks=remarks,
        text=text,
    )


def _judge_left_out(chosen: Split, pairs: dict[tuple[str, str], int], remarks: list[str]) -> None:
    """Say which labels are left out; DataRefusedError if so many recordings have them that a run would be refused."""
    rows = sum(pairs.values())
    lost = sum(number for (_, label), number in pairs.items() if label in chosen.left_out)
    told = ", ".join(f"{label!r} ({number} domains)" for label, number in list(chosen.left_out.items())[:8])
    more = f" and {len(chosen.left_out) - 8} more" if len(chosen.left_out) > 8 else ""
    if lost / rows > ValidationConfig().max_quarantine:
        raise DataRefusedError(
            f"{lost} of {rows} recordings have a label that too few domains share ({told}{more}): each label is needed "
            "in training, in the search and in the gate. Record each class with more people, sites or machines."
        )
    if chosen.left_out:
        remarks.append(
            f"Left out: the labels {told}{more}. Each label is needed in all three splits, or nobody could judge it; "
            f"their {lost} recordings go to quarantine until more domains bring them and you add them to data.labels."
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
    return {
        "source": f"{looked}; {sampled} of them were looked at.",
        "channels": (
            f"The payload has {channels} channels, and no names: name them as you like, in the order of the payload."
        ),
        "length": why_length,
        "labels": labels,
        "splits": judges,
        "noun": why_noun,
        "max_abs": f"Ten times the largest value that was seen, rounded up to {max_abs:g}: more is a broken sensor.",
    }


def _noun(domains: list[str]) -> tuple[str, str]:
    stems = Counter(re.match(r"[a-z]*", domain.lower())[0] for domain in domains)  # type: ignore[index]
    stem, number = stems.most_common(1)[0]
    if stem and number == len(domains):
        for noun, words in _NOUNS.items():
            if stem in words.split():
                return noun, f"The domains' names begin with {stem!r}. For sentences in reports."
    return "domains", "For sentences in reports: people, sites, machines."


def _project(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:41].strip("-") or "first"


def _good(text: Any) -> bool:
    return isinstance(text, str) and bool(text) and text == text.strip()


def _shown(names: list[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
