"""The config's `cluster` section: where the steps of a compiled pipeline run, and what they are given there.

None of it is part of what a run computes: a run that moves to other nodes is the same run.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from evernas.section import Section

Step = Literal[
    "ingest",
    "recheck",
    "conclude",
    "validate",
    "supernet",
    "profile",
    "search",
    "probe",
    "refine",
    "finalists",
    "benchmark",
    "handover",
    "ended",
]
STEPS: tuple[str, ...] = get_args(Step)
"""All steps of a run on a cluster, in the order in which they run."""
DECIDING = ("gate", "promote", "hold", "report")
"""The steps that follow: on a cluster in a Job apart from the run, elsewhere in the run itself."""
Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$")]
KubernetesName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class TolerationConfig(Section):
    """A taint that pods may run beside, as Kubernetes writes it."""

    key: str | None = Field(None, description="The taint's key; any, if not given.")
    operator: Literal["Equal", "Exists"] = Field("Equal", description="Whether the value counts.")
    value: str | None = Field(None, description="The taint's value, for Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="The taint's effect; any, if not given."
    )


class PoolConfig(Section):
    """Nodes that steps run on, and how much of one a step takes."""

    image: str | None = Field(
        None, description="Image of the steps; that of IMAGE_REPOSITORY and IMAGE_TAG if not given."
    )
    node_selector: dict[str, str] = Field(default={}, description="Labels of the nodes.")
    tolerations: list[TolerationConfig] = Field(default=[], description="Taints of the nodes.")
    cpu: Quantity | None = Field(None, description="Processors that a step asks for and gets at most, as 2 or 500m.")
    memory: Quantity | None = Field(None, description="Memory that a step asks for and gets at most, as 4Gi.")
    accelerator: str | None = Field(None, description="Resource name of the accelerator, as nvidia.com/gpu.")
    accelerators: int = Field(1, ge=1, le=16, description="How many accelerators, where one is named.")
    timeout_minutes: int = Field(120, ge=1, description="Minutes after which a step's pod is stopped.")


class SecretConfig(Section):
    """A Kubernetes Secret whose keys some steps are given as environment variables."""

    name: KubernetesName = Field(description="Name of the Secret, in the namespace of the runs.")
    keys: dict[str, Variable] = Field(min_length=1, description="The Secret's keys, each with its variable.")
    steps: list[Step] = Field(min_length=1, description="The steps that are given it, and no others.")


class ClusterConfig(Section):
    """Where a compiled pipeline runs."""

    root: str = Field(
        pattern=r"^s3://[^/]+/.+",
        description="Where KFP keeps what it passes between steps, as s3://bucket/prefix; its ConfigMap kfp-launcher "
        "says how that is reached.",
    )
    core: PoolConfig = Field(default_factory=PoolConfig, description="Nodes of all steps that are not named below.")
    train: PoolConfig = Field(
        default_factory=PoolConfig, description="Nodes of supernet, search, refine and finalists."
    )
    devices: dict[str, PoolConfig] = Field(
        default={},
        description="Nodes of profile, probe, benchmark and recheck by device: the device itself, nothing beside it.",
    )
    environment: dict[Variable, str] = Field(
        default={}, description="Environment variables of every step; nothing secret: they stand in the pipeline."
    )
    secrets: list[SecretConfig] = Field(default=[], description="Secrets, each for the steps that need it.")
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field(
        "IfNotPresent", description="When images are pulled."
    )
    pull_secrets: list[KubernetesName] = Field(default=[], description="Secrets of the image registry.")
    scratch_size: Quantity = Field("20Gi", description="Most that a step may keep in its scratch folder, /tmp.")
    deadline_hours: int = Field(24, ge=1, description="Hours after which a run is stopped.")
    ttl_hours: int = Field(24, ge=1, description="Hours that a run's pods are kept after its end.")

    @model_validator(mode="after")
    def _consistent(self) -> ClusterConfig:
        given = [(name, step) for secret in self.secrets for name in secret.keys.values() for step in secret.steps]
        twice = sorted({f"{name} of {step}" for name, step in given if given.count((name, step)) > 1})
        plain = sorted({name for name, _ in given} & set(self.environment))
        if twice or plain:
            raise ValueError(f"secrets sets {', '.join(twice or plain)} twice: give each variable of a step once")
        return self
