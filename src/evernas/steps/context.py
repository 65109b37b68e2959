"""What every step is given: a setting to make its key from; and at work, proof of ownership and a way to be done."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evernas.config import (
    Config,
    ConstraintConfig,
    DeviceConfig,
    ImageConfig,
    SignalConfig,
    SpaceConfig,
    TextConfig,
    TextSpaceConfig,
)
from evernas.hardware.figures import Terms
from evernas.registry.journal import Journal
from evernas.registry.opening import open_journal
from evernas.spaces import ImageSpace, NetworkSpace, SignalSpace, TextSpace
from evernas.state import Done, Guard, Home, RunManifest, StepStore
from evernas.state.sharing import steps_of, storage_of
from evernas.steps.accounting import Account
from evernas.steps.allowance import Allowance
from evernas.steps.progress import Progress
from evernas.steps.stopping import Stopping
from evernas.steps.versions import VERSIONS
from evernas.storage import Storage

if TYPE_CHECKING:
    from evernas.registry.telling import Telling
    from evernas.registry.tracking import Tracked


@dataclass(frozen=True)
class Work:
    """What a step's work leaves: facts for later steps, names of output files, and a remark for the person."""

    facts: dict[str, Any]
    outputs: list[str]
    remark: str


@dataclass(frozen=True)
class Setting:
    """Where a step stands: the state folder, the pinned run, the device. With the steps before it, it makes its key."""

    home: Home
    manifest: RunManifest
    device_name: str | None

    @property
    def config(self) -> Config:
        return self.manifest.config

    @property
    def project(self) -> str:
        return self.config.project

    @property
    def device(self) -> DeviceConfig:
        """The device of this branch."""
        assert self.device_name is not None, "this step belongs to no device"
        return self.config.device(self.device_name)

    @property
    def constraints(self) -> list[ConstraintConfig]:
        """The constraints that hold on this branch's device."""
        return [c for c in self.config.constraints if c.device in (None, self.device.name)]

    @property
    def terms(self) -> Terms:
        """Under which terms load and money are judged on this branch's device."""
        return Terms(self.config.gate.clients, self.device.price_per_hour)

    @property
    def space(self) -> NetworkSpace:
        return space_of(self.config)

    @cached_property
    def journal(self) -> Journal:
        """The project's journal of champions, where the config says it lies."""
        return open_journal(self.home, self.config)

    @property
    def store(self) -> StepStore:
        return steps_of(self.home, self.project)

    @property
    def snapshots(self) -> Storage:
        """The storage of the project's snapshots."""
        return storage_of(self.home, self.home.snapshots(self.project))

    @property
    def run_folder(self) -> Path:
        return self.home.run(self.manifest.run)

    def ref(self, step: str, inputs: dict[str, Any]) -> str:
        """The reference of a step with these inputs."""
        return self.store.ref(step, VERSIONS[step], inputs)

    def find(self, step: str, inputs: dict[str, Any]) -> Done | None:
        """What this run re-uses for a step with these inputs; None if it has to be made."""
        return self.store.find_for(self.ref(step, inputs), self.manifest.run)


@dataclass(frozen=True)
class Context(Setting):
    """A step at work in a run."""

    guard: Guard
    account: Account
    progress: Progress
    step: str
    allowance: Allowance = field(default_factory=Allowance)
    stopping: Stopping = field(default_factory=Stopping)

    def tracked(self, ref: str = "") -> AbstractContextManager[Telling]:
        """What this step tells MLflow of; OwnershipError if the state folder is no longer ours."""
        from evernas.registry.telling import telling

        self.guard.check()
        return telling(self.home, self.project, self.manifest.run, self.step, self.device_name, ref)

    def opened(self) -> AbstractContextManager[Tracked]:
        """The nested MLflow run of this step itself, for what needs MLflow's answer; OwnershipError as above.

        Where the state lies in a bucket it is in an experiment apart: training must not change what a promotion leaves.
        """
        from evernas.registry.tracking import step_run

        self.guard.check()
        apart = self.home.bucket is not None
        return step_run(self.home, self.project, self.manifest.run, self.step, self.device_name, apart=apart)

    def perform(
        self, inputs: dict[str, Any], work: Callable[[Path], Work], log: Callable[[Done], None] | None = None
    ) -> Done:
        """Do the step unless it is done: its key is the digest of its name, version and inputs.

        `log` tells MLflow of it before the step counts as done, so that a kill in between tells it again, not never.
        """
        ref = self.ref(self.step, inputs)
        self.account.at(ref)
        done = self.find(self.step, inputs)
        if done is not None:
            self.progress.end(done.facts["remark"], reused=True)
            return done
        folder = self.store.renew(ref, self.manifest.run)
        result = work(folder)
        done = Done(ref, folder, {**result.facts, "remark": result.remark}, inputs, self.manifest.run)
        if log is not None:
            log(done)
        self.account.made(ref)
        self.account.save()
        done = self.store.finish(done, result.outputs, self.guard)
        self.progress.end(result.remark, reused=False)
        return done


def objectives_of(config: Config) -> list[str]:
    """What the gate compares: what was searched for, and what is only measured."""
    return list(dict.fromkeys([*config.search.objectives, *config.gate.objectives]))


def space_of(config: Config) -> NetworkSpace:
    """The search space of a config."""
    return space_for(config.data.sample, len(config.data.labels), config.space)


def space_for(sample: SignalConfig | ImageConfig | TextConfig, classes: int, config: SpaceConfig) -> NetworkSpace:
    """The search space of samples of this kind in so many classes."""
    if isinstance(sample, ImageConfig):
        return ImageSpace(*sample.shape, classes, config)
    if isinstance(sample, TextConfig):
        return TextSpace(sample, classes, config.text or TextSpaceConfig())
    return SignalSpace(*sample.shape, classes, config)
