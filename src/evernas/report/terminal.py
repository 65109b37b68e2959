"""The short table a run ends with in the terminal: champion before, candidates, verdict and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evernas.report.architectures import Role, by_importance, latency
from evernas.report.decision import spoken
from evernas.report.front import round_in_words
from evernas.report.markup import plain
from evernas.report.quantities import kilobytes, milliseconds, number, percent
from evernas.report.ranking import ranking_in_brief, ranking_of
from evernas.result import DeviceResult, Result

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text


def summary_table(result: Result) -> Group:
    """What to print with rich: a table and the verdict with its failing reasons for each device."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Table | Text] = []
    for device in result.devices if result.outcome != "nothing-new" else []:
        parts.append(_table(device))
        parts.append(_verdict(device))
    ranking = ranking_of(result.supernet)
    if parts and ranking is not None:
        parts.append(Text(f"{plain(ranking_in_brief(ranking))}\n", style="dim"))
    if not parts or result.outcome == "nothing-new":
        parts.append(Text(plain(result.reason)))
    return Group(*parts)


def _table(device: DeviceResult) -> Table:
    from rich.table import Table
    from rich.text import Text

    title = f"{device.device} ({device.runtime}, {device.threads} {'thread' if device.threads == 1 else 'threads'})"
    shown = Table(
        title=Text(plain(title)),
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    shown.add_column("")
    for name in ("architecture", "error", "median", "p95", "size"):
        shown.add_column(name, justify="left" if name == "architecture" else "right", no_wrap=True)
    for role in by_importance(device):
        shown.add_row(
            *(Text(plain(cell)) for cell in _row(role)), style="bold" if role.kind == "new champion" else None
        )
    return shown


def _row(role: Role) -> list[str]:
    return [
        role.title,
        role.architecture.id,
        percent(role.error),
        milliseconds(latency(role.measurement, "median_ms")),
        milliseconds(latency(role.measurement, "p95_ms")),
        kilobytes(role.values["size_kb"]),
    ]


def _verdict(device: DeviceResult) -> Text:
    from rich.text import Text

    won = device.verdict.get("outcome") == "promote"
    sentence = device.verdict.get("sentence") or "No verdict was recorded, so nothing was promoted."
    text = Text("promoted  " if won else "held  ", style="bold green" if won else "bold yellow")
    text.append(plain(spoken(sentence)), style="not bold default")
    reasons = [reason for reason in device.verdict.get("reasons") or [] if isinstance(reason, dict)]
    failed = [reason for reason in reasons if reason.get("passed") is not True]
    if len(failed) > 1:
        for reason in failed:
            text.append(f"\n  ✗ {plain(reason.get('sentence') or reason.get('rule'))}", style="not bold default")
    scope = str(device.verdict.get("scope") or "")
    if " only." in scope:
        # That the figures hold for others is what a reader takes for granted.
        text.append(f"\n  {plain(scope)}", style="not bold dim")
    detectable = number(device.verdict.get("detectable"))
    if not won and detectable is not None:
        text.append(
            f"\n  This decision would show a gain of {100 * detectable:.1f} points four times in five.",
            style="not bold dim",
        )
    between = round_in_words(device)
    if between is not None:
        text.append(f"\n  {plain(between)}", style="not bold dim")
    text.append("\n")
    return text
