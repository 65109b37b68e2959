"""Foreseeing a run: what is new, which steps are done, how much is searched, what it should cost; nothing is done."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from evernas.budget import Spent
from evernas.config import Config, source_address
from evernas.data import open_snapshot, open_source, pending
from evernas.hardware.probing import ANCHORS
from evernas.loop.foresight import reusable
from evernas.loop.outlook import Outlook, outlook_of
from evernas.loop.pricing import Priced, Training, Way, priced, training_in
from evernas.registry.opening import open_journal
from evernas.result import Result, StepRecord
from evernas.state import Home, RunManifest, StepStore
from evernas.state.files import read_json
from evernas.state.ownership import owned
from evernas.state.runs import Head, completed_runs, now, unfinished_run
from evernas.state.sharing import releases_of
from evernas.steps.context import Setting, space_of
from evernas.steps.drift import record_of
from evernas.steps.forgotten import forgotten_of, is_pending, refuse_naming
from evernas.steps.freshness import stale_by_now
from evernas.steps.ingest import run_key
from evernas.steps.ledger import next_claim, people_read
from evernas.steps.recheck import is_due
from evernas.triggers.lease import leases_of

if TYPE_CHECKING:
    from rich.console import Console

SHARED = ("ingest", "validate", "supernet")
COLD_START_S = 0.4
PER_DEVICE = ("profile", "search", "probe", "refine", "finalists", "benchmark", "gate")
# Of a search of one round there are none of these.
OF_SECOND_ROUND = ("probe", "refine")
# States of steps that cost next to nothing: the run has nothing to do at all, or takes an earlier result.
SPARED = ("done", "re-used")


@dataclass(frozen=True)
class PlannedStep:
    """One step: `done`, `re-used`, `goes on` or `runs`, and what it should cost; `rough` if it never ran here.

    `cost` is None where it never ran here.
    """

    step: str
    device: str | None
    state: str
    seconds: float
    rough: bool
    cost: Spent | None = None


@dataclass(frozen=True)
class Plan:
    """What a run would do. Seconds are those of the last run in which a step worked, rough ones where none did.

    `recheck` names the devices whose champion is measured again where there is nothing else to do; `stale` says why
    the data is then refused, a sentence each.
    `drift` says how it decides how much is done, or has decided. `erasure` says what of it is done because something
    was erased.
    `strata` says what of production the gate split covered in the last run, a sentence for each kind.
    `scope` says whom the gate speaks of where that is nobody but those who were trained on.
    `working` says that `run` was not stopped, but is at work; the plan is then of what it still has to do.
    `training` says whether the supernet's training begins from nothing, and by which one it is estimated.
    `further` is how many more architectures a second round evaluates at most.
    `decision`, `level` and `decisions_left` are of the next decision on the gate split; each device takes one.
    """

    run: str | None
    new: list[str]
    space_size: str
    evaluations: int
    steps: list[PlannedStep]
    decision: int
    decisions_left: int
    level: float
    recheck: list[str]
    budget: Outlook | None = None
    erasure: str | None = None
    drift: str | None = None
    stale: list[str] = field(default_factory=list)
    scope: str | None = None
    working: bool = False
    strata: list[str] = field(default_factory=list)
    further: int = 0
    training: str | None = None

    @property
    def seconds(self) -> float:
        """Estimated seconds of the steps that will run."""
        return round(sum(step.seconds for step in self.steps if step.state not in SPARED), 1)

    def to_json(self) -> dict[str, Any]:
        """A plain document."""
        return {**asdict(self), "seconds": self.seconds}


def plan_of(config: Config, home: Home) -> Plan:
    """What `evernas run` would do now. UsageError for a config that names a domain which was erased, as it says too."""
    refuse_naming(home, config)
    head = Head.read(home, config.project)
    snapshots = home.snapshots(config.project)
    source = open_source(source_address(config, home.path), snapshots)
    snapshot = None if head is None else open_snapshot(snapshots, head.snapshot)
    new = pending(source, snapshot, forgotten_of(home, config.project))
    unfinished = unfinished_run(home, config)
    states = _states(config, home, unfinished, new, head)
    (known, trainings), rough = _last_cost(home, config.project), rough_seconds(config)
    steps = [_planned(step, device, states(step, device), known, rough[step]) for step, device in _names(config)]
    training = None
    if any(step.step == "supernet" and step.state not in SPARED for step in steps):
        training = priced(Setting(home, _manifest(config, home, unfinished, head), None), trainings)
        steps = [_trained(step, training) if step.step == "supernet" else step for step in steps]
    baseline = 2 if config.search.random_baseline else 1
    evaluations = config.search.evaluations * baseline
    idle = all(step.state == "done" for step in steps)
    judge = next_claim(home, config.project, _judges(config, home), config.gate.alpha, config.gate.decisions)
    return Plan(
        unfinished,
        new,
        str(space_of(config).size()),
        evaluations * len(config.devices),
        steps,
        judge.decision,
        judge.left,
        judge.level,
        _recheck(config, home, head) if idle else [],
        outlook_of(config, home, _estimate(steps, evaluations)),
        _erasure(config, home, head),
        _drift(config, home, unfinished, bool(new) and head is not None),
        stale_by_now(Setting(home, _manifest(config, home, None, head), None), snapshot) if idle and snapshot else [],
        _scope(config),
        unfinished is not None and _at_work(config, home, unfinished),
        _strata(config, home, head),
        config.search.evaluations // 2 * baseline * _probed(config),
        None if training is None else training.sentence,
    )


def _probed(config: Config) -> int:
    """Devices that may need a second round of their search."""
    return sum(device.recorded is None for device in config.devices) if config.search.rounds > 1 else 0


def _at_work(config: Config, home: Home, run: str) -> bool:
    if not owned(home):
        return False
    claim = leases_of(home, config.project).current()
    return claim is not None and claim.holder == run and not claim.released


def _scope(config: Config) -> str | None:
    noun = config.data.domain_noun
    if not config.data.splits.by_recording:
        return None
    return f"Recordings are split within all {noun}: what the gate shows holds for these {noun} only."


def _strata(config: Config, home: Home, head: Head | None) -> list[str]:
    validated = None
    if head is not None and head.validated is not None:
        validated = StepStore(home.steps(config.project)).find(head.validated)
    known = {} if validated is None else validated.facts.get("strata", {})
    return [known[kind]["sentence"] for kind in config.data.strata or {} if kind in known]


def _judges(config: Config, home: Home) -> list[str]:
    """Whom the next decision reads, as far as that is known beforehand: by recording, everybody that was ever read."""
    splits = config.data.splits
    return people_read(home, config.project) if splits.by_recording else sorted(splits.gate_domains)


def _planned(
    step: str, device: str | None, state: str, known: dict[tuple[str, str | None], StepRecord], rough: float
) -> PlannedStep:
    last = known.get((step, device))
    if last is None:
        return PlannedStep(step, device, state, rough, True)
    cost = Spent(last.evaluations, last.cpu_seconds, last.gpu_seconds)
    return PlannedStep(step, device, state, last.seconds, False, cost)


def _trained(step: PlannedStep, training: Priced) -> PlannedStep:
    """The supernet's step at the price of a training of the same way, where one is known."""
    if training.by is None:
        return step
    seen, factor = training.by.cost, training.factor
    cost = Spent(seen.evaluations, seen.cpu_seconds * factor, seen.gpu_seconds * factor)
    return replace(step, seconds=round(seen.seconds * factor, 3), rough=factor != 1, cost=cost)


def _estimate(steps: list[PlannedStep], evaluations: int) -> Spent:
    """What the steps that will run should cost: as the last time, and where there was none, one processor's time."""
    total = Spent()
    for step in steps:
        if step.state not in SPARED:
            seen = step.cost or Spent(0, step.seconds, 0.0)
            # A second round may not be needed: it counts as the last one did.
            searched = {"search": evaluations, "refine": seen.evaluations}.get(step.step, 0)
            total += Spent(searched, seen.cpu_seconds, seen.gpu_seconds)
    return total


def _drift(config: Config, home: Home, unfinished: str | None, is_new: bool) -> str | None:
    """What drift has decided of a run that was stopped, or by what policy it will."""
    if config.drift is None or not config.drift.decides:
        return None
    decided = None if unfinished is None else record_of(Setting(home, RunManifest.read(home, unfinished), None))
    if decided is not None:
        return str(decided["reason"])
    from evernas.validation.policy import explained

    return explained(config.drift) if is_new else None


def _erasure(config: Config, home: Home, head: Head | None) -> str | None:
    """What the next run does otherwise because something was erased."""
    if is_pending(home, config.project):
        return "An erasure was stopped; the run completes it first."
    supernet = None if head is None else StepStore(home.steps(config.project)).find(head.supernet)
    if supernet is None or "erasures" not in supernet.inputs:
        return None
    start = "trains cold" if not supernet.inputs["space"] else "trains from an earlier supernet that never saw it"
    return f"What the last supernet was trained on was erased (erasure {supernet.inputs['erasures']}): the run {start}."


def _recheck(config: Config, home: Home, head: Head | None) -> list[str]:
    """The devices whose champion has not been measured for long."""
    run = Setting(home, _manifest(config, home, None, head), None)
    return [device.name for device in config.devices if is_due(replace(run, device_name=device.name))]


def _names(config: Config) -> list[tuple[str, str | None]]:
    branch = [step for step in PER_DEVICE if config.search.rounds > 1 or step not in OF_SECOND_ROUND]
    return [*((step, None) for step in SHARED), *((step, d.name) for d in config.devices for step in branch)]


def _states(config: Config, home: Home, unfinished: str | None, new: list[str], head: Head | None) -> Any:
    """How to tell the state of a step."""
    known = releases_of(home, config.project).count()
    same = head is not None and run_key(config, head.snapshot, _heads(config, home), known) == head.key
    nothing_to_do = unfinished is None and not new and same
    begun = _begun(home, unfinished)
    reused = set() if nothing_to_do else reusable(Setting(home, _manifest(config, home, unfinished, head), None))

    def state(step: str, device: str | None) -> str:
        if nothing_to_do:
            return "done"
        if (step, device) in reused:
            return "re-used"
        return "goes on" if (step, device) in begun else "runs"

    return state


def _heads(config: Config, home: Home) -> dict[str, int]:
    return open_journal(home, config).heads(device.name for device in config.devices)


def _manifest(config: Config, home: Home, unfinished: str | None, head: Head | None) -> RunManifest:
    """What the run has pinned that will go on, else what a run that is opened now would pin."""
    if unfinished is not None:
        return RunManifest.read(home, unfinished)
    return RunManifest(
        run="",
        config=config,
        source=source_address(config, home.path),
        started_at=now(),
        head=head,
        journal=_heads(config, home),
        config_digest="",
    )


def _begun(home: Home, run: str | None) -> set[tuple[str, str | None]]:
    """The steps that a stopped run had begun."""
    if run is None:
        return set()
    records = [read_json(path) for path in sorted((home.run(run) / "steps").glob("*.json"))]
    return {(record["step"], record["device"]) for record in records}


def rough_seconds(config: Config) -> dict[str, float]:
    """Seconds of each step where it never ran, as one core of a server of 2021 took them; larger networks take more."""
    training, search, finalists, benchmark = config.supernet, config.search, config.finalists, config.benchmark
    timing = benchmark.restarts * (benchmark.seconds + benchmark.warmup_seconds)
    starting = COLD_START_S * benchmark.cold_starts
    loading = len(benchmark.load_clients) * benchmark.load_windows * benchmark.load_seconds
    of_size = max(1.0, space_of(config).macs(space_of(config).largest()) / 1e6)
    passes = training.steps * (2 + training.random_subnets) * training.batch / 64
    evaluations = search.evaluations * (2 if search.random_baseline else 1)
    return {
        "ingest": 5.0,
        "validate": 8.0,
        "supernet": 4 + 0.019 * of_size * passes,
        "profile": 4 + config.profile.seconds,
        "search": 4 + 0.08 * of_size * evaluations,
        "probe": 4 + config.profile.seconds * (search.probes + ANCHORS) / config.profile.subnets,
        "refine": 4.0,
        "finalists": 4 + 0.03 * of_size * finalists.count * finalists.steps * finalists.batch / 64,
        "benchmark": 4 + (finalists.count + 2) * (timing + starting + loading),
        "gate": 4.0,
    }


def _last_cost(home: Home, project: str) -> tuple[dict[tuple[str, str | None], StepRecord], dict[Way, Training]]:
    """The last record of each step that worked to its end, and the last training of each way."""
    found: dict[tuple[str, str | None], StepRecord] = {}
    trainings: dict[Way, Training] = {}
    last: str | None = None
    for run in completed_runs(home, project):
        result = Result.model_validate(read_json(home.run(run) / "result.json"))
        for step in result.steps:
            if not step.reused and result.outcome != "stopped":
                found[step.step, step.device] = step
        training = training_in(result, last)
        if training is not None:
            trainings[training.way] = training
        last = last if result.supernet is None else result.supernet.digest
    return found, trainings


def print_plan(plan: Plan, console: Console) -> None:
    """The plan for a person."""
    from rich.table import Table

    console.print(f"New data: {', '.join(plan.new)}" if plan.new else "New data: none", highlight=False)
    if plan.run is not None:
        stands = "is at work; this is what it has yet to do." if plan.working else "was stopped and will go on."
        console.print(f"Run {plan.run} {stands}", highlight=False)
    if plan.drift is not None:
        console.print(plan.drift, highlight=False)
    if plan.erasure is not None:
        console.print(plan.erasure, highlight=False)
    if plan.training is not None:
        console.print(plan.training, highlight=False)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name, side in (("step", "left"), ("device", "left"), ("", "left"), ("seconds", "right")):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    for step in plan.steps:
        seconds = ("about " if step.rough else "") + f"{step.seconds:.0f}"
        table.add_row(
            step.step,
            step.device or "",
            step.state,
            "" if step.state in SPARED else seconds,
            style="dim" if step.state in SPARED else None,
        )
    console.print(table)
    working = [step for step in plan.steps if step.state not in SPARED]
    if all(step.state == "done" for step in plan.steps):
        console.print("Nothing to do: the same data and config as the last run.", highlight=False)
        if plan.recheck:
            again = ", ".join(plan.recheck)
            console.print(f"The champion was measured long ago and is measured again: {again}.", highlight=False)
        for reason in plan.stale:
            console.print(f"The run will refuse the data: {reason}", highlight=False)
        return
    if any(step.step == "search" for step in working):
        console.print(
            f"Search: {plan.evaluations} evaluations in a space of {int(plan.space_size):,} architectures"
            + (f", and up to {plan.further} more where measurements leave the band." if plan.further else "."),
            highlight=False,
        )
    if plan.level > 0:
        console.print(
            f"Gate: decision {plan.decision} on these gate domains, at level {plan.level:.2g}; "
            f"{plan.decisions_left} are left after it.",
            highlight=False,
        )
    else:
        console.print("Gate: the budget of these gate domains is spent; every decision on them holds.", highlight=False)
    if plan.scope is not None:
        console.print(plan.scope, highlight=False)
    for sentence in plan.strata:
        console.print(f"In the last run: {sentence}", highlight=False)
    if plan.budget is not None:
        for line in plan.budget.lines():
            console.print(line, highlight=False)
    rough = any(step.rough for step in working)
    told = "roughly; it is known once each step has run here" if rough else "as in the last run"
    console.print(f"Estimated time: {plan.seconds:.0f} s, {told}.", highlight=False)
