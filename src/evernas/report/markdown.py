"""Markdown as GitHub shows it: tables and text in which no name from the data can do anything; and a run as such."""

from __future__ import annotations

from collections.abc import Sequence

from evernas.report.architectures import by_importance, latency, promoted
from evernas.report.decision import spoken
from evernas.report.front import round_in_words
from evernas.report.markup import plain
from evernas.report.quantities import THIN, counted, kilobytes, milliseconds, percent, seconds
from evernas.report.ranking import ranking_in_words, ranking_of
from evernas.report.robustness import worst_in_words
from evernas.result import DeviceResult, Result

TEXT = str.maketrans({"|": "\\|", "\n": " ", "<": "&lt;", ">": "&gt;", "`": "'", "[": "\\[", "*": "\\*", "_": "\\_"})


def text(value: object) -> str:
    """A value as text in a line or a cell."""
    return plain(value).translate(TEXT).replace(THIN, " ")


def code(value: object) -> str:
    """A value in fixed width."""
    return "`" + plain(value).replace("`", "'").replace("|", "\\|").replace("\n", " ") + "`"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[int] = ()) -> str:
    """A table; `numeric` columns are set flush right."""
    rule = ["---:" if i in numeric else "---" for i in range(len(header))]
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, rule, *rows])


def run_summary(result: Result) -> str:
    """A run for a pull request or a job's summary: verdicts first, then networks, data and cost."""
    parts = [f"## {text(result.project)}: {result.outcome}"]
    if result.outcome == "nothing-new" or not result.devices:
        parts.append(text(result.reason))
    else:
        parts.extend(_device(device) for device in result.devices)
    ranking = ranking_of(result.supernet)
    if ranking is not None:
        parts.append(text(ranking_in_words(ranking)))
    data = result.snapshot
    if data is not None:
        new = counted(len(data.added) + len(data.changed), "new or changed object")
        parts.append(
            f"Data {code(data.id[:12])}: {new}, {data.rows_kept:,} of {data.rows_in:,} rows kept, "
            f"{data.rows_quarantined:,} in quarantine."
        )
    parts.append(
        f"Run {code(result.run)}: {text(seconds(result.seconds))} on the clock, "
        f"{text(seconds(result.cpu_seconds))} of processor time."
    )
    return "\n\n".join(parts) + "\n"


def _device(device: DeviceResult) -> str:
    won = promoted(device)
    sentence = device.verdict.get("sentence") or "No verdict was recorded, so nothing was promoted."
    rows = [
        [
            text(role.title),
            code(role.architecture.id),
            text(percent(role.error)),
            text(milliseconds(latency(role.measurement, "median_ms"))),
            text(milliseconds(latency(role.measurement, "p95_ms"))),
            text(kilobytes(role.values["size_kb"])),
        ]
        for role in by_importance(device)
    ]
    header = ["", "architecture", "error", "median", "p95", "size"]
    outcome = "**promoted**" if won else "**held**"
    told = [sentence for sentence in (worst_in_words(device), round_in_words(device)) if sentence is not None]
    after = "".join(f"\n\n{text(sentence)}" for sentence in told)
    return (
        f"### {text(device.device)}: {outcome}\n\n{text(spoken(sentence))}\n\n{table(header, rows, range(2, 6))}{after}"
    )
