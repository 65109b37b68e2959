"""What the run cost, step by step, and what it took from earlier runs."""

from __future__ import annotations

from evernas.report.markup import Html, table, tag
from evernas.report.quantities import DASH, seconds
from evernas.result import Result


def _reuse(reused: int, steps: int, nothing_new: bool) -> str:
    if nothing_new or reused == steps:
        return "Nothing had to be computed: every result was there already."
    if not reused:
        return "Every step ran."
    return f"{reused} of {steps} steps {'was' if reused == 1 else 'were'} taken from an earlier run."


def cost_section(result: Result) -> Html:
    """A table of steps; a step that was re-used cost nothing."""
    reused = [step for step in result.steps if step.reused]
    said = (
        f"{seconds(result.seconds)} on the clock, {seconds(result.cpu_seconds)} of processor time. "
        + (_reuse(len(reused), len(result.steps), result.outcome == "nothing-new"))
        if result.steps
        else f"{seconds(result.seconds)} on the clock; nothing had to be computed."
    )
    if len(reused) == len(result.steps) or result.outcome == "nothing-new":
        return tag("p", said)
    longest = max(step.seconds for step in result.steps) or 1.0
    branches = any(step.device for step in result.steps)
    rows: list[list[object]] = []
    for step in result.steps:
        state = "re-used" if step.reused else "ran" if step.attempts <= 1 else f"ran, {step.attempts} attempts"
        bar = tag(
            "span", tag("i", style=f"width:{100 * step.seconds / longest:.1f}%"), class_="bar wide", aria_hidden="true"
        )
        clock = (
            tag("span", bar, tag("span", seconds(step.seconds), class_="value"), class_="barcell")
            if step.seconds
            else DASH
        )
        name = f"{step.step} ({step.device})" if branches and step.device else step.step
        rows.append([name, state, clock, seconds(step.cpu_seconds) if step.cpu_seconds else DASH])
    header: list[object] = ["Step", "State", "Seconds", "CPU-seconds"]
    return tag("div", tag("p", said), table("Cost of each step", header, rows, numeric={2, 3}))
