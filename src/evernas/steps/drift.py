"""Drift of a run's new data against what the champions were trained on, and how much work the run does for it.

Measured where data is taken in, before anything is trained. Of the gate split it is only told which rows there are, so
that new or corrected judges are not left waiting: what is in them is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from evernas.errors import EvernasError
from evernas.state.files import read_json, write_json
from evernas.state.sharing import fetched, share
from evernas.steps.context import Context, Setting
from evernas.steps.loading import champion

FILE = "drift.json"
DRIFT_VERSION = 1
ALL = "search"
"""The level at which a run does all that it can."""
SPLITS = ("train", "search")
IDENTITY = ("digest", "domain", "label")
"""What makes a row the one it was: with another label or domain it is another, though its payload stays."""
ROW_COLUMNS = ("mean", "min", "max", "min_channel_std")
MOST_SHARDS = 24
"""Shards of old, and of new rows, whose payload is looked at: less than a gigabyte of each."""


def work_of(setting: Setting) -> str:
    """How much this run does: nothing, finetune, retrain or search, which is all."""
    record = record_of(setting)
    return ALL if record is None or not record["decides"] else str(record["work"])


def record_of(setting: Setting) -> dict[str, Any] | None:
    """What was found when the data was taken in; None where nothing was measured."""
    if setting.config.drift is None:
        return None
    path = fetched(setting.home, setting.run_folder / FILE)
    if not path.exists():
        return None
    record: dict[str, Any] = read_json(path)
    return record


def measure(context: Context, snapshot: Any, only_data: bool) -> dict[str, Any] | None:
    """Measure drift and note what follows; None where the config asks for none, or there is nothing to compare with.

    `only_data` says that nothing but the data changed since the last run; else the run does all in any case.
    """
    policy = context.config.drift
    reference = _reference(context)
    if policy is None or reference is None:
        return None
    from evernas.validation.drift import UNTESTED
    from evernas.validation.policy import DOES, work_for

    drift = UNTESTED
    if reference.manifest.schema != snapshot.manifest.schema:
        work, reason = "search", f"Samples are of another kind or shape than the champion's data: {DOES['search']}."
    else:
        now = _good_rows(context, snapshot)
        drift = _drift(context, reference, snapshot, now)
        work, reason = work_for(drift, policy, _since(context, now))
        if not only_data:
            work, reason = "search", f"More than the data changed since the last run: {DOES['search']}."
    record = {
        "version": DRIFT_VERSION,
        "reference": reference.id,
        "snapshot": snapshot.id,
        "decides": policy.decides,
        "work": work,
        "reason": reason,
        "shown": [change.of for change in drift.shown(policy.alpha)],
        **drift.to_json(),
    }
    with context.guard.publishing():
        write_json(context.run_folder / FILE, record)
        share(context.home, context.run_folder / FILE)
    return record


def _reference(context: Context) -> Any:
    """The snapshot that a champion was trained on: of several devices the oldest; of the last run where none is."""
    from evernas.data import open_snapshot

    found = []
    for device in context.config.devices:
        holder = champion(Setting(context.home, context.manifest, device.name))
        try:
            id = None if holder is None else holder.bundle.extra.get("snapshot")
            if id is not None:
                found.append(open_snapshot(context.snapshots, id))
        except EvernasError:
            # An imported champion, or one whose snapshot was rewritten by an erasure, was trained on what nobody has.
            continue
    head = context.manifest.head
    if not found and head is not None:
        found.append(open_snapshot(context.snapshots, head.snapshot))
    return min(found, key=lambda snapshot: snapshot.manifest.generation) if found else None


def _since(context: Context, now: Any) -> Any:
    """What became of the last run's rows: models were trained on them, and judged by those of the gate."""
    from evernas.data import open_snapshot
    from evernas.validation.policy import Since

    head = context.manifest.head
    if head is None:
        return Since()
    before = _good_rows(context, open_snapshot(context.snapshots, head.snapshot))
    gone = before[~_among(before, now)]
    judges, added = before[before["split"] == "gate"], now[(now["split"] == "gate") & ~_among(now, before)]
    altered_judges = int((gone["split"] == "gate").sum())
    return Since(
        altered=len(gone) - altered_judges,
        altered_judges=altered_judges,
        new_judges=len(added) / len(judges) if len(judges) else float(len(added) > 0),
    )


def _among(rows: Any, others: Any) -> npt.NDArray[np.bool_]:
    """Which of the rows are the same, in split, payload, domain and label, as one of the others."""
    import pandas as pd

    keys, known = (pd.util.hash_pandas_object(side[["split", *IDENTITY]], index=False) for side in (rows, others))
    return np.asarray(keys.isin(known), bool)


def _drift(context: Context, reference: Any, snapshot: Any, now: Any) -> Any:
    from evernas.validation.drift import drift_of

    old, now = (_to_learn(rows) for rows in (_good_rows(context, reference), now))
    fresh = now[~_among(now, old)]
    rows = {name: np.concatenate([old[name].to_numpy(), fresh[name].to_numpy()]) for name in old.columns}
    looks = _looks(context, reference, snapshot, rows["digest"])
    features = np.column_stack([*(rows[name].astype(float) for name in ROW_COLUMNS), looks])
    channels = context.config.data.sample.channels
    columns = [*ROW_COLUMNS, *(f"{what} of {name}" for what in ("mean", "spread", "roughness") for name in channels)]
    new = np.concatenate([np.zeros(len(old), bool), np.ones(len(fresh), bool)])
    # Rows whose payload was not looked at say nothing about it.
    known = ~np.isnan(features).any(axis=1)
    policy = context.config.drift
    assert policy is not None
    drift = drift_of(
        features[known],
        columns,
        list(rows["label"][known]),
        context.config.data.labels,
        list(rows["domain"][known]),
        new[known],
        context.config.seed,
        policy.alpha,
    )
    from dataclasses import replace

    # All rows count for how much is new, looked at or not.
    return replace(drift, rows_before=len(old), rows_new=len(fresh))


def _to_learn(rows: Any) -> Any:
    """Those of training and search, each payload once."""
    return rows[rows["split"].isin(SPLITS)].drop_duplicates("digest")


def _good_rows(context: Context, snapshot: Any) -> Any:
    """The rows (pandas) that no rule on the row itself refuses, by its cheap form."""
    from evernas.data import load_rows

    frame = load_rows(snapshot).drop_columns(["twins"]).to_pandas()
    rules = context.config.validation
    good = frame["decode_error"].isna() & (frame["n_nonfinite"] == 0)
    good &= frame["label"].isin(context.config.data.labels) & frame["domain"].notna()
    if context.config.data.kind != "text":
        good &= np.maximum(frame["min"].abs(), frame["max"].abs()) <= rules.max_abs
        good &= frame["min_channel_std"] >= rules.min_std
    return frame.loc[good, ["split", *IDENTITY, *ROW_COLUMNS]]


def _looks(context: Context, reference: Any, snapshot: Any, digests: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """(rows, 3 * channels) of the payloads with these digests; NaN for those of shards that are not looked at."""
    width = 3 * len(context.config.data.sample.channels)
    known: dict[str, npt.NDArray[np.float64]] = {}
    seen = {shard.digest for _, _, shard in reference.manifest.shards()}
    added = [shard for _, _, shard in snapshot.manifest.shards() if shard.digest not in seen]
    for shards in ([shard for _, _, shard in reference.manifest.shards()], added):
        for names, values in _of_shards(context, snapshot, shards):
            known.update(zip(names, values, strict=True))
    nothing = np.full(width, np.nan)
    return np.stack([known.get(digest, nothing) for digest in digests]) if len(digests) else np.empty((0, width))


def _of_shards(
    context: Context, snapshot: Any, shards: list[Any]
) -> Iterator[tuple[list[str], npt.NDArray[np.float64]]]:
    from evernas.data.manifest import sample_shape
    from evernas.data.shards import read_shard

    mine = [shard for shard in shards if shard.split in SPLITS]
    shape = sample_shape(snapshot.manifest.schema)
    for shard in mine[:: max(1, -(-len(mine) // MOST_SHARDS))]:
        table = read_shard(context.snapshots, shard, ["digest", "payload"])
        table = table.filter(table.column("payload").is_valid())
        raw = b"".join(table.column("payload").to_pylist())
        yield table.column("digest").to_pylist(), look(np.frombuffer(raw, "<f4").reshape(-1, *shape))


def look(payload: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """A cheap embedding of payloads (n, channels, ...): of each channel the mean, the spread, and how rough it is.

    Rough is the mean step from one value to the next along the last axis.
    """
    flat = payload.reshape(len(payload), payload.shape[1], -1).astype(np.float64)
    step = np.abs(np.diff(payload.astype(np.float64), axis=-1)).reshape(len(payload), payload.shape[1], -1)
    return np.concatenate([flat.mean(axis=2), flat.std(axis=2), step.mean(axis=2)], axis=1)


def told(record: Mapping[str, Any]) -> str:
    """What was found, in a sentence for the log."""
    return str(record["reason"])
