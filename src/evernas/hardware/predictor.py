"""The cost models of one device: features of an architecture in, a cost out, with the spread of the model's errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from evernas.errors import IntegrityError, UsageError
from evernas.hardware.correction import Correction
from evernas.hardware.regression import FORMS, Floats64, form_named, spearman

VERSION = 2
FEWEST = 8
LOWEST_SHARE = 0.1


@dataclass(frozen=True)
class Networks:
    """Measured networks: features (n, k), values (n,), and of `choices` choices the options (n, j), each 0 or 1."""

    features: Floats64
    values: Floats64
    options: Floats64
    choices: int


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
    correction: Correction | None = None

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

    @classmethod
    def fit_corrected(cls, known: Networks, more: Networks) -> CostPredictor:
        """Fit some networks, and correct the fit by its errors on them, each left out, and on `more` of another kind.

        Where the second kind costs what the fit on the first cannot say, a fit on all would be neither's: a few
        networks have little weight beside many, and slow ones less beside fast ones.
        """
        features, values = known.features, known.values
        base = cls.fit(features, values)
        _, y = _checked(np.concatenate([features, more.features]), np.concatenate([values, more.values]))
        left_out = form_named(base.form).leave_one_out(features, values, base.strength)
        foreseen = np.concatenate([left_out, base.predict(more.features)])
        foreseen = np.maximum(foreseen, LOWEST_SHARE * float(values.min()))
        correction, left = Correction.fit(
            np.concatenate([known.options, more.options]), known.choices, np.log(y / foreseen), base.residual
        )
        relative = np.exp(-left) - 1
        return replace(
            base,
            lowest=float(y.min()),
            highest=float(y.max()),
            networks=len(y),
            median_abs_error=float(np.median(np.abs(relative))),
            # Of the networks before: those that showed what was wrong would say that anything may be.
            residual=float(relative[: len(values)].std()),
            spearman=spearman(y * np.exp(-left), y),
            correction=correction,
        )

    def predict(self, features: Floats64, options: Floats64 | None = None) -> Floats64:
        """The cost for features (n, k), or (k,) for one architecture; never below a tenth of the lowest seen.

        `options` (n, j) or (j,) are needed where there is a correction.
        """
        x = np.asarray(features, dtype=np.float64)
        if x.shape[-1:] != (len(self.weights) - 1,) or not np.isfinite(x).all():
            raise UsageError(
                f"The features have the shape {x.shape} or are not finite: give {len(self.weights) - 1} finite numbers "
                "per architecture, as the predictor was fitted with."
            )
        rows = np.atleast_2d(x)
        found = form_named(self.form).predict(rows, np.array(self.weights))
        found = np.maximum(found, LOWEST_SHARE * self.lowest)
        if self.correction is not None:
            if options is None:
                raise UsageError("This predictor corrects by an architecture's options: give them beside its features.")
            found = found * self.correction.factor(np.atleast_2d(options))
        return np.maximum(found, LOWEST_SHARE * self.lowest).reshape(x.shape[:-1])

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        plain = {**asdict(self), "weights": list(self.weights)}
        if self.correction is None:
            del plain["correction"]
        else:
            plain["correction"] = self.correction.to_json()
        return plain

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> CostPredictor:
        """The inverse of to_json; KeyError, TypeError, ValueError or UsageError for anything else."""
        form_named(value["form"])
        fields = {name: value[name] for name in cls.__dataclass_fields__ if name != "correction"}
        found = cls(**{**fields, "weights": tuple(float(weight) for weight in fields["weights"])})
        given = value.get("correction")
        return found if given is None else replace(found, correction=Correction.from_json(given))


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
