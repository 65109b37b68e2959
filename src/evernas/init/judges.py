"""Which domains judge and which guide the search: as many as the data allows, each label in each split."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evernas.errors import DataRefusedError
from evernas.report.quantities import natural

FEWEST = 4
SHARE_GATE, SHARE_SEARCH = 0.3, 0.2
MOST_GATE, MOST_SEARCH = 30, 20
# From this many domains on, enough are left to train when the gate has the five that let it speak of others.
ENOUGH_FOR_FIVE = 12
TRIES = 300
OWN = {
    "images": "Or let each image be its own, with --domain - (or --layout -/label where its folders say so).",
    "texts": "Or let each text be its own, with --domain -.",
}


@dataclass(frozen=True)
class Lot:
    """By what recordings are split where domains are too few: shares and seed, and how many each split then has."""

    gate: float
    search: float
    seed: int
    recordings: Mapping[str, int]


@dataclass(frozen=True)
class Split:
    """Domains by what they do; `left_out` are labels that too few domains have, with how many have them.

    With a `lot` recordings are split, all domains train and judge, and `left_out` counts recordings.
    """

    gate: list[str]
    search: list[str]
    train: list[str]
    labels: list[str]
    left_out: dict[str, int]
    lot: Lot | None = None


def split(
    pairs: Mapping[tuple[str, str], int], windows_each: float, least: Mapping[str, int], noun: str = "recordings"
) -> Split:
    """A split of the domains in `pairs`, which counts recordings, images or texts by (domain, label).

    `windows_each` is the mean number of windows of a recording, `least` the fewest windows that each split needs.
    Which domains judge is drawn by lot with a fixed seed, so that it follows neither names nor time.
    DataRefusedError if there are too few domains, labels or windows.
    """
    labels_of: dict[str, set[str]] = defaultdict(set)
    count: dict[str, int] = defaultdict(int)
    for (domain, label), number in pairs.items():
        labels_of[domain].add(label)
        count[domain] += number
    domains = sorted(labels_of, key=natural)
    if len(domains) < FEWEST:
        own = "" if noun == "recordings" else f" {OWN[noun]}"
        raise DataRefusedError(
            f"There are only {len(domains)} domains ({', '.join(map(repr, domains))}): {FEWEST} are needed, one to "
            "train, one to guide the search and two to judge, because a network must be judged on people, sites or "
            "machines that it never saw. Write into the column 'domain' whom or what each recording comes from, or "
            f"record more of them.{own}"
        )
    having = {label: sum(label in known for known in labels_of.values()) for _, label in pairs}
    wanted = {label for label in having if having[label] >= 3}
    if len(wanted) < 2:
        raise DataRefusedError(_too_few_labels(having))
    found = _draw(domains, labels_of, wanted, count, {k: v / windows_each for k, v in least.items()})
    if found is None:
        raise DataRefusedError(_too_few_rows(domains, count, windows_each, least, noun))
    gate, search, shared = found
    if len(shared) < 2:
        raise DataRefusedError(_too_few_labels(having))
    left_out = {label: having[label] for label in having if label not in shared}
    train = [domain for domain in domains if domain not in gate and domain not in search]
    return Split(gate, search, train, sorted(shared, key=natural), dict(sorted(left_out.items())))


def sizes(domains: int) -> tuple[int, int]:
    """How many of so many domains judge, and how many guide the search."""
    gate = min(MOST_GATE, max(2, round(SHARE_GATE * domains)))
    if domains >= ENOUGH_FOR_FIVE:
        gate = max(5, gate)
    return gate, min(MOST_SEARCH, max(1, round(SHARE_SEARCH * domains)))


def _draw(
    domains: Sequence[str],
    labels_of: Mapping[str, set[str]],
    wanted: set[str],
    count: Mapping[str, int],
    least: Mapping[str, float],
) -> tuple[list[str], list[str], set[str]] | None:
    """Gate and search domains, and the labels that each split has: the draw of most. None if all have too few rows."""
    gate_size, search_size = sizes(len(domains))
    best: tuple[list[str], list[str], set[str]] | None = None
    for seed in range(TRIES):
        order = list(domains)
        random.Random(seed).shuffle(order)  # noqa: S311 - a lot, no secret
        parts = {
            "gate": order[:gate_size],
            "search": order[gate_size : gate_size + search_size],
            "train": order[gate_size + search_size :],
        }
        shared = wanted.intersection(*(set().union(*(labels_of[d] for d in part)) for part in parts.values()))
        if best is not None and len(shared) <= len(best[2]):
            continue
        if any(sum(count[d] for d in part) < least[name] for name, part in parts.items()):
            continue
        best = sorted(parts["gate"], key=natural), sorted(parts["search"], key=natural), shared
        if shared == wanted:
            break
    return best


def _too_few_labels(having: Mapping[str, int]) -> str:
    told = ", ".join(f"{label!r} in {number}" for label, number in sorted(having.items())[:8])
    return (
        f"Fewer than two labels come from enough domains (domains that have each: {told}): each label is needed in "
        "training, in the search and in the gate, so in three domains at least. Record the classes with more people, "
        "sites or machines."
    )


def _too_few_rows(
    domains: Sequence[str], count: Mapping[str, int], windows_each: float, least: Mapping[str, int], noun: str
) -> str:
    total = round(sum(count[domain] for domain in domains) * windows_each)
    told = ", ".join(f"{number} to {name}" for name, number in sorted(least.items()))
    if noun != "recordings":
        return f"There are {total} {noun}, and no split of them has as many as are needed ({told}): deliver more."
    return (
        f"The recordings give about {total} windows, and no split of the {len(domains)} domains has as many as are "
        f"needed ({told}): deliver more or longer recordings."
    )


def given(
    pairs: Mapping[tuple[str, str], int], split_of: Mapping[str, str], least: Mapping[str, int], noun: str
) -> Split:
    """The split that the data came with: `split_of` says of each domain train, val or test.

    The test domains judge, those for validation guide the search. Where one of the two is missing it is made of the
    other, or of a fifth of the training domains, by lot. DataRefusedError where a part has too few labels or rows.
    """
    count: dict[str, int] = defaultdict(int)
    for (domain, _), number in pairs.items():
        count[domain] += number
    of = {name: sorted((d for d in count if split_of[d] == name), key=natural) for name in ("train", "val", "test")}
    train, search, gate = of["train"], of["val"], of["test"]
    if not gate:
        gate, search = search[: -(-2 * len(search) // 3)], search[-(-2 * len(search) // 3) :]
    if not search:
        drawn = random.Random(0).sample(train, max(1, round(SHARE_SEARCH * len(train))))  # noqa: S311 - a lot
        train, search = [d for d in train if d not in drawn], sorted(drawn, key=natural)
    parts = {"train": train, "search": search, "gate": gate}
    having = {label: {n for n, part in parts.items() if any((d, label) in pairs for d in part)} for _, label in pairs}
    labels = sorted((label for label, found in having.items() if len(found) == len(parts)), key=natural)
    if len(labels) < 2:
        told = ", ".join(f"{label!r} in {' and '.join(sorted(found))}" for label, found in sorted(having.items())[:8])
        raise DataRefusedError(
            f"Fewer than two classes are in all of train, search and gate, as the data is split ({told}): put each "
            "class into each part, or put the parts together, so that they are drawn by lot."
        )
    for name, part in parts.items():
        rows = sum(count[domain] for domain in part)
        if rows < least[name]:
            raise DataRefusedError(
                f"As the data is split, {rows} {noun} are there to {name}, and {least[name]} are needed: deliver more, "
                "or put the parts together, so that they are drawn by lot."
            )
    left_out = {label: sum((d, label) in pairs for d in count) for label in having if label not in labels}
    return Split(gate, search, train, labels, dict(sorted(left_out.items())))
