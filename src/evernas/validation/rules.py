"""The rules as Great Expectations: what each demands and the sentence for what fails; nothing here runs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from evernas.config import DataConfig, ValidationConfig

# A name that begins or ends with a blank would make a domain of its own, and so slip from the gate into training.
_TRIMMED = r"(?s)^\S(?:.*\S)?$"


@dataclass(frozen=True)
class RowRule:
    """A rule on one column of the row table: how it is checked, and what is said of a row that fails it."""

    name: str
    expectation: Any
    sentence: Callable[[Mapping[str, Any]], str]


# A person may say of such a row that it is right all the same; no saying makes a label of a missing one, or a number
# of NaN, or lets a row judge that was trained on.
RELEASABLE = ("max_abs", "min_std", "unique_id")


@dataclass(frozen=True)
class DatasetRule:
    """A bound on one figure of the whole snapshot, and the sentence for when it is not kept."""

    name: str
    value: float
    minimum: float | None
    maximum: float | None
    sentence: str


def content_rules(data: DataConfig, validation: ValidationConfig) -> list[RowRule]:
    """What a row must satisfy by itself."""
    import great_expectations.expectations as gxe

    largest, smallest = validation.max_abs, validation.min_std
    known = ", ".join(data.labels[:10]) + (", …" if len(data.labels) > 10 else "")
    rules = [
        RowRule(
            "decodable",
            gxe.ExpectColumnValuesToBeNull(column="decode_error"),
            lambda row: str(row["decode_error"]),
        ),
        RowRule(
            "finite",
            gxe.ExpectColumnValuesToBeBetween(column="n_nonfinite", min_value=0, max_value=0),
            lambda row: (
                f"The window has {row['n_nonfinite']:.0f} values that are no finite number: mend the sensor's "
                "export, or cut the gap out."
            ),
        ),
        RowRule(
            "known_label",
            gxe.ExpectColumnValuesToBeInSet(column="label", value_set=list(data.labels)),
            lambda row: f"The label {row['label']!r} is not in data.labels ({known}): mend the label, or add it there.",
        ),
        RowRule(
            "max_abs",
            gxe.ExpectColumnValuesToBeBetween(column="max_abs", max_value=largest),
            lambda row: (
                f"The largest absolute value is {row['max_abs']:.6g}, above validation.max_abs = {largest:.6g}: "
                "check the unit and the sensor."
            ),
        ),
        RowRule(
            "min_std",
            gxe.ExpectColumnValuesToBeBetween(column="min_channel_std", min_value=smallest),
            lambda row: (
                f"A channel's standard deviation is {row['min_channel_std']:.3g}, below validation.min_std = "
                f"{smallest:.3g}: the sensor is dead or the recording is padded."
            ),
        ),
        RowRule(
            "id_present",
            gxe.ExpectColumnValuesToMatchRegex(column="recording", regex=_TRIMMED),
            lambda row: f"The id is {row['recording']!r}: give every recording an id without blanks around it.",
        ),
        RowRule(
            "domain_present",
            gxe.ExpectColumnValuesToMatchRegex(column="domain", regex=_TRIMMED),
            lambda row: (
                f"The domain is {row['domain']!r}: say whom or what the recording is from, without blanks around it."
            ),
        ),
        RowRule(
            "unseen_by_training",
            gxe.ExpectColumnValuesToBeBetween(column="gate_but_trained", min_value=0, max_value=0),
            lambda row: (
                "The window is for the gate, but a model was already trained on the same window: it can judge "
                "no model any more."
            ),
        ),
    ]
    if validation.freshness is not None:
        skew = validation.freshness.clock_skew_hours
        rules.append(
            RowRule(
                "not_ahead",
                gxe.ExpectColumnValuesToBeBetween(column="time_ahead", min_value=0, max_value=0),
                lambda row: (
                    f"The time lies more than validation.freshness.clock_skew_hours = {skew:g} after the run began: "
                    "mend the clock that wrote it, or its zone."
                ),
            )
        )
    # The numbers of a text's characters have no unit and no spread that could be wrong.
    measured = {"max_abs", "min_std", "finite"}
    return [rule for rule in rules if data.kind != "text" or rule.name not in measured]


def identity_rules() -> list[RowRule]:
    """What a row must satisfy beside the other good rows; checked once the bad ones are known."""
    import great_expectations.expectations as gxe

    return [
        RowRule(
            "unique_id",
            gxe.ExpectColumnValuesToBeBetween(column="id_taken", min_value=0, max_value=0),
            lambda row: (
                f"The id {row['recording']!r} belongs to another recording that came earlier: give this one an "
                "id of its own, or replace the file that holds the earlier one."
            ),
        ),
        RowRule(
            "label_agrees",
            gxe.ExpectColumnValuesToBeBetween(column="label_conflict", min_value=0, max_value=0),
            lambda row: (
                f"The label is {row['label']!r}, but the same window under another id has another label: "
                "mend the one that is wrong."
            ),
        ),
    ]


def dataset_rules(figures: Mapping[str, float], data: DataConfig, validation: ValidationConfig) -> list[DatasetRule]:
    """What the snapshot must satisfy as a whole; figures are those of `validate.dataset_figures`."""
    rules = [
        DatasetRule(
            "rows", figures["rows"], 1, None, "The source has no rows at all: deliver data, or mend data.source."
        )
    ]
    drawn = data.splits.by_recording
    anew = " (before the first run is done, data.splits.seed draws another lot)" if drawn else ""
    for split, least in sorted(validation.min_rows.items()):
        value = figures[f"rows_{split}"]
        text = (
            f"The split {split} has {value:.0f} good rows, fewer than validation.min_rows.{split} = {least}: "
            f"deliver more, or look into the quarantine{anew}."
        )
        rules.append(DatasetRule(f"rows_{split}", value, least, None, text))
    for split in ("gate", "search", "train"):
        for label in data.labels:
            value, least = figures[f"rows_{split}_{label}"], validation.min_rows_per_class
            text = (
                f"The split {split} has {value:.0f} good rows with the label {label!r}, fewer than "
                f"validation.min_rows_per_class = {least}: deliver more of them{anew}."
            )
            rules.append(DatasetRule(f"rows_{split}_{label}", value, least, None, text))
    share, most = figures["new_quarantined_share"], validation.max_quarantine
    text = (
        f"{share:.1%} of the new rows go to quarantine, more than validation.max_quarantine = {most:.1%}: "
        "see the quarantine for the rules they fail, and mend the source."
    )
    rules.append(DatasetRule("new_quarantined_share", share, None, most, text))
    for kind in ("recordings",) if data.splits.by_recording else ("recordings", "domains"):
        value = figures[f"straddling_{kind}"]
        text = f"{value:.0f} {kind} have good rows in more than one split, which leaks: keep each in one."
        rules.append(DatasetRule(f"straddling_{kind}", value, None, 0, text))
    if data.splits.group is not None:
        value = figures["judges_of_many_domains"]
        text = (
            f"{value:.0f} recordings of the gate split, as data.splits.group joins their parts, are of more than one "
            "domain, which the gate would take for independent of each other: let group find names that only one "
            "domain has, or name as the domain what such parts share."
        )
        rules.append(DatasetRule("judges_of_many_domains", value, None, 0, text))
    return rules
