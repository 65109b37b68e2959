"""Judging a snapshot's row table: which rows are kept, and whether the whole is refused; no payload is read here."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from evernas.config import DataConfig, ValidationConfig
from evernas.validation.duplicates import (
    Again,
    Duplicates,
    exact_duplicates,
    near_duplicates,
    near_pairs,
    seen_in_training,
    straddling,
    taken_ids,
    with_hidden_copies,
    with_trained_copies,
)
from evernas.validation.expectations import Inspector, data_docs
from evernas.validation.freshness import ahead, completed, freshness_figures, freshness_rules, times_of
from evernas.validation.released import row_key
from evernas.validation.result import ValidationResult
from evernas.validation.rules import DatasetRule, RowRule, content_rules, dataset_rules, identity_rules
from evernas.validation.strata import coverage, strata_of, strata_rules

Mask = npt.NDArray[np.bool_]
_SPLITS = ("gate", "search", "train")
# Columns of few values that no expectation is on.
_CATEGORIES = ["object", "split"]
_KEPT = ["row", "sample_id", "recording", "domain", "label", "split", "digest"]


def validate(
    rows: Any,
    data: DataConfig,
    validation: ValidationConfig,
    *,
    docs: Path | None = None,
    trained: Collection[str] = frozenset(),
    released: Mapping[str, Collection[str]] | None = None,
    began: float | None = None,
    again: Again | None = None,
) -> ValidationResult:
    """Judge the row table of `data.load_rows` (Arrow). Never raises for what the data is: see `refusals`.

    `docs` is the folder for the Data Docs site, which names the time and so differs from run to run. `trained` holds
    the payload digests that models were already trained on: such rows cannot judge in the gate any more. `released`
    holds, by rule, the keys of rows (`released.row_key`) that a person has released past that rule. `began` is when the
    run began, in seconds since 1970, for validation.freshness; now if not given. `again` looks for near copies that
    rows which are no good may hide; without it the row table's own are all.
    """
    frame, pairs = _frame(rows), near_pairs(rows)
    if again is not None:
        pairs = with_trained_copies(frame, trained, pairs, again)
    seen = seen_in_training(frame["digest"], trained, pairs)
    frame["gate_but_trained"] = ((frame["split"] == "gate") & seen).astype(int)
    times, fresh = times_of(frame), validation.freshness
    began = time.time() if began is None else began
    if fresh is not None:
        # Not the time itself: what a rule is on, the Data Docs show.
        frame["time_ahead"] = ahead(times, began, fresh).astype(int)
    with data_docs(docs) as site:
        inspector = Inspector(site)
        failed, rules, freed = _check_rows(inspector, frame, data, validation, released or {})
        bad = np.logical_or.reduce([np.zeros(len(frame), bool), *failed.values()])
        same = exact_duplicates(~bad, frame)
        times = completed(times, ~bad, same.keeper)
        duplicate = ~bad & (same.keeper != np.arange(len(frame)))
        if again is not None:
            pairs = with_hidden_copies(~bad & ~duplicate, bad, same, pairs, frame, again)
        near = near_duplicates(~bad & ~duplicate, same, pairs, frame["split"])
        duplicate |= near >= 0
        same = Duplicates(np.where(near >= 0, near, same.keeper), same.conflict)
        kept = ~bad & ~duplicate
        assert len(frame) == int(kept.sum()) + int(bad.sum()) + int(duplicate.sum())
        figures = dataset_figures(frame, kept, bad, data)
        rules_of_all = dataset_rules(figures, data, validation)
        if fresh is not None:
            figures |= freshness_figures(times[kept], began, fresh)
            rules_of_all += freshness_rules(figures, fresh)
        strata = strata_of(frame, kept, data)
        rules_of_all += strata_rules(strata, validation)
        figures |= {f"stratum_coverage_{kind}": coverage(of) for kind, of in strata.items()}
        refusals = _check_dataset(inspector, rules_of_all)
        if docs is not None:
            inspector.publish()
    kept_table = rows.select(_KEPT).filter(pa.array(kept))
    return ValidationResult(
        rows_in=len(frame),
        kept=kept_table,
        quarantine=_quarantine(rows, frame, failed, rules),
        quarantined=int(bad.sum()),
        released=int((kept & freed).sum()),
        deduplicated=_deduplicated(rows, duplicate, same),
        rule_counts={rule.name: int(failed[rule.name].sum()) for rule in rules},
        figures=figures,
        refusals=tuple(refusals),
        times=times[kept],
        strata=strata,
        kept_digests={split: _kept_digest(kept_table, split) for split in _SPLITS},
    )


def dataset_figures(frame: Any, kept: Mask, bad: Mask, data: DataConfig) -> dict[str, float]:
    """The figures that dataset rules bound: good rows by split and label, the quarantined share, leaks."""
    good = frame.loc[kept, ["split", "label", "recording", "domain"]]
    figures: dict[str, float] = {"rows": len(frame)}
    for split in _SPLITS:
        labels = good.loc[good["split"] == split, "label"].value_counts()
        figures[f"rows_{split}"] = int(labels.sum())
        figures |= {f"rows_{split}_{label}": int(labels.get(label, 0)) for label in data.labels}
    new = frame["new"].to_numpy(bool)
    figures["new_quarantined_share"] = float(bad[new].mean()) if new.any() else 0.0
    # By recording, every domain is in all splits.
    kinds = [("recordings", "recording"), *([] if data.splits.by_recording else [("domains", "domain")])]
    for name, column in kinds:
        figures[f"straddling_{name}"] = straddling(good[column], good["split"])
    if data.splits.group is not None:
        judging = good[good["split"] == "gate"].drop_duplicates(["recording", "domain"])
        of = judging.groupby(judging["recording"].map(data.splits.unit_of))["domain"].nunique()
        figures["judges_of_many_domains"] = int((of > 1).sum())
    return figures


def _frame(rows: Any) -> Any:
    frame = rows.drop_columns(["twins"]).to_pandas(categories=_CATEGORIES)
    # Expectations skip nulls: an absent text must be a value that fails, not one that is passed over.
    for name in ("recording", "domain", "label"):
        frame[name] = frame[name].fillna("")
    frame["max_abs"] = np.maximum(frame["min"].abs(), frame["max"].abs())
    return frame


def _check_rows(
    inspector: Inspector,
    frame: Any,
    data: DataConfig,
    validation: ValidationConfig,
    released: Mapping[str, Collection[str]],
) -> tuple[dict[str, Mask], list[RowRule], Mask]:
    """Which rows fail each rule, the rules, and which rows would fail one but for a release."""
    content, identity = content_rules(data, validation), identity_rules()
    failed = inspector.failures("rows", frame, {rule.name: rule.expectation for rule in content})
    freed = _free(failed, frame, released)
    good = ~np.logical_or.reduce(list(failed.values()))
    taken = taken_ids(good, frame)
    frame["id_taken"] = taken.astype(int)
    frame["label_conflict"] = exact_duplicates(good & ~taken, frame).conflict.astype(int)
    by_identity = inspector.failures("identity", frame, {rule.name: rule.expectation for rule in identity})
    freed |= _free(by_identity, frame, released)
    return failed | by_identity, [*content, *identity], freed


def _free(failed: dict[str, Mask], frame: Any, released: Mapping[str, Collection[str]]) -> Mask:
    """Take the rows that were released past a rule from those that fail it; which ones they are."""
    freed = np.zeros(len(frame), bool)
    for rule in failed.keys() & released.keys():
        at = np.flatnonzero(failed[rule])
        records = frame.iloc[at].to_dict("records")
        mine = at[np.array([row_key(record) in released[rule] for record in records], bool)]
        failed[rule][mine] = False
        freed[mine] = True
    return freed


def _check_dataset(inspector: Inspector, rules: Iterable[DatasetRule]) -> list[str]:
    import great_expectations.expectations as gxe
    import pandas as pd

    held = list(rules)
    frame = pd.DataFrame({rule.name: [float(rule.value)] for rule in held})
    expectations = {
        rule.name: gxe.ExpectColumnValuesToBeBetween(column=rule.name, min_value=rule.minimum, max_value=rule.maximum)
        for rule in held
    }
    failed = inspector.failures("snapshot", frame, expectations)
    return [rule.sentence for rule in held if failed[rule.name].any()]


def _quarantine(rows: Any, frame: Any, failed: dict[str, Mask], rules: list[RowRule]) -> Any:
    entries: list[tuple[int, int, str, str]] = []
    for order, rule in enumerate(rules):
        at = np.flatnonzero(failed[rule.name])
        records = frame.iloc[at].to_dict("records")
        entries += [(int(i), order, rule.name, rule.sentence(record)) for i, record in zip(at, records, strict=True)]
    entries.sort()
    table = rows.select([*_KEPT, "object"]).take(pa.array([entry[0] for entry in entries], pa.int64()))
    table = table.append_column("rule", pa.array([entry[2] for entry in entries], pa.string()))
    return table.append_column("sentence", pa.array([entry[3] for entry in entries], pa.string()))


def _deduplicated(rows: Any, duplicate: Mask, same: Duplicates) -> Any:
    table = rows.select(["row", "sample_id", "split", "digest"]).filter(pa.array(duplicate))
    keepers = rows.select(["row", "sample_id"]).take(pa.array(same.keeper[duplicate]))
    table = table.append_column("kept_row", keepers.column("row"))
    return table.append_column("kept_sample_id", keepers.column("sample_id"))


def _kept_digest(kept: Any, split: str) -> str:
    """Of which samples with which labels a split keeps, in whatever order they are."""
    mine = kept.filter(pc.equal(kept.column("split"), split))
    ids, *others = (mine.column(name).cast(pa.large_string()) for name in ("sample_id", "domain", "label", "digest"))
    lines = pc.binary_join_element_wise(ids, *others, pa.scalar("\n", pa.large_string()))
    order = pc.sort_indices(lines)
    found = hashlib.sha256()
    # With the lengths, a line break within a name is none between two.
    for lengths in (ids, *others):
        found.update(pc.binary_length(lengths).take(order).to_numpy().astype("<i8").tobytes())
    for line in lines.take(order).chunks:
        _, offsets, data = line.buffers()
        first, last = (int(np.frombuffer(offsets, np.int64)[at]) for at in (line.offset, line.offset + len(line)))
        found.update(memoryview(data or b"")[first:last])
    return found.hexdigest()
