"""Where the space has changed, a search begins with the like of the last front, and of the champion if it is there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evernas.config import Config, load_config
from evernas.spaces import Architecture
from evernas.state import Done, Guard, Head, Home, RunManifest, StepStore
from evernas.state.runs import now
from evernas.steps import search
from evernas.steps.context import Setting, space_of
from evernas.steps.layout import layout_of, space_before
from evernas.steps.loading import Champion
from evernas.steps.search import search_inputs
from place import ROOT
from small_lineage import config

__all__ = ["config"]

EXAMPLES = sorted(path for path in (ROOT / "examples").glob("*/evernas.yaml"))


def setting(home: Home, config: Config, head: Head | None = None) -> Setting:
    """A run of this config after that head."""
    source = str(home.path)
    manifest = RunManifest("run-2", config, source, now(), head, {config.devices[0].name: 0}, "")
    return Setting(home, manifest, config.devices[0].name)


def finished(of: Setting, guard: Guard, step: str, inputs: dict[str, Any], facts: dict[str, Any]) -> Done:
    ref = f"{step}/made"
    return of.store.finish(Done(ref, of.store.workspace(ref), facts, inputs, "run-1"), [], guard)


def after(
    home: Home, guard: Guard, before: Config, later: Config, genes: list[list[int]], *, tells: bool = True
) -> Setting:
    """A run whose last one, of the config `before`, ended with this front."""
    first = setting(home, before)
    layout = {"of": layout_of(first)} if tells else {}
    supernet = finished(
        first, guard, "supernet", {"labels": before.data.labels, "space": first.space.id}, {"layout": {**layout}}
    )
    front = [{"genes": each} for each in genes]
    searched = finished(first, guard, "search", {"supernet": supernet.ref}, {"space": first.space.id, "front": front})
    head = Head("run-1", "", "", supernet.ref, {before.devices[0].name: searched.ref})
    return setting(home, later, head)


class Held(Champion):
    """A champion that is its architecture alone, without an entry."""

    def __init__(self, held: Architecture) -> None:
        object.__setattr__(self, "held", held)

    @property
    def architecture(self) -> Architecture:
        held: Architecture = self.__dict__["held"]
        return held


def start_of(run: Setting) -> dict[str, Any]:
    nothing = Done("some/step", Path(), {"kept": {"search": "rows"}}, {}, "run-2")
    found: dict[str, Any] = search_inputs(run, nothing, nothing, nothing)["start"]
    return found


def with_space(config: Config, **changes: Any) -> Config:
    return config.model_copy(update={"space": config.space.model_copy(update=changes)})


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_a_supernet_of_every_kind_tells_its_space(path: Path, home: Home, guard: Guard) -> None:
    of = load_config(path)
    run = setting(home, of)
    supernet = finished(
        run, guard, "supernet", {"labels": of.data.labels, "space": run.space.id}, {"layout": {"of": layout_of(run)}}
    )
    read = StepStore(home.steps(of.project)).get(supernet.ref)
    found = space_before(read)
    assert found is not None
    assert (found.id, found.choices) == (run.space.id, run.space.choices)
    other = replace(read, inputs={**read.inputs, "space": "of a version that understood it otherwise"})
    assert space_before(other) is None
    assert space_before(replace(read, facts={"layout": {"samples": []}})) is None


def test_the_front_goes_on_in_a_grown_space_and_it_is_told(home: Home, guard: Guard, config: Config) -> None:
    space = space_of(config)
    genes = [list(space.smallest().genes), list(space.largest().genes)]
    grown = with_space(config, kernels=[1, *config.space.kernels], depths=[*config.space.depths, 4])
    run = after(home, guard, config, grown, genes)
    start = start_of(run)
    assert start["champion"] is None
    assert start["translated"] == {"of": 2, "fit": 2}
    told = [run.space.describe(run.space.architecture(each)) for each in start["front"]]
    assert told == [space.describe(space.architecture(each)) for each in genes]
    assert start["front"] != genes


def test_with_another_class_the_front_goes_on_as_it_is(home: Home, guard: Guard, config: Config) -> None:
    genes = [list(space_of(config).largest().genes)]
    data = config.data.model_copy(update={"labels": [*config.data.labels, "WLK"]})
    assert start_of(after(home, guard, config, config.model_copy(update={"data": data}), genes))["front"] == genes


def test_in_a_shrunk_space_what_becomes_alike_is_there_once(home: Home, guard: Guard, config: Config) -> None:
    space = space_of(config)
    shrunk = with_space(config, depths=[1], kernels=[3], expansions=[1])
    genes = [list(space.smallest().genes), list(space.smallest().genes)]
    # Another expansion is near enough to be replaced, a kernel of 7 is not.
    at = [choice.name for choice in space.choices].index("stage0.block0.expansion")
    genes[1][at] = 1
    genes.append(list(space.largest().genes))
    start = start_of(after(home, guard, config, shrunk, genes))
    assert start["front"] == [list(space_of(shrunk).smallest().genes)]
    assert start["translated"] == {"of": 3, "fit": 1}


def test_a_space_that_shares_nothing_begins_with_nothing(home: Home, guard: Guard, config: Config) -> None:
    genes = [list(space_of(config).largest().genes)]
    start = start_of(after(home, guard, config, with_space(config, expansions=[12]), genes))
    assert (start["front"], start["translated"]) == ([], {"of": 1, "fit": 0})


def test_a_supernet_that_does_not_tell_its_space_gives_no_front(home: Home, guard: Guard, config: Config) -> None:
    genes = [list(space_of(config).largest().genes)]
    start = start_of(after(home, guard, config, with_space(config, kernels=[3, 5]), genes, tells=False))
    assert start == {"champion": None, "front": []}


def test_the_same_space_begins_as_it_did(home: Home, guard: Guard, config: Config) -> None:
    genes = [list(space_of(config).largest().genes)]
    assert start_of(after(home, guard, config, config, genes)) == {"champion": None, "front": genes}


@pytest.mark.parametrize("same", [True, False])
def test_the_champion_goes_on_as_a_rival_only_where_the_space_has_the_very_network(
    home: Home, guard: Guard, config: Config, monkeypatch: pytest.MonkeyPatch, same: bool
) -> None:
    space = space_of(config)
    held = space.largest()
    later = with_space(config, expansions=[*config.space.expansions, 6]) if same else with_space(config, stem_width=20)
    run = after(home, guard, config, later, [list(held.genes)])

    monkeypatch.setattr(search, "champion", lambda context: Held(held))
    start = start_of(run)
    assert start["translated"] == {"of": 1, "fit": 1}
    if same:
        assert run.space.macs(run.space.architecture(start["champion"])) == space.macs(held)
    else:
        assert start["champion"] is None


def test_a_champion_of_the_space_before_stays_a_rival_in_later_runs(
    home: Home, guard: Guard, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = space_of(config).largest()
    later = with_space(config, expansions=[*config.space.expansions, 6])
    run = after(home, guard, config, later, [list(held.genes)])
    monkeypatch.setattr(search, "champion", lambda context: Held(held))
    first = start_of(run)
    assert run.manifest.head is not None
    facts = {"space": run.space.id, "front": [{"genes": genes} for genes in first["front"]]}
    searched = finished(run, guard, "search", {"supernet": run.manifest.head.supernet, "start": first}, facts)
    head = replace(run.manifest.head, searches={config.devices[0].name: searched.ref})
    second = start_of(setting(home, later, head))
    assert second["champion"] == first["champion"] is not None
    other = space_of(config).smallest()
    monkeypatch.setattr(search, "champion", lambda context: Held(other))
    assert start_of(setting(home, later, head))["champion"] is None, "another one holds now"
