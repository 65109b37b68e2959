"""From drift to how much work a run does: a pure function of what was found and of the policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from evernas.config import DriftConfig
from evernas.validation.drift import Drift

WorkLevel = Literal["nothing", "finetune", "retrain", "search"]
LEVELS: tuple[WorkLevel, ...] = ("nothing", "finetune", "retrain", "search")
DOES: dict[WorkLevel, str] = {
    "nothing": "the run does nothing",
    "finetune": "the supernet stays, and the last front is fine-tuned on the new data",
    "retrain": "the supernet is trained on, and the last front is fine-tuned; nothing is searched",
    "search": "the supernet is trained on, and the front is searched again",
}


@dataclass(frozen=True)
class Since:
    """What became of the last run's rows.

    `altered` of training and search, and `altered_judges` of the gate, have gone or have another label or domain;
    `new_judges` of the gate have come, as a share of those that it had.
    """

    altered: int = 0
    altered_judges: int = 0
    new_judges: float = 0.0


NOTHING_SINCE = Since()


def work_for(drift: Drift, policy: DriftConfig, since: Since = NOTHING_SINCE) -> tuple[WorkLevel, str]:
    """How much a run does, and why, in a sentence: what drift asks for, and what corrections do."""
    asked = [_by_drift(drift, policy), *_by_corrections(since, policy)]
    return max(asked, key=lambda found: LEVELS.index(found[0]))


def _by_drift(drift: Drift, policy: DriftConfig) -> tuple[WorkLevel, str]:
    shown = drift.shown(policy.alpha)
    apart = [change for change in shown if change.of == "classifier" and change.at_least >= policy.search_above]
    if apart:
        return "search", (
            f"New {_domains(drift)} are told from old ones in {apart[0].effect:.0%} of pairs, at least "
            f"{apart[0].at_least:.0%} (drift.search_above is {policy.search_above:.0%}): {DOES['search']}."
        )
    if shown:
        what = ", ".join(f"{change.of} ({change.column}, p = {change.p:.3g})" for change in shown)
        return "retrain", f"Drift is shown in {what} at level {policy.alpha:g}: {DOES['retrain']}."
    share = drift.rows_new / drift.rows_before if drift.rows_before else 1.0
    none = f"No drift is shown over {drift.domains_before} old and {drift.domains_new} new domains"
    if share < policy.least_rows:
        return "nothing", (
            f"{none}, and the new rows are {share:.1%} of the old ones, below drift.least_rows = "
            f"{policy.least_rows:.1%}: {DOES['nothing']}."
        )
    return "finetune", f"{none}; the new rows are {share:.1%} of the old ones: {DOES['finetune']}."


def _by_corrections(since: Since, policy: DriftConfig) -> list[tuple[WorkLevel, str]]:
    found: list[tuple[WorkLevel, str]] = []
    if since.altered:
        found.append(("retrain", f"{_altered(since.altered, 'training or search')}: {DOES['retrain']}."))
    if since.altered_judges:
        found.append(("finetune", f"{_altered(since.altered_judges, 'the gate')}: {DOES['finetune']}."))
    elif since.new_judges and since.new_judges >= policy.least_rows:
        found.append(("finetune", f"The gate has {since.new_judges:.1%} more rows: {DOES['finetune']}."))
    return found


def _altered(rows: int, of: str) -> str:
    return f"{rows} rows of {of} have gone since the last run, or have another label or domain"


def explained(policy: DriftConfig) -> str:
    """The policy in a sentence, before anything is measured."""
    return (
        f"Drift decides how much the run does, once the new data is in: nothing without drift and below "
        f"{policy.least_rows:.1%} new rows, fine-tuning without drift, retraining where it is shown (level "
        f"{policy.alpha:g}) or rows have gone or were corrected, a new search where new domains are told from old ones "
        f"in at least {policy.search_above:.0%} of pairs."
    )


def _domains(drift: Drift) -> str:
    return f"domains ({drift.domains_new} beside {drift.domains_before})"
