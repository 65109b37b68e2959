"""The one typed config: every field documented, every impossible value refused before any work."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from evernas.config_budget import BudgetConfig
from evernas.config_cluster import ClusterConfig
from evernas.config_data import FORMS
from evernas.config_data import DataConfig as DataConfig
from evernas.config_data import FreshnessConfig as FreshnessConfig
from evernas.config_data import ImageConfig as ImageConfig
from evernas.config_data import NearDuplicatesConfig as NearDuplicatesConfig
from evernas.config_data import RetentionConfig as RetentionConfig
from evernas.config_data import SampleConfig as SampleConfig
from evernas.config_data import SignalConfig as SignalConfig
from evernas.config_data import SplitConfig as SplitConfig
from evernas.config_data import TextConfig as TextConfig
from evernas.config_data import ValidationConfig as ValidationConfig
from evernas.config_drift import DriftConfig as DriftConfig
from evernas.config_gate import EffectConfig as EffectConfig
from evernas.config_gate import GateConfig as GateConfig
from evernas.config_gate import MarginConfig as MarginConfig
from evernas.config_monitor import MonitorConfig
from evernas.config_outbox import OutboxConfig
from evernas.config_robustness import RobustnessConfig as RobustnessConfig
from evernas.config_secrets import refuse_written
from evernas.config_space import AugmentConfig as AugmentConfig
from evernas.config_space import SpaceConfig as SpaceConfig
from evernas.config_space import TextAugmentConfig as TextAugmentConfig
from evernas.config_space import TextSpaceConfig as TextSpaceConfig
from evernas.config_triggers import TriggersConfig
from evernas.digest import digest_value
from evernas.errors import UsageError
from evernas.section import Positive, Section, Share, absent

# Below these keys no value is repeated.
HIDDEN = {"secret", "secrets", "token", "key", "database", "url", "url_from", "sinks"}
USUAL_OBJECTIVES = ("error", "latency_ms", "size_kb")
MOST_OBJECTIVES = 4
UNDER_LOAD = ("load_p95_ms", "cost_per_million")
ON_GPU = ("onnxruntime-cuda", "onnxruntime-tensorrt")
"""Runtimes that compute on a GPU."""


class WarmStartConfig(Section):
    """How a supernet goes on from its parent's: which weights it begins and ends with, and what is replayed."""

    shrink: Share = Field(
        1.0, description="What the parent's weights are multiplied with; 1 keeps them, 0 forgets them."
    )
    perturb: Share = Field(0.0, description="What the fresh initial weights that are added are multiplied with.")
    keep: Share = Field(
        0.5,
        description="The parent's share in the mean of its weights and the trained ones, which is what is kept "
        "(Wortsman et al. 2022, WiSE-FT). 0 keeps the trained ones alone, as it is with a new space, new classes, and "
        "weights that were shrunk or perturbed at the beginning.",
    )
    new_share: Share = Field(
        0.5,
        description="Of what is drawn, at most this share are samples that the parent was not trained on; the others "
        "are replayed. New ones are drawn as often as a cold start would draw them, as far as that allows. 0 draws all "
        "samples alike.",
    )
    most_lost: float = Field(
        0.03,
        ge=0,
        le=1,
        description="By how much the error on samples that the parent knew may be above the parent's own; beyond it "
        "the supernet is trained cold instead. 1 allows anything. With a new space, networks are read that both "
        "have; with new classes, the answer is among those that both know.",
    )
    cold_every: int = Field(
        10,
        ge=0,
        description="Every so many trainings one is cold, and is compared with what it replaces; of texts it learns "
        "the sub-words anew. 0 is never.",
    )

    @property
    def kept(self) -> float:
        """`keep` where training begins from the parent's very weights, else 0: a mean is of networks that are near."""
        return self.keep if (self.shrink, self.perturb) == (1, 0) else 0.0


class SupernetConfig(Section):
    """Training of the weight-sharing supernet."""

    steps: Positive = Field(800, description="Sandwich steps of a cold start.")
    warm_steps: Positive = Field(500, description="Sandwich steps of a warm start.")
    batch: Positive = Field(64, description="Samples in a step.")
    learning_rate: float = Field(0.004, gt=0, description="Peak of the one-cycle schedule (AdamW).")
    weight_decay: float = Field(0.01, ge=0, description="AdamW's weight decay.")
    clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    dropout: float = Field(0.3, ge=0, lt=1, description="Before the classifier, on the largest subnet only.")
    label_smoothing: float = Field(0.15, ge=0, lt=1, description="On the largest subnet's targets.")
    average: float = Field(
        0.98,
        ge=0,
        lt=1,
        description="Decay of the running mean of the weights, which is what is kept; 0 keeps the last weights.",
    )
    balance: bool = Field(False, description="Draw every (domain, class) equally often; otherwise every sample.")
    random_subnets: int = Field(2, ge=0, description="Random subnets in a step, beside the largest and the smallest.")
    checkpoint_every: Positive = Field(100, description="Steps between two checkpoints.")
    processes: Positive = Field(
        1,
        description="Processes on this machine that train together, each on its part of every batch; for large spaces "
        "and batches. On GPUs each has its own. What is computed depends on it in the last bits.",
    )
    calibration_batches: Positive = Field(
        8, description="Training batches that set a subnet's normalisation statistics."
    )
    augment: AugmentConfig = Field(default_factory=AugmentConfig, description="Random changes to training windows.")
    warm_start: WarmStartConfig = Field(
        default_factory=WarmStartConfig, description="How the parent's weights are used."
    )
    threads: int | None = Field(
        1,
        gt=0,
        description="Torch threads; all processors if null. Networks this small gain little from a second one, "
        "and lose much where another program wants the processor.",
    )
    # Neither changes a key where it is not given: old results stay.
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto",
        exclude_if=lambda device: device == "auto",
        description="Where training, the search's evaluations and fine-tuning compute: cpu, cuda for an NVIDIA GPU, "
        "auto for a GPU where torch sees one. A step that is done is not done again on another; the same bits come "
        "from the same device only.",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto",
        exclude_if=lambda precision: precision != "bf16",
        description="Numbers that the supernet is trained in: fp32, or bf16 for its matrix products and convolutions, "
        "on GPUs only; weights, sums and all that follows training stay fp32. auto is fp32.",
    )

    @model_validator(mode="after")
    def _shared_evenly(self) -> SupernetConfig:
        if self.batch % self.processes:
            raise ValueError(f"batch is {self.batch}, which {self.processes} processes cannot share: take a multiple")
        return self

    @model_validator(mode="after")
    def _narrow_only_on_gpus(self) -> SupernetConfig:
        if self.precision == "bf16" and self.device == "cpu":
            raise ValueError("precision is bf16, and device is cpu: bf16 is for GPUs, set one of the two otherwise")
        return self


class SearchConfig(Section):
    """How the front is searched."""

    strategy: Literal["surrogate", "nsga2", "reinforce", "local", "random"] = Field(
        "surrogate", description="Name of the strategy; surrogate finds the front in the fewest evaluations."
    )
    evaluations: int = Field(200, ge=4, description="Architectures to evaluate; the budget.")
    batch: Positive = Field(8, description="Architectures asked at a time.")
    objectives: list[Literal["error", "latency_ms", "size_kb", "peak_memory_mb", "energy_mj"]] = Field(
        default=["error", "latency_ms", "size_kb"],
        description="What is minimised, at most four. Latency, memory and energy are foreseen by predictors of the "
        "device's profile, which then measures them too; energy_mj needs an energy sensor on every device.",
    )
    random_baseline: bool = Field(True, description="Also evaluate random architectures, for the report's comparison.")
    rounds: int = Field(
        2,
        ge=1,
        le=2,
        description="Rounds of a run's search. Between two, the device measures the architectures of the front whose "
        "costs are least certain; where they cost what was foreseen the front stands, else half as many architectures "
        "more are evaluated.",
    )
    probes: int = Field(6, ge=1, le=100, description="How many architectures are measured between the rounds.")

    @field_validator("objectives")
    @classmethod
    def _with_error(cls, objectives: list[str]) -> list[str]:
        if "error" not in objectives or len(set(objectives)) != len(objectives):
            raise ValueError(f"objectives is {objectives}: name each once, and error among them")
        if len(objectives) > MOST_OBJECTIVES:
            raise ValueError(f"objectives names {len(objectives)}: take at most {MOST_OBJECTIVES}, or no front ends")
        return objectives


class ConstraintConfig(Section):
    """A bound that a champion must keep, shown by its confidence bound."""

    metric: Literal[
        "error",
        "latency_ms",
        "latency_p95_ms",
        "load_p95_ms",
        "cold_start_ms",
        "size_kb",
        "peak_memory_mb",
        "energy_mj",
        "cost_per_million",
        "robust_error",
        "worst_domain_error",
    ] = Field(
        description="What is bounded. error is the loss of gate.quality; robust_error the largest share of wrong "
        "answers under any corruption of `robustness`, and worst_domain_error the largest share of wrong answers in "
        "any domain, both as they are on the search split, without a confidence bound."
    )
    max: float = Field(
        gt=0, description="Largest allowed value; error, robust_error and worst_domain_error are shares from 0 to 1."
    )
    device: str | None = Field(None, description="Only for this device; for all if not given.")

    @model_validator(mode="after")
    def _possible(self) -> ConstraintConfig:
        if self.metric in ("error", "robust_error", "worst_domain_error") and self.max >= 1:
            raise ValueError(f"max is {self.max} for {self.metric}, which every network meets: give a share below 1")
        return self


class FinalistConfig(Section):
    """How candidates are made from the front."""

    count: Positive = Field(4, description="How many architectures of the front are fine-tuned.")
    steps: Positive = Field(200, description="Fine-tuning steps.")
    batch: Positive = Field(64, description="Samples in a step.")
    learning_rate: float = Field(0.001, gt=0, description="Peak of the one-cycle schedule (AdamW).")
    weight_decay: float = Field(0.01, ge=0, description="AdamW's weight decay.")
    clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    dropout: float = Field(0.3, ge=0, lt=1, description="Before the classifier.")
    label_smoothing: float = Field(
        0.15, ge=0, lt=1, description="Share of a label's weight that is spread over all classes."
    )
    average: float = Field(
        0.98,
        ge=0,
        lt=1,
        description="Decay of the running mean of the weights, which is what is kept; 0 keeps the last weights.",
    )
    distill: Share = Field(
        0.5, description="Weight of the largest subnet's answer in the targets; the labels have the rest."
    )


class DeviceConfig(Section):
    """A machine that champions run on."""

    name: str = Field(description="Name of the device; part of the alias champion-<name>.")
    runtime: Literal["onnxruntime-cpu", "openvino-cpu", "onnxruntime-cuda", "onnxruntime-tensorrt"] = Field(
        "onnxruntime-cpu",
        description="What runs the network on the device; the last two on the first NVIDIA GPU that CUDA shows.",
    )
    threads: Positive = Field(1, description="Threads of one inference, pinned.")
    precisions: list[Literal["fp32", "int8"]] = Field(
        default=["fp32"],
        min_length=1,
        description="Number formats that finalists are made in, each a candidate of its own. int8: convolutions in "
        "eight bits, by static quantisation calibrated on training samples; smaller, and on some devices faster. The "
        "search goes by costs in fp32, or where it is not among them, in int8.",
    )
    powercap: str = Field(
        "/sys/class/powercap", description="Where the kernel shows RAPL, from which energy is read where it is there."
    )
    energy: str | None = Field(
        None,
        pattern=r"^(https?://.+|hwmon:[^/]+/.+|nvml(:[0-9]+|:(GPU|MIG)-[0-9A-Fa-f-]+)?)$",
        exclude_if=lambda energy: energy is None,
        description="What tells the device's energy instead of RAPL: the address of the node's own exporter "
        "(node-exporter or Kepler, http://host:port/metrics; ${EVERNAS_NODE_IP} is put in on the device), "
        "hwmon:CHIP/RAIL,RAIL for power rails as on Jetson boards, or nvml, nvml:0 or nvml:GPU-... for an NVIDIA GPU "
        "by its number or UUID, which is what a runtime on a GPU has if nothing is given.",
    )
    price_per_hour: float | None = Field(
        None, gt=0, description="What an hour of the device costs; over its throughput, money per answer."
    )
    recorded: str | None = Field(
        None,
        description="A file of recorded measurements that are read instead of measuring; "
        "for tests and for devices that are measured elsewhere. Reports say so.",
    )

    @property
    def searched_precision(self) -> str:
        """The number format whose costs the search goes by: int8 where finalists are made in nothing else."""
        return "fp32" if "fp32" in self.precisions else "int8"

    @property
    def sensor(self) -> str | None:
        """What tells its energy: what `energy` says, else of a GPU its own counters, else None, which is RAPL."""
        return self.energy or ("nvml" if self.runtime in ON_GPU else None)

    @model_validator(mode="after")
    def _own_energy(self) -> DeviceConfig:
        if (self.energy or "").startswith("nvml") and self.runtime not in ON_GPU:
            raise ValueError(
                f"energy is {self.energy}, a GPU's, and {self.runtime} computes on none: leave it out, or take "
                f"{' or '.join(ON_GPU)}"
            )
        return self

    @field_validator("precisions")
    @classmethod
    def _each_once(cls, precisions: list[str]) -> list[str]:
        if len(set(precisions)) != len(precisions):
            raise ValueError(f"the precisions are {precisions}: name each once")
        return precisions

    @field_validator("name")
    @classmethod
    def _alias_part(cls, name: str) -> str:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,40}", name):
            raise ValueError(f"the device name {name!r} is no part of an alias: use a-z, 0-9, - and _, no dots")
        return name


class ProfileConfig(Section):
    """The short profile of a device from which its predictors of latency, memory and energy are fitted."""

    subnets: int = Field(40, ge=12, description="Subnets measured once per space, runtime and device.")
    seconds: float = Field(25.0, gt=0, description="Seconds to time them, all subnets together.")
    energy_seconds: float = Field(
        0.5,
        ge=0.1,
        exclude_if=lambda value: value == 0.5,
        description="Seconds of a subnet's window of energy, and of the idle before; measured where search.objectives "
        "has energy_mj.",
    )


class BenchmarkConfig(Section):
    """How finalists are measured on a device."""

    restarts: int = Field(
        8,
        ge=2,
        description="Process restarts; the unit of the confidence bounds. With fewer, bounds at the small levels of "
        "late decisions are many times as wide.",
    )
    seconds: float = Field(0.3, gt=0, description="Seconds of measuring per model and restart.")
    warmup_seconds: float = Field(0.2, gt=0, description="Seconds of warm-up per model and restart.")
    max_variation: float = Field(
        0.1,
        gt=0,
        description="Largest coefficient of variation over restarts; above it, "
        "the measurement is taken again, and then refused.",
    )
    min_cpu_share: float = Field(
        0.6,
        ge=0,
        le=1,
        description="Least share of the time of its calls for which the measuring thread must have had a processor; "
        "below it, other programs hold the cores, and the measurement is taken again, and then refused. 0 asks for "
        "nothing.",
    )
    max_memory_mb: float | None = Field(
        None, gt=0, description="A network that needs more memory than this above the runtime's own is refused."
    )
    cold_starts: int = Field(
        3, ge=0, description="Fresh processes per model whose start to the first answer is timed; 0 times none."
    )
    load_clients: list[Positive] = Field(
        default=[1, 2, 4, 8], description="Numbers of clients that call one session at once; empty tries none."
    )
    load_seconds: float = Field(0.05, gt=0, description="Seconds of one window of concurrent load.")
    load_windows: Positive = Field(3, description="Processes; in each, a window per model and number of clients.")

    energy_seconds: float = Field(0.5, ge=0.1, description="Seconds of one window of energy, and of the idle before.")
    energy_windows: int = Field(
        3, ge=0, description="Processes in which each model's energy is measured, where there is a sensor; 0 for none."
    )

    @field_validator("load_clients")
    @classmethod
    def _rising(cls, clients: list[int]) -> list[int]:
        if sorted(set(clients)) != clients or max(clients, default=1) > 64:
            raise ValueError(f"load_clients is {clients}: give distinct numbers up to 64 in rising order")
        return clients


class RegistryConfig(Section):
    """Where the journal of champions lies, and whose verdicts count."""

    journal: str | None = Field(
        None,
        description="Address of the journal: s3://bucket/prefix?endpoint=https://host, postgresql://host/database or "
        "sqlite:///path; null for files in the state folder. ${VARIABLES} are expanded when it is opened, so that a "
        "password is written nowhere.",
    )
    verdict_keys: list[str] = Field(
        default=[],
        max_length=2,
        description="Public keys (Ed25519, base64 of 32 bytes, as `evernas gate key` prints them) whose verdicts may "
        "promote; two while keys are rotated. Empty: the key that is made in the state folder.",
    )
    approval: bool = Field(
        False,
        description="Whether a person has to approve: the pipeline then registers the candidate with its verdict, "
        "and `evernas promote` makes it the champion, such as behind a GitHub environment.",
    )
    verdict_hours: float = Field(72.0, gt=0, description="Hours after which a verdict that was not used is void.")


class Config(Section):
    """The config of one project."""

    version: Literal[1] = Field(1, description="Version of this format.")
    project: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]{0,40}$", description="Prefix of everything shared: a-z, 0-9 and -."
    )
    seed: int = Field(0, ge=0, description="Seed of everything random.")
    data: DataConfig
    validation: ValidationConfig = Field(default_factory=ValidationConfig, description="What the data must satisfy.")
    space: SpaceConfig = Field(default_factory=SpaceConfig, description="The search space.")
    supernet: SupernetConfig = Field(default_factory=SupernetConfig, description="Training of the supernet.")
    search: SearchConfig = Field(default_factory=SearchConfig, description="How the front is searched.")
    constraints: list[ConstraintConfig] = Field(default=[], description="Bounds that a champion must keep.")
    finalists: FinalistConfig = Field(default_factory=FinalistConfig, description="How candidates are made.")
    robustness: RobustnessConfig = Field(
        default_factory=RobustnessConfig, description="What candidates and champions are tried under."
    )
    devices: list[DeviceConfig] = Field(min_length=1, description="The machines that champions run on.")
    profile: ProfileConfig = Field(default_factory=ProfileConfig, description="The profile of a device.")
    benchmark: BenchmarkConfig = Field(default_factory=BenchmarkConfig, description="How finalists are measured.")
    gate: GateConfig = Field(default_factory=GateConfig, description="The policy of promotion.")
    registry: RegistryConfig = Field(default_factory=RegistryConfig, description="The journal and its verdicts' keys.")
    drift: DriftConfig | None = Field(
        None, exclude_if=absent, description="Test for drift, and let it decide how much a run does; not if not given."
    )
    # None of these is dumped: what starts a run, where it runs, what it may cost and how long it stays must not change
    # what it computes, nor its key.
    retention: RetentionConfig = Field(
        default_factory=RetentionConfig, exclude=True, description="How long what runs leave stays."
    )
    triggers: TriggersConfig | None = Field(None, exclude=True, description="What starts runs.")
    cluster: ClusterConfig | None = Field(None, exclude=True, description="Where the compiled pipeline runs.")
    budget: BudgetConfig | None = Field(None, exclude=True, description="What runs may cost.")
    outbox: OutboxConfig | None = Field(None, exclude=True, description="Who is told of what happens.")
    monitor: MonitorConfig = Field(
        default_factory=MonitorConfig, exclude=True, description="When what production logs is an incident."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        names = [device.name for device in self.devices]
        if len(set(names)) != len(names):
            raise ValueError(f"devices has the names {names}: name each device once")
        if self.cluster is not None:
            _check_placed(self.cluster, names)
            _check_accelerated(self.cluster, self.supernet)
            _check_gpus(self.cluster, self.devices)
        for constraint in self.constraints:
            if constraint.device is not None and constraint.device not in names:
                raise ValueError(
                    f"constraints names the device {constraint.device!r}, which devices lacks: "
                    f"use one of {', '.join(names)}"
                )
        costs = self.gate.quality.costs
        if costs is not None and len(costs) != len(self.data.labels):
            raise ValueError(
                f"gate.quality.costs has {len(costs)} rows for {len(self.data.labels)} labels: give a row and a column "
                "for each"
            )
        least = self.validation.min_stratum_coverage
        if least is not None and not self.data.strata:
            raise ValueError(
                f"validation.min_stratum_coverage is {least:g}, and data.strata names none: say there which domain is "
                "of which stratum"
            )
        if self.data.splits.by_recording and self.gate.quality.metric in ("macro_f1", "auroc"):
            raise ValueError(
                f"gate.quality.metric is {self.gate.quality.metric}, a figure of whole domains, and data.splits.by is "
                "recording, where recordings are the unit: judge by error or cost, or split domains"
            )
        compared = [*self.search.objectives, *self.gate.objectives]
        prices = None if self.gate.trade_off is None else self.gate.trade_off.prices
        unknown = [] if prices is None else [name for name in prices.traded if name not in compared]
        for name in unknown:
            raise ValueError(
                f"gate.trade_off.prices has {name} = {getattr(prices, name):g}, which is not compared: add it to "
                f"{'search.objectives' if name in USUAL_OBJECTIVES else 'gate.objectives'}, or take its price away"
            )
        for device in self.devices:
            bounded = [str(c.metric) for c in self.constraints if c.device in (None, device.name)]
            lacking = _unmeasured(self, [*bounded, *compared], device)
            if lacking is not None:
                raise ValueError(lacking)
        _check_robustness(self)
        sample = self.data.sample
        if isinstance(sample, SignalConfig):
            _check_for_signals(self, sample)
        elif isinstance(sample, ImageConfig):
            _check_for_images(self, sample)
        else:
            _check_for_texts(self, sample)
        return self

    def device(self, name: str) -> DeviceConfig:
        """The device of this name; UsageError if there is none."""
        for device in self.devices:
            if device.name == name:
                return device
        known = ", ".join(device.name for device in self.devices)
        raise UsageError(f"devices has no {name!r}: use one of {known}, or declare it in the config.")

    @property
    def bucket_of_runs(self) -> str | None:
        """Address of the state of the runs that are submitted, where that is neither a folder nor this machine's."""
        kfp = None if self.triggers is None else self.triggers.submit.kfp
        return kfp.home if kfp is not None and "://" in kfp.home else None

    def section_digest(self, *names: str) -> str:
        """Digest of the named sections: what a step's key holds of the config."""
        return digest_value({name: _plain(getattr(self, name)) for name in names})


def _check_robustness(config: Config) -> None:
    """ValueError for a corruption that such data cannot have, or a constraint on what is not tried."""
    fault = config.robustness.fault(config.data.kind)
    if fault is not None:
        raise ValueError(fault)
    if not config.robustness.enabled and any(c.metric == "robust_error" for c in config.constraints):
        raise ValueError(
            "constraints bounds robust_error, and robustness.enabled is false, so that nobody would know it: set it to "
            "true, or take the constraint away"
        )
    if not config.robustness.enabled and config.gate.conditions_margin is not None:
        raise ValueError(
            f"gate.conditions_margin is {config.gate.conditions_margin:g}, and robustness.enabled is false, so that "
            "each decision would hold: set it to true, or leave the margin out"
        )


def _check_for_signals(config: Config, signal: SignalConfig) -> None:
    """ValueError unless the augmentation and the space fit windows of such signals."""
    _no_texts(config)
    channels = len(signal.channels)
    for triple in config.supernet.augment.rotate:
        if len(triple) != 3 or not all(0 <= index < channels for index in triple):
            raise ValueError(
                f"supernet.augment.rotate has {triple}: give three channel indices from 0 to {channels - 1}"
            )
    for group in config.supernet.augment.flip:
        if not group or not all(0 <= index < channels for index in group):
            raise ValueError(
                f"supernet.augment.flip has {group}: give channel indices from 0 to {channels - 1} in each group"
            )
    for name, value in (
        ("supernet.augment.mirror", config.supernet.augment.mirror),
        ("space.resolutions", config.space.resolutions),
    ):
        if value:
            raise ValueError(f"{name} is {value}, and data.kind is signal: leave it out, it is for images")
    halvings = len(config.space.stage_widths) + 1
    if signal.length < 2**halvings:
        raise ValueError(
            f"data.signal.length is {signal.length}, shorter than the {2**halvings} that "
            f"{halvings} halvings need: use longer windows or fewer stages"
        )


def _check_for_images(config: Config, image: ImageConfig) -> None:
    """ValueError unless the augmentation and the space fit such images."""
    _no_texts(config)
    augment = config.supernet.augment
    for name, groups in (("rotate", augment.rotate), ("flip", augment.flip)):
        if groups:
            raise ValueError(f"supernet.augment.{name} is {groups}, and data.kind is image: leave it out")
    halvings = len(config.space.stage_widths) + 1
    too_large = [side for side in config.space.resolutions if side > image.height]
    if too_large:
        raise ValueError(f"space.resolutions has {too_large}, more than data.image.height, {image.height}: lower them")
    smallest = min([min(image.height, image.width), *config.space.resolutions])
    if smallest < 2**halvings:
        raise ValueError(
            f"images of {smallest} pixels are smaller than the {2**halvings} that {halvings} halvings need: use "
            "larger images or resolutions, or fewer stages"
        )


def _check_for_texts(config: Config, text: TextConfig) -> None:
    """ValueError unless the space fits such texts, and nothing is asked for that only numbers over time have."""
    augment = config.supernet.augment
    for name in ("rotate", "flip", "mixup", "cutmix", "mirror"):
        value = getattr(augment, name)
        if value:
            raise ValueError(f"supernet.augment.{name} is {value}, and data.kind is text: leave it out")
    lengths = [] if config.space.text is None else config.space.text.lengths
    too_long = [length for length in lengths if length > text.tokens]
    if too_long:
        raise ValueError(f"space.text.lengths has {too_long}, more than data.text.tokens, {text.tokens}: lower them")


def _no_texts(config: Config) -> None:
    """ValueError if something is asked for that only texts have."""
    for name, section in (("space", config.space.text), ("supernet.augment", config.supernet.augment.text)):
        if section is not None:
            raise ValueError(f"{name}.text is given, and data.kind is {config.data.kind}: leave it out")


def _check_placed(cluster: ClusterConfig, names: list[str]) -> None:
    """ValueError unless the section says of each device, and of no other, which nodes it is."""
    unknown = sorted(set(cluster.devices) - set(names))
    if unknown:
        raise ValueError(f"cluster.devices names {', '.join(unknown)}, which devices lacks: use {', '.join(names)}")
    lacking = [name for name in names if name not in cluster.devices]
    if lacking:
        raise ValueError(
            f"cluster.devices lacks {', '.join(lacking)}: say which nodes are this device, or it would be measured on "
            "any; write {} where any node will do"
        )


def _check_accelerated(cluster: ClusterConfig, supernet: SupernetConfig) -> None:
    """ValueError where training must have GPUs, and its pool asks for none, or for too few."""
    if supernet.device != "cuda":
        return
    if cluster.train.accelerator is None:
        raise ValueError(
            "supernet.device is cuda, and cluster.train names no accelerator: write nvidia.com/gpu there, or auto here"
        )
    if supernet.processes > cluster.train.accelerators:
        raise ValueError(
            f"supernet.processes is {supernet.processes}, each with a GPU of its own, and cluster.train.accelerators "
            f"is {cluster.train.accelerators}: make them equal"
        )


def _check_gpus(cluster: ClusterConfig, devices: list[DeviceConfig]) -> None:
    """ValueError where a device computes on a GPU, and its pods get none, or an image that cannot use it."""
    for device in devices:
        pool = cluster.devices[device.name]
        if device.runtime not in ON_GPU or device.recorded is not None:
            continue
        if pool.accelerator is None:
            raise ValueError(
                f"the runtime of the device {device.name} is {device.runtime}, and cluster.devices.{device.name} names "
                "no accelerator: write nvidia.com/gpu there"
            )
        if pool.accelerators > 1:
            raise ValueError(
                f"cluster.devices.{device.name}.accelerators is {pool.accelerators}, and a device computes on one GPU: "
                "leave it out"
            )
        if device.runtime == "onnxruntime-tensorrt" and pool.image is None:
            raise ValueError(
                f"the runtime of the device {device.name} is {device.runtime}, and no image of evernas holds TensorRT: "
                f"name one of yours in cluster.devices.{device.name}.image"
            )


def _unmeasured(config: Config, metrics: list[str], device: DeviceConfig) -> str | None:
    """A sentence if one of the metrics that a device is judged by is not measured often enough, or not at all."""
    benchmark, clients = config.benchmark, config.gate.clients
    judged = f"constraints, search.objectives or gate.objectives judge {device.name} by"
    if "cold_start_ms" in metrics and benchmark.cold_starts < 2:
        return (
            f"{judged} cold_start_ms, and benchmark.cold_starts is {benchmark.cold_starts}: time at least 2 starts, "
            "which a bound needs"
        )
    if "energy_mj" in metrics and benchmark.energy_windows < 2:
        return (
            f"{judged} energy_mj, and benchmark.energy_windows is {benchmark.energy_windows}: measure at least 2 "
            "windows, which a bound needs"
        )
    loaded = [metric for metric in UNDER_LOAD if metric in metrics]
    if loaded and benchmark.load_windows < 2:
        return (
            f"{judged} {loaded[0]}, and benchmark.load_windows is {benchmark.load_windows}: measure at least 2 "
            "windows, which a bound needs"
        )
    if loaded and (clients or 0) not in (0, *benchmark.load_clients):
        return (
            f"{judged} {loaded[0]} with {clients} clients (gate.clients), and benchmark.load_clients is "
            f"{benchmark.load_clients}: name one of them"
        )
    if loaded and not benchmark.load_clients:
        return f"{judged} {loaded[0]}, and benchmark.load_clients is empty: name the numbers of clients to try"
    if "cost_per_million" in metrics and device.price_per_hour is None:
        return f"{judged} cost_per_million, and devices.{device.name} has no price_per_hour: write what an hour costs"
    return None


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        # Where a step computes is no part of its key: a run that moves to other nodes is the same run.
        return value.model_dump(mode="json", exclude={"device"} if isinstance(value, SupernetConfig) else None)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def parse_config(document: Any, name: str = "config") -> Config:
    """A typed config from a parsed document. UsageError names each wrong key, its value and what would be right."""
    if not isinstance(document, dict):
        raise UsageError(f"{name} holds no mapping of keys: start from examples/watch/evernas.yaml.")
    try:
        return Config.model_validate(document)
    except ValidationError as error:
        raise UsageError(f"{name} is refused:\n" + "\n".join(_sentence(e) for e in error.errors())) from None


def parse_budget(document: Any) -> BudgetConfig:
    """The budget that a run's document holds; UsageError for one that this version does not know."""
    try:
        return BudgetConfig.model_validate(document)
    except ValidationError as error:
        raise UsageError("The run's budget is refused:\n" + "\n".join(_sentence(e) for e in error.errors())) from None


def document_of_run(config: Config) -> dict[str, Any]:
    """What a run is given of a config: all that it computes by, and what it may cost."""
    document = config.model_dump(mode="json")
    return document if config.budget is None else {**document, "budget": config.budget.model_dump(mode="json")}


def load_config(path: Path) -> Config:
    """Read and check a YAML config. Relative sources become absolute; UsageError says what to mend."""
    import yaml

    from evernas.config_yaml import read_yaml

    try:
        document = read_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"The config {path} cannot be read ({error.strerror}): give the path of a YAML file."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"The config {path} is not YAML: {error}") from None
    refuse_written(document, str(path))
    return parse_config(_rooted(document, path.absolute().parent), str(path))


def _rooted(document: Any, base: Path) -> Any:
    """The document with paths relative to the config file made absolute; wrong types are left to the parser."""
    if not isinstance(document, dict):
        return document
    rooted = dict(document)
    data = rooted.get("data")
    if isinstance(data, dict) and isinstance(data.get("source"), str):
        rooted["data"] = {**data, "source": _absolute(data["source"], base)}
    devices = rooted.get("devices")
    if isinstance(devices, list):
        rooted["devices"] = [
            {**device, "recorded": _absolute(device["recorded"], base)}
            if isinstance(device, dict) and isinstance(device.get("recorded"), str)
            else device
            for device in devices
        ]
    return rooted


def _absolute(path: str, base: Path) -> str:
    return path if path.startswith(("/", "~", "${")) or "://" in path else str(base / path)


def source_address(config: Config, home: Path) -> str:
    """The absolute path or s3:// address that data.source names; UsageError for a variable that is not set."""
    names = {**os.environ, "EVERNAS_HOME": str(home)}

    def expand(match: re.Match[str]) -> str:
        if match[1] not in names:
            raise UsageError(
                f"data.source is {config.data.source!r}, but the variable {match[1]} is not set: "
                "set it or write the path."
            )
        return names[match[1]]

    address = re.sub(r"\$\{(\w+)\}", expand, config.data.source)
    return address if "://" in address else str(Path(address).expanduser().absolute())


def _sentence(error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"] if part not in FORMS) or "(whole config)"
    if error["type"] == "extra_forbidden":
        return f"  {key}: this key is not known; `evernas schema` lists the known ones."
    if error["type"] == "missing":
        return f"  {key}: this key is missing; add it."
    message = error["msg"].removeprefix("Value error, ")
    if HIDDEN & {str(part) for part in error["loc"]}:
        # What stands where a secret's place belongs may be the secret.
        return f"  {key}: {message}."
    value = repr(error["input"])
    shown = f"{value[:80]}…" if len(value) > 80 else value
    return f"  {key} = {shown}: {message}." if error["loc"] else f"  {message}."
