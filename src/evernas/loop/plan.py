"""Foreseeing a run: what is new, which steps are done, how much is searched, what it should cost; nothing is done."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from evernas.config import Config, source_folder
from evernas.data import open_snapshot, pending
from evernas.result import Result
from evernas.state import Home, StepStore
from evernas.state.files import read_json
from evernas.state.runs import Head, completed_runs, unfinished_run
from evernas.steps.context import space_of

if TYPE_CHECKING:
    from rich.console import Console

SHARED = ("ingest", "validate", "supernet")
PER_DEVICE = ("profile", "search", "finalists", "benchmark", "gate")


@dataclass(frozen=True)
class PlannedStep:
    """One step: whether an earlier result will be taken, why it will run otherwise, and what it cost last time."""

    step: str
    device: str | None
    state: str
    seconds: float | None


@dataclass(frozen=True)
class Plan:
    """What a run would do. Seconds are those of the last run in which the step worked; None where none did."""

    run: str | None
    new: list[str]
    space_size: str
    evaluations: int
    steps: list[PlannedStep]

    @property
    def seconds(self) -> float | None:
        """Estimated seconds of the steps that will run; None if nothing is known of one of them."""
        todo = [step.seconds for step in self.steps if step.state != "done"]
        return None if any(s is None for s in todo) else sum(s for s in todo if s is not None)

    def to_json(self) -> dict[str, Any]:
        """A plain document."""
        return {**asdict(self), "seconds": self.seconds}


def plan_of(config: Config, home: Home) -> Plan:
    """What `evernas run` would do now. A step's key needs the results before it: behind new work, all steps run."""
    head = Head.read(home, config.project)
    source = source_folder(config, home.path)
    snapshots = home.snapshots(config.project)
    snapshot = None if head is None else open_snapshot(snapshots, head.snapshot)
    new = pending(source, snapshot)
    unfinished = unfinished_run(home, config)
    states = _states(config, home, unfinished, new, head)
    cost = _last_cost(home, config.project)
    steps = [
        PlannedStep(step, device, states(step, device), cost.get((step, device))) for step, device in _names(config)
    ]
    baseline = 2 if config.search.random_baseline else 1
    return Plan(
        unfinished, new, str(space_of(config).size()), config.search.evaluations * baseline * len(config.devices), steps
    )


def _names(config: Config) -> list[tuple[str, str | None]]:
    return [*((step, None) for step in SHARED), *((step, d.name) for d in config.devices for step in PER_DEVICE)]


def _states(config: Config, home: Home, unfinished: str | None, new: list[str], head: Head | None) -> Any:
    """How to tell the state of a step."""
    store = StepStore(home.steps(config.project))
    reached = _accounts(home, unfinished)
    last = None if head is None else read_json(home.run(head.run) / "run.json")["config"]
    same = last is not None and last == config.model_dump(mode="json")

    def state(step: str, device: str | None) -> str:
        if not new and same:
            return "done"
        ref = reached.get((step, device))
        if ref and "/" in ref and store.find(ref) is not None:
            return "done"
        if unfinished and (step, device) in reached:
            return "goes on"
        if step == "profile" and device is not None and _profiled(config, home, head, device, last):
            return "done"
        return "runs"

    return state


def _accounts(home: Home, run: str | None) -> dict[tuple[str, str | None], str]:
    if run is None:
        return {}
    records = [read_json(path) for path in sorted((home.run(run) / "steps").glob("*.json"))]
    return {(record["step"], record["device"]): record["ref"] for record in records}


def _profiled(config: Config, home: Home, head: Head | None, device: str, last: Any) -> bool:
    """Whether the last run profiled this very device for this very space."""
    if head is None or last is None:
        return False
    now = config.model_dump(mode="json")
    described = [d for d in last["devices"] if d["name"] == device]
    same = described == [d for d in now["devices"] if d["name"] == device]
    return bool(same and described and last["space"] == now["space"] and last["profile"] == now["profile"])


def _last_cost(home: Home, project: str) -> dict[tuple[str, str | None], float]:
    found: dict[tuple[str, str | None], float] = {}
    for run in completed_runs(home, project):
        for step in Result.model_validate(read_json(home.run(run) / "result.json")).steps:
            if not step.reused:
                found[step.step, step.device] = step.seconds
    return found


def print_plan(plan: Plan, console: Console) -> None:
    """The plan for a person."""
    from rich.table import Table

    console.print(f"New data: {', '.join(plan.new)}" if plan.new else "New data: none", highlight=False)
    if plan.run is not None:
        console.print(f"Run {plan.run} was stopped and will go on.", highlight=False)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name, side in (("step", "left"), ("device", "left"), ("", "left"), ("seconds", "right")):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    for step in plan.steps:
        seconds = "unknown" if step.seconds is None else f"{step.seconds:.0f}"
        table.add_row(
            step.step,
            step.device or "",
            step.state,
            "" if step.state == "done" else seconds,
            style="dim" if step.state == "done" else None,
        )
    console.print(table)
    working = [step for step in plan.steps if step.state != "done"]
    if not working:
        console.print("Nothing to do: the same data and config as the last run.", highlight=False)
        return
    if any(step.step == "search" for step in working):
        console.print(
            f"Search: {plan.evaluations} evaluations in a space of {int(plan.space_size):,} architectures.",
            highlight=False,
        )
    known = plan.seconds
    console.print(
        "Estimated time: "
        + (
            f"{known:.0f} s, as in the last run."
            if known is not None
            else "unknown until each step has run once on this machine."
        ),
        highlight=False,
    )
