"""The image space: what may be chosen beside a signal's choices, and what it costs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from evernas.config import SpaceConfig
from evernas.errors import UsageError
from evernas.spaces import ImageSpace
from evernas.spaces.scaling import scaling

TINY = SpaceConfig(
    stem_width=4, stage_widths=[[4, 8]], depths=[1, 2], kernels=[3], expansions=[1, 2], head_width=8,
    squeeze_excite=[False, True], resolutions=[8, 16], pooling=["mean"],
)  # fmt: skip


def tiny(**changes: object) -> ImageSpace:
    return ImageSpace(3, 16, 24, 5, TINY.model_copy(update=changes))


def test_size_is_the_number_of_distinct_canonical_architectures() -> None:
    space = tiny()
    every = itertools.product(*(range(len(choice.options)) for choice in space.choices))
    assert len({space.architecture(genes) for genes in every}) == space.size()


def test_resolution_scales_the_height_and_keeps_the_proportions() -> None:
    space = tiny()
    assert space.input_size(space.smallest()) == (8, 12)
    assert space.input_size(space.largest()) == (16, 24)
    assert [b.size_in for b in space.blocks(space.largest())] == [(8, 12), (4, 6)]
    assert tiny(resolutions=[]).input_size(tiny(resolutions=[]).largest()) == (16, 24)


def test_costs_of_a_small_network_are_those_counted_by_hand() -> None:
    space = tiny(stage_widths=[[4]], depths=[1], expansions=[2], squeeze_excite=[True], resolutions=[])
    arch = space.largest()
    # Stem 3x3 on 8 x 12 positions; 1x1 to 8; depthwise 3x3 on 4 x 6; squeeze to 2 and back; 1x1 to 4; head; classes.
    macs = 4 * 3 * 9 * 96 + 8 * 4 * 96 + 8 * 9 * 24 + 2 * 8 + 8 * 2 + 4 * 8 * 24 + 8 * 4 * 24 + 5 * 8
    weights = 4 * (27 + 1) + 8 * (4 + 1) + 8 * (9 + 1) + 2 * 9 + 8 * 3 + 4 * 9 + 8 * 5 + 5 * 9
    assert (space.macs(arch), space.parameters(arch)) == (macs, weights)
    features = dict(zip(space.feature_names(), space.features(arch), strict=True))
    assert (features["macs"], features["weights"]) == (macs, weights)


def test_squeeze_is_a_choice_of_each_stage_only_where_it_is_one() -> None:
    assert "stage0.squeeze" in {choice.name for choice in tiny().choices}
    assert "stage0.squeeze" not in {choice.name for choice in tiny(squeeze_excite=[True]).choices}
    assert all(block.squeeze for block in tiny(squeeze_excite=[True]).blocks(tiny(squeeze_excite=[True]).smallest()))


def test_what_shapes_the_network_changes_the_space() -> None:
    spaces = [tiny(), tiny(resolutions=[8]), tiny(squeeze_excite=[True]), ImageSpace(1, 16, 24, 5, TINY)]
    assert len({space.id for space in spaces}) == len(spaces)
    assert tiny(statistics=False).id == tiny().id, "images have no such statistics"


@pytest.mark.parametrize(
    ("arguments", "resolutions"), [((3, 3, 24, 5), []), ((3, 16, 24, 1), []), ((3, 16, 24, 5), [16, 32])]
)
def test_impossible_images_are_refused(arguments: tuple[int, int, int, int], resolutions: list[int]) -> None:
    with pytest.raises(UsageError, match="cannot be classified"):
        ImageSpace(*arguments, TINY.model_copy(update={"resolutions": resolutions}))


@pytest.mark.parametrize(("before", "after"), [(28, 20), (28, 28), (7, 3), (30, 1)])
def test_scaling_keeps_what_is_level_and_uses_every_pixel(before: int, after: int) -> None:
    weights = scaling(before, after)
    assert weights.shape == (after, before)
    assert np.allclose(weights.sum(1), 1)
    assert (weights.sum(0) > 0).all(), "no pixel is skipped"
    middle = weights @ np.arange(before) - ((np.arange(after) + 0.5) * before / after - 0.5)
    assert np.abs(middle[1:-1]).max(initial=0) < 0.3, "positions stay where they were"
