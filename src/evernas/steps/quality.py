"""The configured quality metric on samples that a network has answered, outside the gate's own rules."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from evernas.data import Samples
from evernas.gate.estimate import Clusters, cluster, grouping
from evernas.gate.policy import Quality
from evernas.gate.quality import OF_DOMAINS, losses


def usable(quality: Quality, split: Samples, classes: int) -> npt.NDArray[np.bool_]:
    """Which samples (n,) have a loss: all, or for a metric of whole domains those of domains with every class."""
    if quality.metric not in OF_DOMAINS:
        return np.ones(len(split.y), dtype=bool)
    domains, known = np.asarray(split.domains), split.y < classes
    whole = [name for name in np.unique(domains) if len(np.unique(split.y[known & (domains == name)])) == classes]
    chosen: npt.NDArray[np.bool_] = known & np.isin(domains, whole)
    return chosen


def losses_by_recording(
    quality: Quality,
    split: Samples,
    classes: int,
    scores: npt.NDArray[np.float32],
    less: npt.NDArray[np.float32] | None = None,
    among: npt.NDArray[np.bool_] | None = None,
) -> Clusters | None:
    """The losses of a network that answered with `scores` (n, classes or more), by recording within domain.

    `less` are the scores of another network, whose losses are taken off; `among` says which samples count, if not all.
    None where no domain has every class.
    """
    used = usable(quality, split, classes)
    if among is not None:
        used = used & among
    if not used.any():
        return None
    domains, groups = np.asarray(split.domains)[used], np.asarray(split.recordings)[used]
    grouped = grouping(domains, groups)

    def values(of: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        answers = of.argmax(1)[used].astype(np.int64)
        return losses(quality, answers, of[used].astype(np.float64), split.y[used], grouped, classes)

    return cluster(values(scores) if less is None else values(scores) - values(less), domains, groups)


def loss_of(
    quality: Quality,
    split: Samples,
    classes: int,
    scores: npt.NDArray[np.float32],
    among: npt.NDArray[np.bool_] | None = None,
) -> float | None:
    """The loss of a network that answered with `scores`, the mean over domains; None where no domain has every class.

    The error is the share of all samples. `among` says which samples count, if not all; None where none does.
    """
    if quality.metric == "error":
        wrong = scores.argmax(1) != split.y
        return share_of(wrong if among is None else wrong[among])
    seen = losses_by_recording(quality, split, classes, scores, among=among)
    return None if seen is None else float(seen.means.mean())


def share_of(wrong: npt.NDArray[np.bool_]) -> float | None:
    """The share of wrong answers; None of no answers."""
    return float(wrong.mean()) if len(wrong) else None
