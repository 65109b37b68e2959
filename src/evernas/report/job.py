"""What a decision says on GitHub: a job's summary in Markdown and its outputs; nothing is decided here."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evernas.report.markdown import code, table, text

WIDEST = 40


def decision_summary(device: str, verdict: Mapping[str, Any], bound: Mapping[str, Any], verified: str) -> str:
    """A section of the job summary: the verdict, its rules as a table and as a picture, and what it is bound to."""
    outcome = "promote" if verdict["outcome"] == "promote" else "hold"
    parts = [
        f"## {device}: {outcome}",
        text(verdict["sentence"]),
        text(verified),
        _rules(verdict["reasons"]),
        _picture(verdict["reasons"]),
        text(verdict["scope"]),
        table(["bound to", ""], [[name, code(value)] for name, value in bound.items()]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def hold_summary(device: str, sentence: str) -> str:
    """A section for a verdict that may not be spent."""
    return f"## {device}: hold\n\n{text(sentence)}\n"


def append_outputs(path: Path, values: Mapping[str, str]) -> None:
    """Append to the file that GITHUB_OUTPUT names; a value of several lines cannot forge another output."""
    with path.open("a", encoding="utf-8") as file:
        for name, value in values.items():
            delimiter = f"end-{secrets.token_hex(16)}"
            file.write(f"{name}<<{delimiter}\n{value}\n{delimiter}\n")


def append_summary(path: Path, text: str) -> None:
    """Append to the file that GITHUB_STEP_SUMMARY names."""
    with path.open("a", encoding="utf-8") as file:
        file.write(text + "\n")


def _rules(reasons: Sequence[Mapping[str, Any]]) -> str:
    rows = [["passed" if r["passed"] else "**failed**", r["rule"], text(r["sentence"])] for r in reasons]
    return table(["", "rule", "what was found"], rows)


def _picture(reasons: Sequence[Mapping[str, Any]]) -> str:
    """Each bound as a share of its limit: a bar above 1 breaks the rule. Limits of 0 and below are left out."""
    drawn = [r for r in reasons if r["bound"] is not None and r["limit"] is not None and r["limit"] > 0]
    if not drawn:
        return ""
    shares = [max(0.0, float(r["bound"]) / float(r["limit"])) for r in drawn]
    names = ", ".join('"' + str(r["rule"])[:WIDEST].replace('"', "'") + '"' for r in drawn)
    top = max(1.2, *(1.05 * share for share in shares))
    return (
        "```mermaid\nxychart-beta\n"
        '    title "Bound as a share of its limit (1 is the limit)"\n'
        f"    x-axis [{names}]\n"
        f'    y-axis "share" 0 --> {top:.2f}\n'
        f"    bar [{', '.join(f'{share:.3f}' for share in shares)}]\n"
        f"    line [{', '.join('1' for _ in shares)}]\n```"
    )
