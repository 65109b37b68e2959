"""What a person sees of the inbox with `evernas events`, and asks for anew."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import serving
from evernas.cli import app
from evernas.triggers import works
from evernas.triggers.database import Database
from evernas.triggers.events import Event
from evernas.triggers.inbox import Entry, keep
from evernas.triggers.rules import Match


class Inbox:
    """A project's inbox, and the command line on it."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.config = serving.write_config(folder / "evernas.yaml", serving.triggers_config())
        self.database = Database(f"sqlite:///{self.home / 'projects' / 'watch' / 'inbox.db'}")
        self.database.migrate()

    def keep(self, name: str, rule: str | None) -> None:
        match = Match(rule, "" if rule else "no rule matches")
        with self.database.write() as connection:
            keep(connection, "watch", [Entry("lake", Event(name, "1", "raw", name, "created"), match, 0.0)], True)

    def end(self, state: str, reason: str) -> None:
        """Let all that waits become one work, and that work end."""
        with self.database.write() as connection:
            works.gather(connection, "watch")
            waiting = works.find(connection, "watch", "waiting")
            assert waiting is not None
            works.seal(connection, "watch", waiting, "v1")
            sealed = works.find(connection, "watch", "sealed")
            assert sealed is not None
            works.begin(connection, "watch", sealed)
            works.finish(connection, "watch", sealed, state, reason)

    def say(self, command: str, *arguments: str, fails: bool = False) -> str:
        done = CliRunner().invoke(app, ["events", command, str(self.config), *arguments, "--home", str(self.home)])
        assert (done.exception is not None) == fails, done.output
        return done.output if not fails else str(done.exception)


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    made = Inbox(tmp_path)
    made.keep("good", "recordings")
    made.end("done", "")
    made.keep("bad", "recordings")
    made.end("dead", "the data was refused")
    made.keep("unmatched", None)
    yield made
    made.database.close()


def _ids(text: str) -> list[Any]:
    return [row["id"] for row in json.loads(text)]


def test_events_are_listed_newest_first_by_state_and_by_number(inbox: Inbox) -> None:
    assert _ids(inbox.say("list", "--json")) == ["unmatched", "bad", "good"]
    assert _ids(inbox.say("list", "--json", "--limit", "1")) == ["unmatched"]
    assert _ids(inbox.say("list", "--json", "--state", "dead")) == ["bad"]
    (line,) = inbox.say("list", "--state", "ignored").splitlines()
    assert "'lost' is none of new, gathered" in inbox.say("list", "--state", "lost", fails=True)
    assert line.endswith("ignored   lake raw unmatched created  no rule matches")


def test_event_is_shown_with_what_came_of_it(inbox: Inbox) -> None:
    shown = json.loads(inbox.say("show", "2"))
    assert (shown["id"], shown["state"], shown["work"]["reason"]) == ("bad", "dead", "the data was refused")
    assert [(one["number"], one["state"]) for one in shown["work"]["attempts"]] == [(1, "failed")]
    assert json.loads(inbox.say("show", "3"))["work"] is None
    assert "There is no event 77 of watch" in inbox.say("show", "77", fails=True)


def test_events_that_are_replayed_are_new_again_and_others_are_not(inbox: Inbox) -> None:
    assert inbox.say("replay", "--dead").strip() == "1 events are new again."
    assert _ids(inbox.say("list", "--json", "--state", "new")) == ["bad"]
    assert inbox.say("replay", "1").strip() == "1 events are new again."
    for numbers in (["3"], ["1"], ["77"]):
        assert "None of these events is done or dead" in inbox.say("replay", *numbers, fails=True)
    assert _ids(inbox.say("list", "--json", "--state", "new")) == ["bad", "good"]
    assert json.loads(inbox.say("show", "3"))["state"] == "ignored"
