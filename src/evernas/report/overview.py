"""The index over all runs as one page: what is in production, how it came there, what was decided and what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from evernas.report.history import history_section, last_decision
from evernas.report.markup import Html, items, join, table, tag
from evernas.report.page import OUTCOMES, document
from evernas.report.quantities import counted, moment, seconds, shortened
from evernas.result import Result


@dataclass(frozen=True)
class InProduction:
    """The head of a device's journal."""

    number: int
    bundle: str
    promoted_at: str
    run: str


@dataclass(frozen=True)
class ProjectRuns:
    """A project's ended runs, oldest first; who is in production; and where each run's report is, if it is there."""

    project: str
    runs: Sequence[Result]
    in_production: Mapping[str, InProduction | None]
    reports: Mapping[str, str] = field(default_factory=dict)
    unended: int = 0


def render_overview(projects: Sequence[ProjectRuns], unreadable: Mapping[str, str]) -> str:
    """The page as HTML that needs nothing else but links to the reports; `unreadable` says why a run is not shown."""
    runs = sum(len(project.runs) for project in projects)
    told = f"{counted(runs, 'run')} of {counted(len(projects), 'project')}"
    parts = [
        tag("header", tag("p", "evernas", class_="eyebrow"), tag("h1", f"All runs: {told}.")),
        tag("nav", *(tag("a", p.project, href=f"#project-{p.project}") for p in projects), aria_label="Projects"),
        *(_project(project) for project in projects),
    ]
    if unreadable:
        sentences = [f"{run}: {why}" for run, why in sorted(unreadable.items())]
        parts.append(tag("section", tag("h2", "Runs that cannot be read"), items(sentences), id="unreadable"))
    return document(f"{told} · evernas", join(*parts), skip="To the runs")


def _project(project: ProjectRuns) -> Html:
    clock = sum(run.seconds for run in project.runs)
    processor = sum(run.cpu_seconds for run in project.runs)
    decided = [run for run in project.runs if run.outcome in ("promoted", "held")]
    promoted = sum(run.outcome == "promoted" for run in decided)
    told = (
        f"{counted(len(project.runs), 'run')}: {promoted} promoted, {len(decided) - promoted} held, "
        f"{len(project.runs) - len(decided)} with nothing new. All together {seconds(clock)} on the clock and "
        f"{seconds(processor)} of processor time."
    )
    if project.unended:
        told += f" {counted(project.unended, 'run')} more {'has' if project.unended == 1 else 'have'} left no result."
    return tag(
        "section",
        tag("h2", project.project),
        tag("p", told),
        tag("h3", "In production"),
        _in_production(project),
        *(_device(name, project) for name in project.in_production),
        tag("h3", "Runs, newest first"),
        _runs(project),
        id=f"project-{project.project}",
    )


def _in_production(project: ProjectRuns) -> Html:
    rows: list[list[object]] = []
    for device, head in project.in_production.items():
        if head is None:
            rows.append([device, "no champion yet", "", "", ""])
            continue
        link = _link(head.run, project)
        rows.append([device, tag("code", shortened(head.bundle)), head.number, moment(head.promoted_at), link])
    header: list[object] = ["Device", "Champion", "Journal entry", "Promoted", "By run"]
    return table("The champion of each device, by the journal", header, rows, numeric={2})


def _device(name: str, project: ProjectRuns) -> Html | None:
    last = last_decision(name, project.runs)
    if last is None:
        return None
    result, device = last
    earlier = [run for run in project.runs if run.run != result.run]
    return join(tag("h3", f"How the champion on {name} moved"), history_section(device, result, earlier))


def _runs(project: ProjectRuns) -> Html:
    rows: list[list[object]] = []
    for run in reversed(project.runs):
        again = sum(step.reused for step in run.steps)
        rows.append(
            [
                _link(run.run, project),
                moment(run.started_at),
                OUTCOMES[run.outcome],
                run.reason,
                seconds(run.seconds),
                seconds(run.cpu_seconds),
                f"{again} of {len(run.steps)}",
            ]
        )
    header: list[object] = ["Run", "Started", "Outcome", "Why", "Clock", "Processor", "Steps re-used"]
    return table(f"All runs of {project.project}", header, rows, numeric={4, 5, 6})


def _link(run: str, project: ProjectRuns) -> Html | str:
    place = project.reports.get(run)
    return run if place is None else tag("a", run, href=place)
