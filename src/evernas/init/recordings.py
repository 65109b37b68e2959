"""Splitting the recordings of domains that are too few for some to judge: which lot gives each split all it needs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evernas.config import SplitConfig, TextConfig
from evernas.data.blocks import TEXTS
from evernas.data.folder import FolderSource, open_file
from evernas.data.formats import read_blocks
from evernas.data.source import RefusedObjectError
from evernas.data.splits import SPLITS, drawn
from evernas.errors import DataRefusedError
from evernas.init.judges import FEWEST, SHARE_GATE, SHARE_SEARCH, Lot, Split
from evernas.init.look import MAX_TEXT_ROWS, Look
from evernas.report.quantities import natural

TRIES = 300
# So many names are drawn at most, over all tries: of very many recordings the first lot is as good as any.
_DRAWN_IN_ALL = 3_000_000
# Of each domain so many recordings judge, or nothing can be bounded on it.
LEAST_JUDGES = 2
_LONGEST = 2048

Identity = tuple[str, str, str]


def identities(seen: Look) -> list[Identity]:
    """The id, domain and label of each recording that was looked at and has all three."""
    found: list[Identity] = []
    for rows in _columns(seen):
        found += [
            row for row in zip(*rows, strict=True) if all(isinstance(v, str) and v.strip() == v != "" for v in row)
        ]
        if len(found) >= MAX_TEXT_ROWS:
            break
    return found


def split_recordings(found: Sequence[Identity], windows_each: float, least: Mapping[str, int], noun: str) -> Split:
    """A lot that gives each split every label, and of each domain some to judge, to guide and to train.

    `windows_each` is the mean number of windows of a recording, `least` the fewest windows that each split needs.
    DataRefusedError if none does: then there are too few domains to judge, and too few recordings of each.
    """
    domains = sorted({domain for _, domain, _ in found}, key=natural)
    rows = round(len(found) * windows_each)
    if rows < sum(least.values()):
        what = "windows" if noun == "recordings" else noun
        told = ", ".join(f"{number} to {name}" for name, number in sorted(least.items()))
        raise DataRefusedError(
            f"There are only {len(domains)} domains, and {rows} {what} of them, where as many are "
            f"needed as {told}: deliver more."
        )
    best: Split | None = None
    for seed in range(max(3, min(TRIES, _DRAWN_IN_ALL // max(1, len(found))))):
        lot = _lot(found, domains, seed, {name: rows / windows_each for name, rows in least.items()})
        if lot is not None and (best is None or len(lot.labels) > len(best.labels)):
            best = lot
        if best is not None and not best.left_out:
            break
    if best is None or len(best.labels) < 2:
        raise DataRefusedError(
            f"There are only {len(domains)} domains ({', '.join(map(repr, domains))}), too few for some to judge while "
            f"others train, which takes {FEWEST}; and too few {noun} of each of at least two labels for some of each "
            "domain to judge, some to guide the search and others to train. Write into the column 'domain' whom or "
            f"what each comes from, or deliver more {noun} or domains."
        )
    return best


def _lot(found: Sequence[Identity], domains: list[str], seed: int, least: Mapping[str, float]) -> Split | None:
    splits = SplitConfig(by="recording", gate=SHARE_GATE, search=SHARE_SEARCH, seed=seed)
    counts, of_domain = Counter[str](), Counter[tuple[str, str]]()
    labels_in: dict[str, set[str]] = defaultdict(set)
    for id, domain, label in found:
        part = drawn(id, splits)
        counts[part] += 1
        of_domain[part, domain] += 1
        labels_in[label].add(part)
    needed = {"gate": LEAST_JUDGES, "search": 1, "train": 1}
    if any(of_domain[part, domain] < needed[part] for part in SPLITS for domain in domains):
        return None
    if any(counts[part] < least[part] for part in SPLITS):
        return None
    having = Counter(label for _, _, label in found)
    labels = sorted((label for label, parts in labels_in.items() if len(parts) == len(SPLITS)), key=natural)
    left_out = {label: having[label] for label in sorted(having) if label not in labels}
    lot = Lot(SHARE_GATE, SHARE_SEARCH, seed, {part: counts[part] for part in SPLITS})
    return Split([], [], domains, labels, left_out, lot)


def _columns(seen: Look) -> Iterator[list[list[Any]]]:
    """Ids, domains and labels of some rows at a time; a file that cannot be read is none of them."""
    for item in FolderSource(seen.folder).objects():
        try:
            with open_file(item) as file:
                if item.name.endswith(".parquet"):
                    for batch in pq.ParquetFile(file).iter_batches(columns=list(TEXTS), use_threads=False):
                        batch.validate(full=True)
                        yield [batch.column(name).cast(pa.string()).to_pylist() for name in TEXTS]
                elif item.name not in seen.refused:
                    for block in read_blocks(item.name, file, TextConfig(characters=_LONGEST)):
                        yield [names.to_pylist() for names in (block.ids, block.domains, block.labels)]
        except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError, RefusedObjectError):
            continue
