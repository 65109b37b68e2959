"""What is known of a decision before the gate split is read: agreement with the device, and what can be shown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from evernas.bundle import Bundle
from evernas.data import Samples
from evernas.digest import digest_bytes
from evernas.errors import UsageError
from evernas.gate import Agreement, Claim, agreement, design_gaps, least_domains
from evernas.gate.evidence import PER_RESTART
from evernas.gate.planning import detectable, foreseen, resolution
from evernas.gate.trading import Part, gain_in_error, half_width
from evernas.state import Done
from evernas.steps.answers import ANSWERS, QUESTIONS
from evernas.steps.context import Context, objectives_of
from evernas.steps.loading import KEPT_TABLE
from evernas.steps.numbering import numbered
from evernas.steps.predictions import scores_of
from evernas.steps.quality import losses_by_recording


def agreement_of(context: Context, finalists: Done, benchmarked: Done, bundle: Bundle) -> Agreement | None:
    """The gate's own answers beside the device's; None where the device gave none."""
    told = benchmarked.facts["answers"].get(bundle.digest)
    if told is None:
        return None
    with np.load(benchmarked.file(ANSWERS), allow_pickle=False) as classes:
        there = classes[bundle.digest]
    scores, _ = scores_of(context, bundle, np.load(finalists.file(QUESTIONS), allow_pickle=False))
    return agreement(scores.argmax(1), there, digest_bytes(scores.tobytes()), told["scores"])


def gaps_foreseen(context: Context, validated: Done, people: Sequence[str], classes: int) -> list[str]:
    """Why nothing could be bounded on the gate split, by the recordings and labels that validation kept of it.

    No sample of it is opened. `people` are those it is of, whom numbers stand for, and `classes` is how many of the
    labels all models know.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    parts = ["domain", "recording", "label"]
    table = pq.ParquetFile(validated.file(KEPT_TABLE)).read(columns=["split", *parts])
    kinds = table.filter(pc.equal(table["split"], "gate")).group_by(parts).aggregate([]).to_pylist()
    number = {label: n for n, label in enumerate(context.config.data.labels[:classes])}
    known, policy = [kind for kind in kinds if kind["label"] in number], context.config.gate
    labels = np.asarray([number[kind["label"]] for kind in known], np.int64)
    unit_of = context.config.data.splits.unit_of
    recordings = np.asarray([unit_of(kind["recording"]) for kind in known], np.str_)
    domains = numbered([kind["domain"] for kind in known], people)
    least = least_domains(policy, context.config.data.splits.by_recording)
    return list(design_gaps(labels, domains, recordings, classes, policy.quality, least))


def figures_foreseen(
    context: Context,
    validated: Done,
    bundle: Bundle,
    claimed: Claim,
    search: Samples,
    champion_scores: npt.NDArray[np.float32] | None,
    classes: int,
    traded: Sequence[Part] = (),
) -> tuple[float | None, float | None, float | None]:
    """Resolution, detectable gain and resolution of worth as the search split lets foresee them.

    No outcome of the gate split is in them. `classes` is how many of the labels all models know; `traded` is what was
    measured of candidate and champion and has a price. None where the search split says nothing, and without prices.
    """
    import pyarrow.parquet as pq

    if claimed.spent:
        return None, None, None
    policy = context.config.gate
    scores = scores_of(context, bundle, search.x)[0]
    seen = losses_by_recording(policy.quality, search, classes, scores, champion_scores)
    if seen is None:
        return None, None, None
    table = pq.ParquetFile(validated.file(KEPT_TABLE)).read(columns=["split", "domain", "recording"]).to_pylist()
    unit_of = context.config.data.splits.unit_of
    recordings = {(row["domain"], unit_of(row["recording"])) for row in table if row["split"] == "gate"}
    at, effect = claimed.level, 0.0
    trade_off = None if champion_scores is None else policy.trade_off
    if trade_off is not None:
        at /= 1 + sum(part.estimate is not None for part in traded)
        effect = gain_in_error(traded, trade_off, at)
    elif champion_scores is not None:
        at /= 1 + sum(name in PER_RESTART for name in objectives_of(context.config))
        effect = policy.effects.error
    try:
        least = least_domains(policy, context.config.data.splits.by_recording)
        design = foreseen(seen, len(validated.facts["splits"]["gate"]), len(recordings), least)
    except UsageError:
        # A search split in which no domain has two recordings: nothing is foreseen, and nothing is told.
        return None, None, None
    worth = None if trade_off is None else half_width(traded, trade_off, resolution(design, at), at)
    return resolution(design, claimed.level), detectable(design, at, effect), worth
