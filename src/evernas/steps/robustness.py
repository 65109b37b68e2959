"""How often exported networks are wrong under corruptions: all on the search split; on the gate split the two that a
decision compares."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evernas.bundle import Bundle
from evernas.config_robustness import KNOWN
from evernas.data import Samples
from evernas.gate.estimate import grouping
from evernas.gate.publication import coarse
from evernas.robustness import corrupted
from evernas.steps.context import Setting
from evernas.steps.predictions import BATCH, worst_domain_error

Answering = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


def robustness_of(
    setting: Setting,
    search: Samples,
    bundles: Sequence[Bundle],
    tried: Callable[[int, int], None] = lambda n, of: None,
    known: int | None = None,
) -> dict[str, dict[str, Any]]:
    """What each of these networks does under the config's corruptions, by its bundle's digest.

    rows: how many rows were corrupted; error: the share of wrong answers on these as they are; corruptions: a name,
    severity, meaning and error each; worst: the name with the largest error. Only rows of the first `known` classes, if
    it is given. Empty where it is off, or there are no rows.
    All networks answer the same rows, a batch of them in memory at a time. `tried` is told how many batches of how
    many are done.
    """
    config, kind = setting.config.robustness, setting.config.data.kind
    severities = config.severities(kind)
    among = np.arange(len(search)) if known is None else np.flatnonzero(search.y < known)
    if not severities or not bundles or not len(among):
        return {}
    rows = among[_spread(len(among), config.rows)]
    wrong = wrong_under(setting, search, rows, bundles, tried)
    return {
        digest: _record(kind, severities, {name: int(found.sum()) for name, found in under.items()}, len(rows))
        for digest, under in wrong.items()
    }


def wrong_under(
    setting: Setting,
    data: Samples,
    rows: npt.NDArray[np.int64],
    bundles: Sequence[Bundle],
    tried: Callable[[int, int], None] = lambda n, of: None,
) -> dict[str, dict[str, npt.NDArray[np.bool_]]]:
    """Which of these rows each network answers wrongly, by its bundle's digest: as they are, under an empty name, and
    under each of the config's corruptions. `tried` is told how many batches of how many are done."""
    kind = setting.config.data.kind
    severities = setting.config.robustness.severities(kind)
    networks = {bundle.digest: _answering(setting, bundle) for bundle in bundles}
    wrong = {digest: {name: np.zeros(len(rows), bool) for name in ("", *severities)} for digest in networks}
    starts = range(0, len(rows), BATCH)
    for number, at in enumerate(starts):
        batch = rows[at : at + BATCH]
        for name, x in _changed(kind, severities, data.x[batch], setting.config.seed):
            for digest, network in networks.items():
                wrong[digest][name][at : at + BATCH] = network(x) != data.y[batch]
        tried(number + 1, len(starts))
    return wrong


@dataclass(frozen=True)
class Beside:
    """Candidate and champion, if there is one, on the same corrupted rows of the gate split: which answers are wrong,
    by the corruption's name, empty for the rows as they are."""

    rows: npt.NDArray[np.int64]
    candidate: dict[str, npt.NDArray[np.bool_]]
    champion: dict[str, npt.NDArray[np.bool_]] | None

    def worse(self) -> dict[str, npt.NDArray[np.int64]]:
        """For each corruption and row 1 where the candidate alone is wrong, -1 where the champion alone is, else 0."""
        assert self.champion is not None
        theirs = self.champion
        return {n: ours.astype(np.int64) - theirs[n] for n, ours in self.candidate.items() if n}


def beside_under(
    setting: Setting, gate: Samples, known: int, candidate: Bundle, champion: Bundle | None
) -> Beside | None:
    """What both do under corruptions of the gate split's rows that are of the first `known` classes; None where that is
    off, or there are no such rows. It reads the gate split: only a decision that was claimed may ask."""
    config = setting.config.robustness
    of_known = np.flatnonzero(gate.y < known)
    if not config.severities(setting.config.data.kind) or not len(of_known):
        return None
    rows = of_known[_of_each_recording(gate, of_known, config.rows)]
    models = [candidate] if champion is None else [candidate, champion]
    wrong = wrong_under(setting, gate, rows, models)
    return Beside(rows, wrong[candidate.digest], None if champion is None else wrong[champion.digest])


def figures_beside(setting: Setting, beside: Beside, resolution: float | None = None) -> dict[str, Any]:
    """The shares of wrong answers of both, under each corruption, as they are or in multiples of a resolution."""
    kind = setting.config.data.kind

    def shares(name: str) -> dict[str, float | None]:
        theirs = None if beside.champion is None else beside.champion[name]
        both = {"candidate": beside.candidate[name], "champion": theirs}
        exact = {who: None if wrong is None else float(wrong.mean()) for who, wrong in both.items()}
        if resolution is None:
            return exact
        return {who: None if share is None else coarse(share, resolution) for who, share in exact.items()}

    corruptions = [
        {"name": name, "severity": severity, "meaning": KNOWN[kind][name].meaning, **shares(name)}
        for name, severity in setting.config.robustness.severities(kind).items()
    ]
    return {"rows": len(beside.rows), "resolution": resolution, **shares(""), "corruptions": corruptions}


def robust_error(robustness: Mapping[str, Any] | None) -> float | None:
    """The error under the worst corruption; None where nothing was tried."""
    if robustness is None:
        return None
    return max(float(corruption["error"]) for corruption in robustness["corruptions"])


def searched_figures(found: Mapping[str, Any]) -> dict[str, float | None]:
    """What a constraint may bound of what was found on the search split of a finalist or a champion, by its name."""
    return {
        "robust_error": robust_error(found["robustness"]),
        "worst_domain_error": worst_domain_error(found["error_by_domain"]),
    }


def robust_metrics(robustness: Mapping[str, Any] | None, prefix: str = "") -> dict[str, float | None]:
    """What MLflow is told: robust_error, and the error under each corruption."""
    if robustness is None:
        return {}
    each = {f"{prefix}error_under_{c['name']}": c["error"] for c in robustness["corruptions"]}
    return {f"{prefix}robust_error": robust_error(robustness), **each}


def _spread(count: int, most: int | None) -> npt.NDArray[np.int64]:
    """The numbers of at most so many rows, evenly over all, which lie by domain and recording."""
    if most is None or count <= most:
        return np.arange(count)
    return np.arange(most) * count // most


def _of_each_recording(data: Samples, rows: npt.NDArray[np.int64], most: int | None) -> npt.NDArray[np.int64]:
    """Which of these rows are taken: about so many, in which no domain and no recording is lost.

    Domains weigh the same in a bound, and so do the recordings of each: domains share `most` evenly, and the
    recordings of a domain what it has. Who has fewer rows gives all of them, and every recording at least one.
    """
    if most is None or len(rows) <= most:
        return np.arange(len(rows))
    grouped = grouping(np.asarray(data.domains)[rows], np.asarray(data.recordings)[rows])
    counts = np.bincount(grouped.recording_of)
    taken = np.zeros_like(counts)
    of_domains = _shared(np.bincount(grouped.domain_of, weights=counts).astype(np.int64), most)
    for domain, share in enumerate(of_domains):
        mine = grouped.domain_of == domain
        taken[mine] = _shared(counts[mine], int(share))
    order = np.argsort(grouped.recording_of, kind="stable")
    begins = np.cumsum(counts) - counts
    chosen = [order[b + _spread(c, t)] for b, c, t in zip(begins, counts.tolist(), taken.tolist(), strict=True)]
    return np.sort(np.concatenate(chosen))


def _shared(counts: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    """How many rows each gives of those that it has: all alike but for who has fewer, together `most`, and each one."""
    if counts.sum() <= most:
        return counts
    sizes = np.sort(counts)
    smaller, others = np.cumsum(sizes) - sizes, np.arange(len(sizes), 0, -1)
    whole = int(np.searchsorted(smaller + sizes * others, most, side="right"))
    quota = max((most - int(smaller[whole])) // (len(sizes) - whole), 1)
    taken = np.minimum(counts, quota)
    more = np.flatnonzero(counts > quota)
    taken[more[_spread(len(more), max(most - int(taken.sum()), 0))]] += 1
    return taken


def _answering(setting: Setting, bundle: Bundle) -> Answering:
    """A network as it ships, from samples as they are delivered to classes; what is no number is no class."""
    from evernas.hardware.runtime import answering

    device = setting.device
    session = answering(device.runtime).load(bundle.model_path.read_bytes(), device.threads)
    taken = bundle.taking()

    def answers(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        scores = session.run(np.ascontiguousarray(taken(x)))
        return np.where(np.isfinite(scores).all(1), scores.argmax(1), -1)

    return answers


def _changed(
    kind: str, severities: Mapping[str, float], x: npt.NDArray[np.float32], seed: int
) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """The rows as they are, under an empty name, and then under each corruption."""
    yield "", x
    for name, severity in severities.items():
        yield name, corrupted(kind, name, severity, x, seed)


def _record(kind: str, severities: Mapping[str, float], wrong: Mapping[str, int], rows: int) -> dict[str, Any]:
    errors = {name: count / rows for name, count in wrong.items()}
    corruptions = [
        {"name": name, "severity": severity, "meaning": KNOWN[kind][name].meaning, "error": errors[name]}
        for name, severity in severities.items()
    ]
    return {
        "rows": rows,
        "error": errors[""],
        "corruptions": corruptions,
        "worst": max(severities, key=lambda name: errors[name]),
    }
