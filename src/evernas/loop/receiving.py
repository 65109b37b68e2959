"""What a receiver does beside receiving: it starts no run for a project whose month is spent, and sends its events."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from evernas.budget import CostBook, month_of
from evernas.config import Config
from evernas.config_budget import BudgetConfig
from evernas.outbox.sending import Sender, counts, database_of
from evernas.registry.opening import open_journal
from evernas.state import Home
from evernas.state.opening import seen_from
from evernas.steps.allowance import book_of, month_spent
from evernas.triggers.config_file import ConfigFile
from evernas.triggers.metrics import Metrics
from evernas.triggers.service import Aside

# Each look at a bucket is paid for.
SEND_EVERY_S, SEND_EVERY_FROM_BUCKET_S = 2.0, 15.0


def home_of_runs(config: Config, home: Home) -> Home:
    """The state of the runs that a receiver submits: a bucket's where the config says so, else the one here."""
    triggers = config.triggers
    kfp = None if triggers is None else triggers.submit.kfp
    return home if kfp is None or "://" not in kfp.home else seen_from(home, kfp.home)


def aside_of(config: Config, path: Path, home: Home) -> Aside:
    """What a project's receiver is given beside its config."""
    if config.outbox is None or not config.outbox.sinks:
        return Aside(held_up(config, path, home))
    far = home_of_runs(config, home).bucket is not None or (config.registry.journal or "").startswith("s3://")
    every_s = SEND_EVERY_FROM_BUCKET_S if far else SEND_EVERY_S
    return Aside(held_up(config, path, home), {"outbox": (every_s, _sender(config, home))})


def _sender(config: Config, home: Home) -> Callable[[Metrics], object]:
    """Sends what has happened, and counts it."""
    database, place = database_of(config, home), home_of_runs(config, home)
    sender = Sender(config, database, place, open_journal(place, config))

    def send(metrics: Metrics) -> None:
        sender.look()
        metrics.outbox(counts(database, config.project))

    return send


def held_up(config: Config, path: Path, home: Home) -> Callable[[], str | None]:
    """Says why no run may start now, by the budget that the config's file has then."""
    file = ConfigFile(path.absolute(), config)
    month = _Month(book_of(home_of_runs(config, home), config.project))
    return lambda: month.held_up(file.newest().budget)


class _Month:
    """Why no run may start. What is spent stays spent: it is not asked again until the month or the budget changes."""

    def __init__(self, book: CostBook) -> None:
        self._book = book
        self._of: tuple[str, BudgetConfig | None] | None = None
        self._why: str | None = None

    def held_up(self, budget: BudgetConfig | None) -> str | None:
        of = (month_of(datetime.now(UTC)), budget)
        if self._why is None or of != self._of:
            self._of, self._why = of, month_spent(budget, self._book)
        return self._why
