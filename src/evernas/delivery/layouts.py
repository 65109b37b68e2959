"""What the levels of folders above a file, and the parts of its name, say of it: class, domain or split."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from evernas.delivery.items import Found
from evernas.delivery.lots import split_named
from evernas.delivery.nouns import noun_of
from evernas.errors import DataRefusedError, UsageError

ROLES = ("domain", "label", "split", "-")
FEWEST_DOMAINS = 4
MOST_LABELS = 1000
_EACH = 3
_PARTS = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Layout:
    """The role of each level of folders, outermost first, and of parts of the name; `-` says nothing.

    `why` is a sentence; where the folders can be read in another way too, `other` is that way.
    """

    folders: tuple[str, ...]
    parts: Mapping[str, int] = field(default_factory=dict)
    why: str = ""
    other: tuple[str, ...] | None = None

    @property
    def shown(self) -> str:
        """As a person writes it: domain/label."""
        return "/".join(self.folders) or "."

    @property
    def options(self) -> tuple[str, ...]:
        """What a person gives so that other folders are read in the same way; nothing where names say the class."""
        return () if self.parts else (f"--layout={self.shown}",)

    def without_domain(self) -> Layout:
        """The same, in which what names domains says nothing."""
        folders = tuple("-" if role == "domain" else role for role in self.folders)
        parts = {role: at for role, at in self.parts.items() if role != "domain"}
        return Layout(folders, parts, self.why)

    def read(self, name: str) -> dict[str, str] | None:
        """What a file's name from the folder on says by role; None if it lies at another depth, or its name differs."""
        *folders, file = name.split("/")
        if len(folders) != len(self.folders):
            return None
        found = {role: folder for role, folder in zip(self.folders, folders, strict=True) if role != "-"}
        words = _words(file)
        for role, at in self.parts.items():
            value = words[at] if at < len(words) else ""
            found[role] = value if role == "domain" else _without_number(value)
            if not found[role]:
                return None
        return found


def parse(text: str) -> Layout:
    """The layout that a person wrote, as domain/label. UsageError for one that is none."""
    roles = tuple(part for part in text.strip("/").split("/") if part)
    if any(role not in ROLES for role in roles) or roles.count("label") != 1:
        raise UsageError(
            f"The layout {text!r} is unknown: name what each level of folders is, the outermost first, with label, "
            "domain, split or - (nothing), label once; such as domain/label."
        )
    if any(roles.count(role) > 1 for role in ("domain", "split")):
        raise UsageError(f"The layout {text!r} names a role twice: write - for one of them.")
    return Layout(roles, why="As --layout says.")


def guess(names: Iterable[str]) -> Layout:
    """The layout of files, by their names from the folder on. DataRefusedError, with the mend, if none is plain."""
    names = list(names)
    depth = max(Counter(name.count("/") for name in names).items(), key=lambda item: (item[1], item[0]))[0]
    paths = [name.split("/") for name in names if name.count("/") == depth]
    levels = [{path[at] for path in paths} for at in range(depth)]
    roles = ["-" if len(level) == 1 else "" for level in levels]
    for at, level in enumerate(levels):
        if not roles[at] and all(split_named(name) for name in level):
            # One within another, as seg_train/seg_train, says nothing more.
            roles[at] = "-" if "split" in roles else "split"
    left = [at for at, role in enumerate(roles) if not role]
    if not left:
        return Layout(tuple(roles), *_of_names([path[-1] for path in paths], {"label", "domain"}))
    if len(left) == 1:
        return _one(roles, left[0], levels, paths)
    if len(left) == 2:
        return _two(roles, left[0], left[1], levels, paths)
    raise DataRefusedError(
        f"The files lie {depth} levels of folders deep ({names[0]!r}), and what these levels are is not plain: say it "
        f"with --layout, outermost first, such as --layout {'/'.join(['domain', 'label', *['-'] * (depth - 2)])}."
    )


def plain(found: Sequence[Found]) -> Layout | None:
    """The layout of files whose folders are classes by all that they show; None if they may well be something else."""
    try:
        layout = guess([one.name for one in found])
    except DataRefusedError:
        return None
    if "label" not in layout.folders:
        return None
    read = (layout.read(one.name) for one in found)
    labels = Counter(said["label"] for said in read if said is not None)
    few = len(labels) < 2 or sum(labels.values()) < _EACH * len(labels)
    return None if few or noun_of(labels) is not None else layout


def _one(roles: list[str], at: int, levels: Sequence[set[str]], paths: Sequence[list[str]]) -> Layout:
    noun = noun_of(levels[at])
    if noun is not None:
        try:
            parts, why = _of_names([path[-1] for path in paths], {"label"})
        except DataRefusedError:
            parts = {}
        if parts:
            roles[at] = "domain"
            return Layout(tuple(roles), parts, f"Folders are {noun}, by their names. {why}")
    roles[at] = "label"
    return Layout(tuple(roles), why=f"Each of {len(levels[at])} folders is a class.")


def _two(roles: list[str], first: int, second: int, levels: Sequence[set[str]], paths: Sequence[list[str]]) -> Layout:
    def with_label_at(label: int, domain: int, why: str, sure: bool = True) -> Layout:
        named = list(roles)
        named[label], named[domain] = "label", "domain"
        swapped = list(roles)
        swapped[label], swapped[domain] = "domain", "label"
        return Layout(tuple(named), why=why, other=None if sure else tuple(swapped))

    outer, inner = levels[first], levels[second]
    nouns = noun_of(outer), noun_of(inner)
    if nouns[0] is not None and nouns[1] is None:
        return with_label_at(
            second, first, f"The outer folders are {nouns[0]}, by their names; the inner ones classes."
        )
    if nouns[1] is not None and nouns[0] is None:
        return with_label_at(
            first, second, f"The inner folders are {nouns[1]}, by their names; the outer ones classes."
        )
    under = defaultdict(set)
    for path in paths:
        under[path[second]].add(path[first])
    if all(len(outers) == 1 for outers in under.values()):
        fewest = min(Counter(next(iter(outers)) for outers in under.values()).values())
        if fewest >= _EACH and len(outer) < len(inner):
            return with_label_at(
                first, second, "The outer folders are classes; each inner one is of one class, so it is one domain."
            )
        named = list(roles)
        named[first], named[second] = "label", "-"
        return Layout(tuple(named), why="The outer folders are classes; the few folders in them are passed over.")
    if len(outer) < FEWEST_DOMAINS <= len(inner):
        return with_label_at(
            first,
            second,
            f"The outer folders are taken for classes: {len(outer)} are too few for domains, which need four; --layout "
            "says otherwise.",
            sure=False,
        )
    if len(inner) < FEWEST_DOMAINS <= len(outer):
        return with_label_at(
            second,
            first,
            f"The inner folders are taken for classes: {len(inner)} are too few for domains, which need four; --layout "
            "says otherwise.",
            sure=False,
        )
    return with_label_at(
        second, first, "Taken for domain/class, which nothing in the names says; --layout says otherwise.", sure=False
    )


def _of_names(names: Sequence[str], wanted: set[str]) -> tuple[dict[str, int], str]:
    """Which parts of the files' names are the class and the domain, and why."""
    words = [_words(name) for name in names]
    shortest = min(map(len, words))
    found: dict[str, int] = {}
    labels: list[int] = []
    for at in range(shortest):
        values = Counter(word[at] for word in words)
        if len(values) > 1 and noun_of(values) is not None and "domain" in wanted:
            found.setdefault("domain", at)
            continue
        counts = Counter(_without_number(word[at]) for word in words)
        often = sum(number for number in counts.values() if number >= _EACH)
        if "" not in counts and 1 < len(counts) <= MOST_LABELS and often >= 0.9 * len(names):
            labels.append(at)
    plain = [at for at in labels if not any(word[at].isdigit() for word in words)]
    labels = plain or labels
    if len(labels) != 1:
        raise DataRefusedError(
            f"No folders name classes, and {'no part' if not labels else 'more than one part'} of the files' names "
            f"surely does ({names[0]!r}): put the files of each class into a folder of its name, or beside them a CSV "
            "file with the columns file and label."
        )
    found["label"] = labels[0]
    said = f"The class is part {labels[0] + 1} of a file's name"
    if "domain" in found:
        said += f", the domain part {found['domain'] + 1}"
    return found, f"{said}, as of {names[0]!r}."


def _words(name: str) -> list[str]:
    return [word for word in _PARTS.split(PurePosixPath(name).stem) if word] or [""]


def _without_number(word: str) -> str:
    # 'cat12' is a cat; '7' is a seven.
    return word if word.isdigit() else word.rstrip("0123456789")
