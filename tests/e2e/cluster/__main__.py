"""evernas on a real cluster, from an empty namespace to a champion and back: `make e2e-cluster`.

What the place is, the environment says (settings.py); docs/cluster.md explains. Each step prints its seconds. What a
trial leaves behind when it is killed, the next one removes first.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(1, str(Path(__file__).parents[2] / "support"))

import checks
from cluster import kubectl
from probes import pods_like
from release import RUNS_NAMESPACE, Place, leftovers
from runs import runs
from settings import Names, Settings, settings


@contextmanager
def timed(what: str) -> Iterator[None]:
    began = time.monotonic()
    print(f"        {what} ...", flush=True)
    yield
    print(f"{time.monotonic() - began:5.0f} s {what}", flush=True)


def remove(given: Settings, names: Names) -> None:
    """Take away all that a trial has made, whatever of it there is."""
    runs(given.kfp_host, names.project, names.pipeline, RUNS_NAMESPACE).remove()
    place = Place(given, names)
    place.remove()
    assert place.left() == [], place.left()


def trial(given: Settings, names: Names) -> list[str]:
    """All assertions in turn; what is to be said besides."""
    place = Place(given, names)
    here = checks.Trial(place, runs(given.kfp_host, names.project, names.pipeline, RUNS_NAMESPACE))
    with timed("a namespace, a bucket, two databases, Secrets"):
        place.prepare()
    with timed("install the chart, with network policies"):
        place.install()
    with timed("helm test"):
        checks.release_answers(here)
    with timed("a promoter may start the template, and nothing else"):
        checks.promoters_start_the_template_and_nothing_else(here)
    with timed("the receiver makes the template, and nothing else"):
        checks.receiver_makes_the_template_and_nothing_else(here)
    with timed("the first batch and its event: a run, and a champion in MLflow"):
        checks.first_batch_makes_a_champion(here)
    with timed("each step's pod is restricted"):
        checks.every_steps_pod_is_restricted(here)
        checks.every_steps_root_is_read_only(here)
    with timed("a training pod reaches what is declared, and nothing else"):
        pods = pods_like(place, here.runs.pods(here.first["run"].run_id)[0])
        checks.training_pod_reaches_what_is_declared_and_nothing_else(here, pods)
    with timed("what a training pod and its token must not do"):
        checks.account_of_runs_has_four_rights(here)
        checks.training_pod_does_nothing_that_it_must_not(here, pods)
        pods.remove()
    with timed("the next batch, its training pod deleted in the middle: a warm start and a verdict"):
        checks.next_batch_survives_the_loss_of_its_training_pod(here)
    with timed("the same event again: no run"):
        checks.same_event_starts_no_run(here)
    with timed("upgrade, a nightly run with nothing new, rollback"):
        checks.upgrade_pins_the_new_pipeline_and_rollback_the_old(here)
    with timed("uninstall"):
        place.uninstall()
        checks.nothing_is_left(here)
    return here.said


def main() -> int:
    parser = argparse.ArgumentParser(prog="make e2e-cluster", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="leave what was made where a check fails, to look at")
    keep = parser.parse_args().keep
    lacking = [tool for tool in ("kubectl", "helm") if shutil.which(tool) is None]
    if lacking:
        print(f"{' and '.join(lacking)} must be on the PATH.", file=sys.stderr)
        return 2
    try:
        given = settings()
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    for names in leftovers():
        with timed(f"remove what the trial {names.number} left"):
            remove(given, names)
    names, began = Names.fresh(), time.monotonic()
    try:
        said = trial(given, names)
    except BaseException:
        print(kubectl("get", "pods", "-A", "-o", "wide"), file=sys.stderr)
        if not keep:
            remove(given, names)
        raise
    with timed("remove all that was made"):
        remove(given, names)
    print(*said, f"{time.monotonic() - began:.0f} s in all: every check passed.", sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
