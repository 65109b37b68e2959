"""The config's `gate` section: the policy of promotion."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from evernas.section import Section, Share

Change = Annotated[float, Field(ge=0)]
Price = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Measured = Literal["load_p95_ms", "cold_start_ms", "energy_mj", "cost_per_million", "peak_memory_mb"]


class QualityConfig(Section):
    """What the gate calls error: the loss of this metric."""

    metric: Literal["error", "macro_f1", "auroc", "cost"] = Field(
        "error",
        description="error: the share of wrong answers; cost: the mean of costs. macro_f1 and auroc: 1 minus the macro-"
        "averaged F1 or (one class against the others) AUROC of each domain, the mean over domains; these need "
        "gate.min_domains gate domains, each with every class.",
    )
    costs: list[list[Share]] | None = Field(
        None,
        description="For the metric cost: what each answer costs, from 0 to 1; a row per true class in the order of "
        "data.labels, a column per answer.",
    )

    @model_validator(mode="after")
    def _matrix(self) -> QualityConfig:
        if (self.costs is not None) != (self.metric == "cost"):
            raise ValueError(f"metric is {self.metric}: give costs with the metric cost, and only then")
        if self.costs is None:
            return self
        if any(len(row) != len(self.costs) for row in self.costs):
            raise ValueError("costs is no square: give a row per true class and in each a column per answer")
        if any(row[n] >= max(row) for n, row in enumerate(self.costs)):
            raise ValueError("costs has a row whose right answer costs as much as any other: make wrong ones dearer")
        return self


class MarginConfig(Section):
    """How much worse is still no worse."""

    error: Share = Field(0.02, description="Difference in error, as a share.")
    latency_ms: Change = Field(0.10, description="Relative difference in median latency.")
    load_p95_ms: Change = Field(0.10, description="Relative difference in the 95th percentile under load.")
    cold_start_ms: Change = Field(0.20, description="Relative difference in cold start.")
    energy_mj: Change = Field(0.10, description="Relative difference in the energy of an inference.")
    cost_per_million: Change = Field(0.10, description="Relative difference in the cost of a million answers.")
    peak_memory_mb: Change = Field(0.20, description="Relative difference in peak memory.")
    size_kb: Change = Field(0.10, description="Relative difference in file size.")


class EffectConfig(Section):
    """How much better is strictly better."""

    error: Share = Field(0.005, description="Difference in error, as a share.")
    latency_ms: Change = Field(0.05, description="Relative difference in median latency.")
    load_p95_ms: Change = Field(0.05, description="Relative difference in the 95th percentile under load.")
    cold_start_ms: Change = Field(0.10, description="Relative difference in cold start.")
    energy_mj: Change = Field(0.05, description="Relative difference in the energy of an inference.")
    cost_per_million: Change = Field(0.05, description="Relative difference in the cost of a million answers.")
    peak_memory_mb: Change = Field(0.10, description="Relative difference in peak memory.")
    size_kb: Change = Field(0.05, description="Relative difference in file size.")


class PriceConfig(Section):
    """What a unit of each objective is worth, all in one currency of your choice: milliseconds, money, points."""

    error: Price = Field(description="What a point (a hundredth) of error is worth.")
    latency_ms: Price | None = Field(None, description="What a millisecond of median latency is worth.")
    load_p95_ms: Price | None = Field(
        None, description="What a millisecond of the 95th percentile under load is worth."
    )
    cold_start_ms: Price | None = Field(None, description="What a millisecond of cold start is worth.")
    energy_mj: Price | None = Field(None, description="What a millijoule of an inference is worth.")
    cost_per_million: Price | None = Field(
        None, description="What a unit of devices.price_per_hour's money for a million answers is worth."
    )
    peak_memory_mb: Price | None = Field(None, description="What a megabyte of peak memory is worth.")
    size_kb: Price | None = Field(None, description="What a kilobyte of the file is worth.")

    @model_validator(mode="after")
    def _trades(self) -> PriceConfig:
        if self.traded == ["error"]:
            raise ValueError(
                f"prices has error = {self.error:g} alone, which is no trade: price what you would give for it, or "
                "leave gate.trade_off out"
            )
        return self

    @property
    def traded(self) -> list[str]:
        """The objectives that have a price."""
        return [name for name in type(self).model_fields if getattr(self, name) is not None]


class TradeOffConfig(Section):
    """Promotion by what a model is worth: the sum of its priced objectives, instead of a margin for each of them."""

    prices: PriceConfig = Field(
        description="What a unit of each objective is worth; what is compared and has no price keeps its margin."
    )
    effect: Price = Field(
        description="Minimum effect: the gain of worth over the champion that has to be shown. Best no less than what "
        "half a point of error is worth."
    )
    margin: float | None = Field(
        None,
        ge=0,
        allow_inf_nan=False,
        description="How much less worth than the anchor is still no less; as much as effect if not given.",
    )


class GateConfig(Section):
    """The policy of promotion."""

    alpha: float = Field(0.05, gt=0, lt=0.5, description="Chance of a false promotion over the life of a gate split.")
    decisions: int = Field(
        365, gt=0, description="How many decisions a gate split is good for; then it holds until fresh people judge."
    )
    near_misses: bool = Field(
        True,
        exclude_if=lambda told: told is True,
        description="Whether a hold says which rule was nearly passed, once for each rule between two promotions. All "
        "later decisions pay for it: with few judges, each is then too strict to pass.",
    )
    max_disagreement: Share = Field(
        0.005,
        description="Largest share of answers, by its bound, that may be others on the device than in the gate.",
    )
    quality: QualityConfig = Field(
        default_factory=QualityConfig, description="What error is; also the metric by which the candidate is chosen."
    )
    objectives: list[Measured] = Field(
        default=[], description="What is compared beside search.objectives, though nothing searches for it."
    )
    clients: int | None = Field(
        None,
        gt=0,
        description="Clients at once for load_p95_ms and cost_per_million, one of benchmark.load_clients; the most of "
        "them if not given.",
    )
    recheck_after: float = Field(
        7.0,
        ge=0,
        description="Days. Where nothing is new and the champion was measured longer ago, it alone is measured and "
        "evaluated again; with 0 each time.",
    )
    resamples: int = Field(20000, ge=1000, description="Bootstrap resamples.")
    max_error: float = Field(
        0.5, gt=0, lt=1, description="Floor for a first champion: largest error by its confidence bound."
    )
    margins: MarginConfig = Field(default_factory=MarginConfig, description="How much worse is still no worse.")
    effects: EffectConfig = Field(default_factory=EffectConfig, description="How much better is strictly better.")
    trade_off: TradeOffConfig | None = Field(
        None, description="Prices by which a candidate that is worth more is promoted; dominance with margins if null."
    )
    domain_margin: Share = Field(0.10, description="A single domain shown worse than this is a veto.")
    conditions_margin: Share | None = Field(
        None,
        description="Under any corruption of `robustness` that is made of the gate split's rows, the error has to be "
        "shown no more than this above the champion's; not asked if null.",
    )
    min_domains: int = Field(
        5, ge=2, description="With fewer gate domains, recordings are resampled and nothing is claimed about others."
    )

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A policy without a trade-off, or a margin under corruptions, has the digest that it had before there were
        any."""
        found: dict[str, Any] = dump(self)
        for name in ("trade_off", "conditions_margin"):
            if found.get(name) is None:
                found.pop(name, None)
        return found

    @field_validator("objectives")
    @classmethod
    def _once(cls, objectives: list[str]) -> list[str]:
        if len(set(objectives)) != len(objectives):
            raise ValueError(f"objectives is {objectives}: name each once")
        return objectives
