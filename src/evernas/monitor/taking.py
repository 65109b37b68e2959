"""One look: files are taken into the memory one by one, and at the end labels are put to the predictions that wait.

Rows of one recording are no independent witnesses: what is counted is recordings, each once and by its mean; without a
column `recording` each row is one. What a recording's rows beyond those that first came say is not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from evernas.errors import DataRefusedError
from evernas.monitor.judging import DRIFT, HIGH, LATENCY, LOW, QUALITY, Tests
from evernas.monitor.memory import OURS, Memory
from evernas.monitor.reading import (
    BUNDLE,
    DOMAIN,
    ID,
    INPUT,
    LABEL,
    LATENCY_MS,
    PREDICTED,
    RECORDING,
    LogFile,
    Rows,
    read_rows,
)
from evernas.monitor.units import NO_ANSWER, NO_DOMAIN, WAITING, digest_of

if TYPE_CHECKING:
    import numpy.typing as npt

Tails = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Measure:
    """What rows are held against: the champion's labels, the limit on latency, and of each input the training's limits
    of the first and last tenth. `shown` is the name that a domain has in the memory."""

    labels: Sequence[str]
    latency_ms: float | None
    tails: Tails
    shown: Callable[[str], str] = str


@dataclass
class Taking:
    """A look under way: which files were refused and why, and how many predictions were counted before."""

    memory: Memory
    measure: Measure
    refused: dict[str, str] = field(default_factory=dict)
    repeated: int = 0
    _files: set[str] = field(default_factory=set)
    _ids: list[npt.NDArray[np.uint64]] = field(default_factory=list)
    _labels: list[npt.NDArray[np.uint16]] = field(default_factory=list)

    def take(self, file: LogFile) -> None:
        """Take in a file, unless it was at the last look; one that cannot be read is refused, with the reason."""
        digest = file.digest
        if digest in self.memory.files:
            self._files.add(digest)
            return
        try:
            rows = read_rows(file)
        except DataRefusedError as error:
            self.refused[file.name] = str(error)
            return
        self._take_labels(rows)
        # Labels alone are read at each look: what they are of may come after them.
        if rows.predicts:
            self._files.add(digest)
            self._take_predictions(rows)

    def end(self) -> None:
        """Put the labels of all files to the predictions of all looks."""
        self.memory.files = frozenset(self._files)
        ids = np.concatenate([np.empty(0, "<u8"), *self._ids])
        labels = np.concatenate([np.empty(0, "<u2"), *self._labels])
        rows, wrong = self.memory.ours.settle(ids, labels)
        self.memory.count(_by_domain(rows, wrong))
        self._answered(rows, wrong)
        self._answered(*self.memory.others.settle(ids, labels))

    def _answered(self, rows: npt.NDArray[np.void], wrong: npt.NDArray[np.float64]) -> None:
        for place in np.unique(rows["bundle"]):
            of = rows["bundle"] == place
            counts = self.memory.answers.setdefault(self.memory.bundles[place], [0, 0])
            counts[0] += int((wrong[of] == 0).sum())
            counts[1] += int(of.sum())

    def _take_labels(self, rows: Rows) -> None:
        # A label that the champion does not know can say nothing of what was promised of those that it does.
        codes = {label: code for code, label in enumerate(self.measure.labels)}
        said = [
            (digest_of(ID, id), codes[label])
            for id, label in zip(rows.text(ID), rows.text(LABEL), strict=True)
            if id is not None and label in codes
        ]
        self._ids.append(np.array([id for id, _ in said], "<u8"))
        self._labels.append(np.array([code for _, code in said], "<u2"))

    def _take_predictions(self, rows: Rows) -> None:
        at, found = self._predictions(rows)
        ours = found["bundle"] == OURS
        for units, mine in ((self.memory.others, ~ours), (self.memory.ours, ours)):
            known = units.known(found["unit"]) & mine
            self.repeated += int(known.sum())
            new = mine & ~known & units.sampled(found["unit"])
            units.add(found[new])
            if units is self.memory.ours:
                self._measure(rows, at[new], found["unit"][new])

    def _predictions(self, rows: Rows) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.void]]:
        """The predictions of a file, each id once, and at which rows they stand."""
        codes = {label: code for code, label in enumerate(self.measure.labels)}
        columns = [rows.text(column) for column in (ID, BUNDLE, PREDICTED, DOMAIN, RECORDING)]
        at, found, there = list[int](), list[tuple[int, ...]](), set[int]()
        for row, (id, bundle, predicted, domain, recording) in enumerate(zip(*columns, strict=True)):
            place = None if id is None or bundle is None else self.memory.place_of(bundle)
            if id is None or bundle is None or place is None:
                continue
            known_by = digest_of(ID, id)
            if known_by in there:
                self.repeated += 1
                continue
            there.add(known_by)
            told = domain and place == OURS
            number = self.memory.number_of(self.measure.shown(domain)) if told else NO_DOMAIN
            # By the domain's number and not its name, which may be taken out of the table.
            unit = known_by
            if recording is not None and place == OURS:
                unit = digest_of(RECORDING, str(number), recording)
            at.append(row)
            found.append((known_by, unit, place, codes.get(predicted or "", NO_ANSWER), number))
        return np.array(at, dtype=np.int64), np.array(found, WAITING)

    def _measure(self, rows: Rows, at: npt.NDArray[np.int64], units: npt.NDArray[np.uint64]) -> None:
        limits = {} if self.measure.latency_ms is None else {LATENCY: (LATENCY_MS, -np.inf, self.measure.latency_ms)}
        for name, (low, high) in self.measure.tails.items():
            limits[f"{DRIFT}:{name}:{LOW}"] = (f"{INPUT}{name}", low, np.inf)
            limits[f"{DRIFT}:{name}:{HIGH}"] = (f"{INPUT}{name}", -np.inf, high)
        for test, (column, low, high) in limits.items():
            self.memory.count(_tested(test, _beyond(rows.number(column)[at], low, high), units))


def _beyond(values: npt.NDArray[np.float64], low: float, high: float) -> npt.NDArray[np.float64]:
    """Of each value 1 where it lies outside of the limits, else 0; NaN where there is none."""
    found = ((values < low) | (values > high)).astype(np.float64)
    found[~np.isfinite(values)] = np.nan
    return found


def _tested(name: str, values: npt.NDArray[np.float64], units: npt.NDArray[np.uint64]) -> Tests:
    """Units and the sum of their means, of the values that there are; nothing without any."""
    there = np.isfinite(values)
    means, _ = _means(values[there], units[there])
    return _count(name, means)


def _count(name: str, means: npt.NDArray[np.float64]) -> Tests:
    return {name: (len(means), float(means.sum()))} if len(means) else {}


def _by_domain(rows: npt.NDArray[np.void], wrong: npt.NDArray[np.float64]) -> Tests:
    """The tests of quality, of all domains together and of single ones; a recording is of one domain."""
    means, first = _means(wrong, rows["unit"])
    of = rows["domain"][first]
    units, sums = np.bincount(of), np.bincount(of, weights=means)
    single = {f"{QUALITY}:{n}": (int(units[n]), float(sums[n])) for n in np.unique(of) if n != NO_DOMAIN}
    return _count(QUALITY, means) | single


def _means(
    values: npt.NDArray[np.float64], units: npt.NDArray[np.uint64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """The mean of each unit, and where its first value stands."""
    _, first, unit = np.unique(units, return_index=True, return_inverse=True)
    return np.bincount(unit, weights=values) / np.bincount(unit), first
