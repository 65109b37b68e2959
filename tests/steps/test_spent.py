"""A run that its budget ended says so to the outbox, wherever it is killed."""

from __future__ import annotations

from typing import Any

import pytest

from evernas.budget import BudgetSpentError
from evernas.config import load_config
from evernas.state import Guard, Home, RunManifest
from evernas.state.notices import notices
from evernas.steps import spent
from evernas.steps.accounting import Account
from evernas.steps.context import Context
from evernas.steps.progress import Progress
from place import EXAMPLE

RUN = "20260101-000000-aaaaaa"


class _Killed(BaseException):
    """Stands for the end of the process."""


def _conclude(home: Home, guard: Guard) -> None:
    config, folder = load_config(EXAMPLE), home.run(RUN)
    manifest = RunManifest.open(home, RUN, config, str(home.path), {})
    account = Account(folder, "conclude", None, guard)
    try:
        progress = Progress(folder / "progress.jsonl", "conclude", None)
        context = Context(home, manifest, None, guard, account, progress, "conclude")
        spent.conclude(context, BudgetSpentError("The budget of 2026-01 is spent.", of_month=True))
    finally:
        account.close()


@pytest.mark.parametrize("point", ["render_report", "write_json", "note_end", "point_latest"])
def test_a_run_killed_while_its_end_is_published_has_said_once_that_the_budget_is_spent(
    home: Home, guard: Guard, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    def die(*arguments: Any) -> None:
        raise _Killed

    # An MLflow store takes seconds to make.
    monkeypatch.setattr(spent, "_tell", lambda *arguments: "")
    with monkeypatch.context() as patch:
        patch.setattr(
            "evernas.report.render_report" if point == "render_report" else f"evernas.steps.spent.{point}", die
        )
        with pytest.raises(_Killed):
            _conclude(home, guard)
    ended = (home.run(RUN) / "result.json").exists()
    assert ended == (point in ("note_end", "point_latest"))
    if not ended:
        _conclude(home, guard)
    (notice,) = notices(home, "watch").values()
    assert (notice.kind, notice.about) == ("budget.spent", {"run": RUN, "of_month": True})
