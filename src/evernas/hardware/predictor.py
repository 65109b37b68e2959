"""The cost models of one device: features of an architecture in, a cost out, with the spread of the model's errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from evernas.errors import IntegrityError, UsageError
from evernas.hardware.regression import FORMS, Floats64, form_named, spearman

VERSION = 2
FEWEST = 8
LOWEST_SHARE = 0.1


@dataclass(frozen=True)
class CostPredictor:
    """A fitted model of one cost: latency, memory or energy, each in the unit that it was fitted in.

    Its errors are those on networks left out of the fit one at a time (leave-one-out).

    `median_abs_error` is relative, a share; `residual` is the standard deviation of the relative error.
    """

    form: str
    strength: float
    weights: tuple[float, ...]
    lowest: float
    highest: float
    networks: int
    median_abs_error: float
    residual: float
    spearman: float

    @classmethod
    def fit(cls, features: Floats64, values: Floats64) -> CostPredictor:
        """Choose the form and strength with the smallest leave-one-out error, and fit it on all networks.

        `features` (n, k) are numbers of 0 or more; `values` (n,) are above 0. Deterministic. Raises UsageError for
        fewer than 8 networks, or others than these.
        """
        x, y = _checked(features, values)
        floor = LOWEST_SHARE * float(y.min())
        scored = []
        for form in FORMS:
            for strength in form.strengths:
                left_out = np.maximum(form.leave_one_out(x, y, strength), floor)
                # The mean of the absolute log error: symmetric, and less of a lottery on few networks than a median.
                scored.append((float(np.abs(np.log(left_out / y)).mean()), form.name, strength, left_out))
        _, name, strength, left_out = min(scored, key=lambda item: item[:3])
        relative = left_out / y - 1
        return cls(
            form=name,
            strength=strength,
            weights=tuple(form_named(name).fit(x, y, strength).tolist()),
            lowest=float(y.min()),
            highest=float(y.max()),
            networks=len(y),
            median_abs_error=float(np.median(np.abs(relative))),
            residual=float(relative.std()),
            spearman=spearman(left_out, y),
        )

    def predict(self, features: Floats64) -> Floats64:
        """The cost for features (n, k), or (k,) for one architecture; never below a tenth of the lowest seen."""
        x = np.asarray(features, dtype=np.float64)
        if x.shape[-1:] != (len(self.weights) - 1,) or not np.isfinite(x).all():
            raise UsageError(
                f"The features have the shape {x.shape} or are not finite: give {len(self.weights) - 1} finite numbers "
                "per architecture, as the predictor was fitted with."
            )
        found = form_named(self.form).predict(np.atleast_2d(x), np.array(self.weights))
        return np.maximum(found, LOWEST_SHARE * self.lowest).reshape(x.shape[:-1])

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "weights": list(self.weights)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> CostPredictor:
        """The inverse of to_json; KeyError, TypeError, ValueError or UsageError for anything else."""
        form_named(value["form"])
        fields = {name: value[name] for name in cls.__dataclass_fields__}
        return cls(**{**fields, "weights": tuple(float(weight) for weight in fields["weights"])})


def predictors_to_json(predictors: Mapping[str, CostPredictor]) -> dict[str, Any]:
    """A document of a device's predictors by the name of their cost, with the version of its form."""
    return {"version": VERSION, "costs": {name: predictor.to_json() for name, predictor in predictors.items()}}


def predictors_from_json(document: Any) -> dict[str, CostPredictor]:
    """The inverse of predictors_to_json; IntegrityError for anything else."""
    try:
        if document["version"] != VERSION:
            raise ValueError(f"version {document['version']}")
        return {str(name): CostPredictor.from_json(value) for name, value in document["costs"].items()}
    except (AttributeError, KeyError, TypeError, ValueError, UsageError) as error:
        raise IntegrityError(
            f"These are no predictors of version {VERSION} ({error!r}): profile the device again."
        ) from None


def _checked(features: Floats64, values: Floats64) -> tuple[Floats64, Floats64]:
    x, y = np.asarray(features, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if x.ndim != 2 or y.shape != x.shape[:1]:
        raise UsageError(f"Features of shape {x.shape} and values of shape {y.shape} do not belong together.")
    if len(y) < FEWEST:
        raise UsageError(f"The profile has {len(y)} networks, a predictor needs {FEWEST}: profile more.")
    if not np.isfinite(x).all() or (x < 0).any():
        raise UsageError("A feature is negative or not finite: features are numbers of 0 or more.")
    if not np.isfinite(y).all() or (y <= 0).any():
        raise UsageError("A figure of the profile is not positive and finite: profile the device again.")
    return x, y
