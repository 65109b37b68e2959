"""Architectures go over into a space that has grown or shrunk wherever they have their like in it, in every kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from evernas.config import SpaceConfig, TextConfig, TextSpaceConfig
from evernas.spaces import (
    Architecture,
    ImageSpace,
    NetworkSpace,
    SignalSpace,
    TextSpace,
    all_translated,
    in_both,
    same_network,
    translated,
)

FEW: dict[str, Any] = {
    "stem_width": 8,
    "stage_widths": [[8, 12], [16, 24]],
    "depths": [1, 2],
    "kernels": [3, 5],
    "expansions": [1, 2],
    "head_width": 16,
}
FEW_TEXT: dict[str, Any] = {"widths": [32, 48], "depths": [0, 1, 2], "kernels": [3, 5], "heads": [2, 4], "ratios": [1]}


def of(kind: str, classes: int = 3, size: int = 32, **changes: Any) -> NetworkSpace:
    """A small space of a kind, with changes to its config."""
    if kind == "text":
        text = TextConfig(tokens=size, vocabulary=changes.pop("vocabulary", 300))
        return TextSpace(text, classes, TextSpaceConfig(**{**FEW_TEXT, **changes}))
    config = SpaceConfig(**{**FEW, **changes})
    return SignalSpace(2, size, classes, config) if kind == "signal" else ImageSpace(1, size, size, classes, config)


def some(space: NetworkSpace, count: int = 200) -> list[Architecture]:
    rng = np.random.default_rng(3)
    return [space.smallest(), space.largest(), *(space.random(rng) for _ in range(count))]


GROWN = {
    "signal": {"depths": [1, 2, 3], "kernels": [3, 5, 7], "stage_widths": [[4, 8, 12], [16, 24, 32]]},
    "image": {"depths": [1, 2, 3], "squeeze_excite": [False, True], "resolutions": [16, 24, 32]},
    "text": {"depths": [0, 1, 2, 3], "heads": [2, 4, 8], "widths": [16, 32, 48, 64], "lengths": [16, 32]},
}
KINDS = pytest.mark.parametrize("kind", sorted(GROWN))


@KINDS
def test_in_a_grown_space_every_architecture_is_the_same_network_and_back(kind: str) -> None:
    was, now = of(kind), of(kind, **GROWN[kind])
    assert was.id != now.id
    for arch in some(was):
        found = translated(arch, was, now)
        assert found is not None
        now.check(found)
        assert now.macs(found) == was.macs(arch)
        assert same_network(arch, was, now) == found
        assert translated(found, now, was) == arch


@KINDS
def test_with_more_classes_every_architecture_stays(kind: str) -> None:
    was, now = of(kind), of(kind, classes=5)
    archs = some(was)
    assert [found.genes for found in all_translated(archs, was, now)] == [a.genes for a in dict.fromkeys(archs)]


@KINDS
def test_translations_are_canonical_and_each_is_there_once(kind: str) -> None:
    was, now = of(kind, **GROWN[kind]), of(kind)
    found = all_translated(some(was), was, now)
    assert len(set(found)) == len(found)
    assert len(found) > 10
    for arch in found:
        now.check(arch)


def test_an_option_that_is_gone_is_replaced_by_the_nearest_one() -> None:
    was, now = of("signal", kernels=[3, 5], expansions=[1, 2]), of("signal", kernels=[3, 7], expansions=[1, 3])
    arch = was.largest()
    found = translated(arch, was, now)
    assert found is not None
    chosen = now.describe(found)
    # 5 lies nearer to 7 than to 3 by its ratio, 2 nearer to 3 than to 1.
    assert chosen["stage0.block0.kernel"] == 7
    assert chosen["stage0.block0.expansion"] == 3
    assert same_network(arch, was, now) is None


def test_of_two_options_that_are_as_near_the_first_is_taken() -> None:
    was, now = of("text", widths=[32]), of("text", widths=[16, 64])
    found = translated(was.largest(), was, now)
    assert found is not None
    assert now.describe(found)["width"] == 16


def test_nothing_is_taken_from_so_far_away_that_it_would_be_another_network() -> None:
    was, now = of("signal", kernels=[3]), of("signal", kernels=[7])
    assert all_translated(some(was), was, now) == []
    assert in_both(was, now, 4) == []


def test_attention_is_no_convolution() -> None:
    was, now = of("text"), of("text", heads=[])
    for arch in some(was):
        attends = any("attention" in str(option) for option in was.describe(arch).values())
        assert (translated(arch, was, now) is None) == attends


def test_no_blocks_are_no_network_of_one_block() -> None:
    was, now = of("text"), of("text", depths=[1, 2])
    without = [arch for arch in some(was) if was.describe(arch)["depth"] == 0]
    assert without
    assert all_translated(without, was, now) == []


def test_options_of_blocks_that_are_cut_off_need_no_like() -> None:
    was, now = of("signal", depths=[1, 2]), of("signal", depths=[1], kernels=[3])
    arch = was.architecture(was.smallest().genes)
    genes = list(was.largest().genes)
    for at, choice in enumerate(was.choices):
        if choice.name.endswith("block0.kernel"):
            genes[at] = 0
    found = translated(was.architecture(genes), was, now)
    assert found is not None
    assert now.describe(found)["stage0.depth"] == 1
    assert translated(arch, was, now) == now.smallest()


def test_what_is_new_takes_the_smallest_option() -> None:
    was, now = of("signal"), of("signal", stage_widths=[*FEW["stage_widths"], [32, 48]])
    found = translated(was.largest(), was, now)
    assert found is not None
    assert (now.describe(found)["stage2.width"], now.describe(found)["stage2.depth"]) == (32, 1)
    assert same_network(was.largest(), was, now) is None


def test_a_fixed_option_is_known_where_it_can_be_chosen() -> None:
    was, now = of("image", squeeze_excite=[True]), of("image", squeeze_excite=[False, True], resolutions=[16, 32])
    found = translated(was.largest(), was, now)
    assert found is not None
    assert (now.describe(found)["stage0.squeeze"], now.describe(found)["resolution"]) == (1, 32)


def test_another_kind_of_space_shares_nothing() -> None:
    was, now = of("signal"), of("image")
    assert was.choices == now.choices
    assert translated(was.smallest(), was, now) is None
    assert in_both(was, now, 4) == []


@KINDS
@pytest.mark.parametrize("turned", [False, True])
def test_networks_of_both_spaces_are_found_also_where_chance_would_not(kind: str, turned: bool) -> None:
    few, many = of(kind), of(kind, **GROWN[kind])
    was, now = (many, few) if turned else (few, many)
    found = in_both(was, now, 4)
    assert len({arch for arch, _ in found}) == len({other for _, other in found}) == 4
    for arch, other in found:
        assert was.macs(arch) == now.macs(other)
        assert now.architecture(other.genes) == other
    assert in_both(was, now, 4) == found
    assert found[0][0] == was.smallest() or turned


def test_another_stem_is_another_network() -> None:
    was, now = of("signal"), of("signal", stem_width=16)
    assert translated(was.largest(), was, now) is not None
    assert in_both(was, now, 4) == []


def test_spaces_that_share_a_network_without_blocks_only_have_that_one_in_both() -> None:
    was, now = of("text", kernels=[3], heads=[], widths=[32]), of("text", kernels=[7], heads=[], widths=[32])
    assert [was.describe(arch)["depth"] for arch, _ in in_both(was, now, 4)] == [0]


def test_a_larger_vocabulary_is_no_other_architecture() -> None:
    assert len(in_both(of("text"), of("text", vocabulary=600), 4)) == 4
