"""A step that has no folder in common with the others: what it must be given, and what is kept while it works."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from evernas.config import Config
from evernas.errors import UsageError
from evernas.state import Guard, Home
from evernas.state.bucket_steps import BucketSteps
from evernas.state.keeping import EVERY_S, MEASURING_EVERY_S, Keeper, keeping
from evernas.state.ownership import claim
from evernas.state.sharing import share
from evernas.steps.context import Context
from evernas.steps.leased import LeasedGuard
from evernas.triggers.lease import Lease

MEASURING = ("profile", "probe", "benchmark", "recheck")


def owner_of(home: Home) -> Guard:
    """The ownership under which this process was started; of a scratch folder, its own. OwnershipError without one."""
    return Guard.from_environment(home) if home.bucket is None else claim(home, 0.0, print).guard


def guard_of(home: Home, owner: Guard, lease: Lease) -> Guard:
    """What a step asks before it writes to the folder; what it gives to a bucket asks for the lease anyhow."""
    return LeasedGuard(owner.home, owner.fence, lease) if home.bucket is None else owner


def check_given(home: Home, config: Config) -> None:
    """UsageError if steps that share no folder were not given what they would otherwise find in it."""
    if home.bucket is None:
        return
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        raise UsageError(
            "The state lies in a bucket, and MLFLOW_TRACKING_URI is not set: each step would tell an MLflow of its "
            "own, which goes with its scratch folder. Set it to the server's address on every step."
        )
    if not config.registry.verdict_keys:
        raise UsageError(
            "The state lies in a bucket, and registry.verdict_keys is empty: without a folder to keep a key in, nobody "
            "could tell a verdict. Make a key, give it to the gate alone, and name its public half there."
        )


@contextmanager
def kept(context: Context) -> Iterator[None]:
    """While the step works, keep what it has come to where another attempt finds it; at SIGTERM too, which ends it."""
    if context.home.bucket is None:
        yield
        return
    steps = context.store
    assert isinstance(steps, BucketSteps), "a bucket's steps are in it"
    keeper = Keeper(steps)

    def keep() -> None:
        keeper.keep()
        share(context.home, context.account.path)

    # An attempt that is killed counts.
    share(context.home, context.account.path)
    every_s = MEASURING_EVERY_S if context.step in MEASURING else EVERY_S
    with context.stopping.handled(), keeping(keep, every_s):
        yield
