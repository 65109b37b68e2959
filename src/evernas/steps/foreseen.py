"""What is known of a decision before the gate split is read: agreement with the device, and what can be shown."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from evernas.bundle import Bundle
from evernas.data import Samples
from evernas.digest import digest_bytes
from evernas.errors import UsageError
from evernas.gate import Agreement, Claim, agreement
from evernas.gate.evidence import PER_RESTART
from evernas.gate.planning import detectable, foreseen, resolution
from evernas.state import Done
from evernas.steps.answers import ANSWERS, QUESTIONS
from evernas.steps.context import Context, objectives_of
from evernas.steps.loading import KEPT_TABLE
from evernas.steps.predictions import scores_of
from evernas.steps.quality import losses_by_recording


def agreement_of(context: Context, finalists: Done, benchmarked: Done, bundle: Bundle) -> Agreement | None:
    """The gate's own answers beside the device's; None where the device gave none."""
    told = benchmarked.facts["answers"].get(bundle.digest)
    if told is None:
        return None
    with np.load(benchmarked.file(ANSWERS), allow_pickle=False) as classes:
        there = classes[bundle.digest]
    scores, _ = scores_of(context, bundle.model_path, np.load(finalists.file(QUESTIONS), allow_pickle=False))
    return agreement(scores.argmax(1), there, digest_bytes(scores.tobytes()), told["scores"])


def figures_foreseen(
    context: Context,
    validated: Done,
    bundle: Bundle,
    claimed: Claim,
    search: Samples,
    champion_scores: npt.NDArray[np.float32] | None,
    classes: int,
) -> tuple[float | None, float | None]:
    """Resolution and detectable gain as the search split lets foresee them: no outcome of the gate split is in them.

    `classes` is how many of the labels all models know. None where the search split says nothing.
    """
    import pyarrow.parquet as pq

    if claimed.spent:
        return None, None
    policy = context.config.gate
    scores = scores_of(context, bundle.model_path, search.x)[0]
    seen = losses_by_recording(policy.quality, search, classes, scores, champion_scores)
    if seen is None:
        return None, None
    table = pq.ParquetFile(validated.file(KEPT_TABLE)).read(columns=["split", "domain", "recording"]).to_pylist()
    recordings = {(row["domain"], row["recording"]) for row in table if row["split"] == "gate"}
    first = champion_scores is None
    noisy = 1 if first else 1 + sum(name in PER_RESTART for name in objectives_of(context.config))
    effect = 0.0 if first else policy.effects.error
    try:
        design = foreseen(seen, len(validated.facts["splits"]["gate"]), len(recordings), policy.min_domains)
    except UsageError:
        # A search split in which no domain has two recordings: nothing is foreseen, and nothing is told.
        return None, None
    return resolution(design, claimed.level), detectable(design, claimed.level / noisy, effect)
