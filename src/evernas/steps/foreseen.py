"""What is known of a decision before the gate split is read: agreement with the device, and what can be shown."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from evernas.bundle import Bundle
from evernas.data import Samples
from evernas.digest import digest_bytes
from evernas.errors import UsageError
from evernas.gate import Agreement, Claim, agreement
from evernas.gate.estimate import cluster
from evernas.gate.planning import detectable, foreseen, resolution
from evernas.state import Done
from evernas.steps.answers import ANSWERS, QUESTIONS
from evernas.steps.context import Context
from evernas.steps.loading import KEPT_TABLE
from evernas.steps.predictions import scores_of


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
    champion_right: npt.NDArray[np.bool_] | None,
) -> tuple[float | None, float | None]:
    """Resolution and detectable gain as the search split lets foresee them: no outcome of the gate split is in them."""
    import pyarrow.parquet as pq

    if claimed.spent:
        return None, None
    policy = context.config.gate
    wrong = 1.0 - (scores_of(context, bundle.model_path, search.x)[0].argmax(1) == search.y)
    worse = wrong if champion_right is None else wrong - (1.0 - champion_right)
    seen = cluster(worse, np.asarray(search.domains), np.asarray(search.recordings))
    table = pq.ParquetFile(validated.file(KEPT_TABLE)).read(columns=["split", "domain", "recording"]).to_pylist()
    recordings = {(row["domain"], row["recording"]) for row in table if row["split"] == "gate"}
    noisy = 1 if champion_right is None else 1 + ("latency_ms" in context.config.search.objectives)
    effect = 0.0 if champion_right is None else policy.effects.error
    try:
        design = foreseen(seen, len(validated.facts["splits"]["gate"]), len(recordings), policy.min_domains)
    except UsageError:
        # A search split in which no domain has two recordings: nothing is foreseen, and nothing is told.
        return None, None
    return resolution(design, claimed.level), detectable(design, claimed.level / noisy, effect)
