"""The config's `budget` section: what a run, and all runs of a month, may cost. No part of what a run computes."""

from __future__ import annotations

from pydantic import Field, model_validator

from evernas.section import Section


class PriceListConfig(Section):
    """What machine time costs, in the budget's currency."""

    cpu_hour: float = Field(0.0, ge=0, allow_inf_nan=False, description="An hour of one processor.")
    gpu_hour: float = Field(0.0, ge=0, allow_inf_nan=False, description="An hour of one accelerator.")


class CeilingConfig(Section):
    """Limits; what is not given is not limited."""

    evaluations: int | None = Field(None, gt=0, description="Architectures that are evaluated anew in searches.")
    cpu_hours: float | None = Field(None, gt=0, allow_inf_nan=False, description="Processor hours of all steps.")
    gpu_hours: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Hours that steps hold accelerators, times how many they hold."
    )
    money: float | None = Field(None, gt=0, allow_inf_nan=False, description="Both by their prices, in the currency.")

    @property
    def limited(self) -> dict[str, float]:
        """The limits that are given, by name."""
        found = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: float(limit) for name, limit in found.items() if limit is not None}


class BudgetConfig(Section):
    """What may be spent. At a limit a run stops at its next checkpoint, and the champions stay."""

    currency: str = Field("EUR", pattern=r"^[A-Z]{3}$", description="Currency of the prices; only shown.")
    prices: PriceListConfig = Field(default_factory=PriceListConfig, description="What machine time costs.")
    run: CeilingConfig = Field(default_factory=CeilingConfig, description="Limits of one run.")
    month: CeilingConfig = Field(
        default_factory=CeilingConfig,
        description="Limits of all runs of a calendar month (UTC) together, whatever started them.",
    )

    @model_validator(mode="after")
    def _priced(self) -> BudgetConfig:
        limited = [name for name in ("run", "month") if getattr(self, name).money is not None]
        if limited and self.prices.cpu_hour == 0 and self.prices.gpu_hour == 0:
            raise ValueError(
                f"{limited[0]}.money is {getattr(self, limited[0]).money:g}, and prices has none above 0, so that it "
                "could never be reached: give cpu_hour, gpu_hour or both"
            )
        return self
