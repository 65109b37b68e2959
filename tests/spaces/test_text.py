"""The space of networks for texts: its size, canonical form, and costs as they are counted by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from evernas.config import TextConfig, TextSpaceConfig
from evernas.errors import UsageError
from evernas.spaces import TextSpace

TEXT = TextConfig(tokens=16, vocabulary=300)
TINY = TextSpaceConfig(widths=[8, 16], depths=[0, 1, 2], kernels=[3], heads=[2], ratios=[1, 2], lengths=[8, 16])


def tiny(**changes: object) -> TextSpace:
    return TextSpace(TEXT, 3, TINY.model_copy(update=changes))


def test_size_is_the_number_of_different_canonical_architectures() -> None:
    space = tiny()
    every = product(*(range(len(choice.options)) for choice in space.choices))
    assert space.size() == len({space.architecture(genes) for genes in every}) == 2 * 2 * (1 + 4 + 16)


def test_blocks_beyond_the_depth_change_nothing() -> None:
    space = tiny()
    assert space.architecture([1, 1, 0, 1, 1, 1, 1]) == space.architecture([1, 1, 0, 0, 0, 0, 0])
    assert space.blocks(space.architecture([1, 1, 0, 1, 1, 1, 1])) == ()
    assert space.describe(space.architecture([1, 1, 1, 1, 0, 1, 1])) == {
        "length": 16, "width": 16, "depth": 1, "block0.operator": "convolution of 3", "block0.ratio": 1,
    }  # fmt: skip


def test_active_genes_are_the_same_one_by_one_and_all_at_once() -> None:
    space, rng = tiny(), np.random.default_rng(0)
    genes = np.array([[int(rng.integers(len(c.options))) for c in space.choices] for _ in range(50)])
    assert np.array_equal(space.active_many(genes), [space.active(row) for row in genes.tolist()])


def test_a_mutant_is_another_canonical_architecture_of_the_space() -> None:
    space, rng = tiny(), np.random.default_rng(0)
    arch = space.smallest()
    for _ in range(100):
        mutant = space.mutate(arch, rng)
        space.check(mutant)
        assert mutant != arch
        arch = mutant


def test_costs_of_depth_0_are_the_embedding_and_the_classifier() -> None:
    space = tiny()
    arch = space.architecture([0, 1, 0, 0, 0, 0, 0])
    # Mean and maximum of 16 numbers each, to 3 classes.
    assert space.macs(arch) == 32 * 3
    assert space.parameters(arch) == 300 * 16 + 32 * 3 + 3
    assert space.activation_bytes(arch) == 4 * 16 * 8


def test_costs_of_both_operators_are_counted() -> None:
    space = tiny()
    classifier, embedding, length, width, hidden = 32 * 3, 300 * 16, 16, 16, 32
    convolution = space.architecture([1, 1, 1, 1, 1, 0, 0])
    assert space.macs(convolution) == classifier + length * (width * hidden + hidden * 3 + hidden * width)
    assert (
        space.parameters(convolution)
        == embedding + classifier + 3 + (width + 1) * hidden + hidden * 4 + (hidden + 1) * width
    )
    attention = space.architecture([1, 1, 1, 0, 1, 0, 0])
    projections, scores, fed = 4 * width * width, 2 * length * width, 2 * width * hidden
    assert space.macs(attention) == classifier + length * (projections + scores + fed)
    assert (
        space.parameters(attention)
        == embedding + classifier + 3 + 4 * (width + 1) * width + (width + 1) * hidden + (hidden + 1) * width
    )


def test_features_bear_the_costs_and_names() -> None:
    space, rng = tiny(), np.random.default_rng(1)
    for _ in range(20):
        arch = space.random(rng)
        named = dict(zip(space.feature_names(), space.features(arch).tolist(), strict=True))
        assert named["macs"] == space.macs(arch)
        assert named["weights"] == space.parameters(arch)
        assert named["activation_bytes"] == space.activation_bytes(arch)
        assert named["convolutions"] + named["attentions"] == len(space.blocks(arch))
        assert [named["length"]] == list(space.input_size(arch))


def test_the_teacher_has_the_largest_sizes_and_any_operator() -> None:
    space, rng = tiny(), np.random.default_rng(0)
    teachers = {space.teacher(rng) for _ in range(50)}
    assert len(teachers) == 4
    assert all(block.ratio == 2 and block.width == 16 for arch in teachers for block in space.blocks(arch))


def test_whatever_changes_the_meaning_of_weights_is_another_space() -> None:
    spaces = [
        tiny(), tiny(lengths=[16]), tiny(pooling=["mean"]), TextSpace(TEXT, 4, TINY),
        *(TextSpace(TEXT.model_copy(update=change), 3, TINY) for change in ({"vocabulary": 400}, {"lowercase": False})),
    ]  # fmt: skip
    assert len({space.id for space in spaces}) == len(spaces)
    # How long a text may be is for the data to say.
    assert TextSpace(TEXT.model_copy(update={"characters": 99}), 3, TINY).id == tiny().id


def test_one_class_is_refused() -> None:
    with pytest.raises(UsageError, match="1 classes cannot be told apart"):
        TextSpace(TEXT, 1, TINY)
