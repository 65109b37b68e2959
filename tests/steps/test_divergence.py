"""A warm start that diverges is followed by a cold one in the same run, whenever the run was killed meanwhile."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from evernas.config import Config
from evernas.report.training import start_in_words
from evernas.result import SupernetRecord
from evernas.state import Done, Home
from evernas.steps.forgetting import gave_up_warm
from evernas.steps.summary import _supernet as said_in_markdown
from evernas.supernet import training
from small_lineage import config, give, home, train

__all__ = ["config", "home"]

WARM, COLD = 6, 4


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def diverging(monkeypatch: pytest.MonkeyPatch, ways: set[str], after: int) -> list[str]:
    """Let trainings of these ways come to no number after so many steps; the list grows by the way of each step."""
    real_train, real_step, taken = training._train, training._sandwich_step, list[str]()
    way = [""]

    def told(task: training.Task, watching: Any) -> Any:
        way[0] = "cold" if task.parent is None else "warm"
        return real_train(task, watching)

    def step(*arguments: Any) -> Any:
        loss = real_step(*arguments)
        taken.append(way[0])
        return loss * float("nan") if way[0] in ways and arguments[-1] >= after else loss

    monkeypatch.setattr(training, "_train", told)
    monkeypatch.setattr(training, "_sandwich_step", step)
    return taken


@pytest.fixture
def brief(config: Config) -> Config:
    """A checkpoint every two steps."""
    steps = {"steps": COLD, "warm_steps": WARM, "checkpoint_every": 2}
    return config.model_copy(update={"supernet": config.supernet.model_copy(update=steps)})


@pytest.fixture
def parent(home: Home, brief: Config) -> Done:
    """A supernet, and data that is new since."""
    for domain, seeds in {"g": [1, 2], "s": [3, 4], "t": [5, 6, 7]}.items():
        give(brief, domain, seeds)
    _, first = train(home, brief, "run-1")
    give(brief, "t", [5, 6, 7, 8])
    return first


def test_the_same_run_trains_cold_and_says_so(
    home: Home, brief: Config, parent: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = diverging(monkeypatch, {"warm"}, after=3)
    _, done = train(home, brief, "run-2")
    # To the checkpoint, three times back to it, and the cold ones.
    assert taken == ["warm"] * (4 + 3 * 2) + ["cold"] * COLD
    facts = done.facts
    assert facts["diverged"] == {"step": 4, "steps": WARM, "learning_rate": brief.supernet.learning_rate / 8}
    assert (facts["parent"], facts["warm_starts"], facts["carried"]) == (None, 0, None)
    assert facts["steps"] == COLD
    assert done.inputs["parent"] == parent.ref, "it is what was tried"
    assert gave_up_warm(facts) == "diverged"
    assert not facts["lost"]["fell_back"], "the cold one is compared with what it replaces"
    said = "diverged at step 4 of 6, also at a learning rate of "
    assert facts["remark"].startswith(f"cold start (a warm one {said}")
    assert f"From the last weights it {said}" in "\n".join(said_in_markdown(done))
    names = ("digest", "parent", "steps", "curve", "warm_starts", "carried", "lost", "diverged")
    record = SupernetRecord(**{name: facts[name] for name in names}, space="s", space_size="1")
    words = start_in_words(record)
    assert words.startswith(f"started cold. A warm start {said}")
    assert "Against the last supernet" in words


def test_the_weights_are_those_of_a_cold_start(
    home: Home, brief: Config, parent: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    diverging(monkeypatch, {"warm"}, after=0)
    _, fallen = train(home, brief, "run-2")
    always = brief.supernet.warm_start.model_copy(update={"cold_every": 1})
    due = brief.model_copy(update={"supernet": brief.supernet.model_copy(update={"warm_start": always})})
    _, cold = train(home, due, "run-3")
    assert cold.ref != fallen.ref
    assert (cold.inputs["parent"], cold.facts["diverged"]) == (None, None)
    assert cold.facts["digest"] == fallen.facts["digest"]


def test_the_run_fails_where_the_cold_one_diverges_too(
    home: Home, brief: Config, parent: Done, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = diverging(monkeypatch, {"warm", "cold"}, after=1)
    with pytest.raises(SystemExit) as ended:
        train(home, brief, "run-2")
    assert ended.value.code == 1
    assert set(taken) == {"warm", "cold"}
    said = capsys.readouterr().err
    assert "Training diverged" in said
    assert "This was a cold start; a warm one diverged at step 2 of 6" in said


def test_killed_at_any_moment_it_comes_to_the_same(
    home: Home, brief: Config, parent: Done, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """During the warm one, its returns to the checkpoint, between the two, and during the cold one."""
    (tmp_path / "homes").mkdir()
    taken = diverging(monkeypatch, {"warm"}, after=3)
    moments = 4 + 3 * 2 + COLD
    found = []
    for moment in [None, *range(1, moments + 1)]:
        place = Home(tmp_path / "homes" / str(moment))
        shutil.copytree(home.path, place.path, symlinks=True)
        taken.clear()
        if moment is not None:
            with monkeypatch.context() as patch:
                killed_at(patch, moment, taken)
                with pytest.raises(Killed):
                    train(place, brief, "run-2")
            assert len(taken) == moment
            taken.clear()
        _, done = train(place, brief, "run-2")
        found.append({name: value for name, value in done.facts.items() if name != "profile"})
        assert taken.count("cold") <= COLD
    assert all(facts == found[0] for facts in found)
    assert found[0]["diverged"] is not None


def killed_at(patch: pytest.MonkeyPatch, moment: int, taken: list[str]) -> None:
    """End the process, as it were, after so many steps."""
    real = training._sandwich_step

    def step(*arguments: Any) -> Any:
        loss = real(*arguments)
        if len(taken) == moment:
            raise Killed
        return loss

    patch.setattr(training, "_sandwich_step", step)
