"""The signal space: canonical form, exact size, blocks and costs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evernas.config import SpaceConfig
from evernas.errors import UsageError
from evernas.spaces import SignalSpace
from evernas.spaces.signal import frequency_bands

SEEDS = st.integers(0, 2**32 - 1)


def default() -> SignalSpace:
    return SignalSpace(6, 128, 7, SpaceConfig())


def tiny() -> SignalSpace:
    config = SpaceConfig(
        stage_widths=[[4, 8], [8]], depths=[1, 3], kernels=[3, 5], expansions=[1], stem_width=4, head_width=8
    )
    return SignalSpace(2, 16, 3, config)


def test_size_is_the_number_of_distinct_canonical_architectures() -> None:
    space = tiny()
    every = itertools.product(*(range(len(choice.options)) for choice in space.choices))
    assert len({space.architecture(genes) for genes in every}) == space.size()


def test_genes_of_skipped_blocks_do_not_matter() -> None:
    space = default()
    shallow = [0] * len(space.choices)
    noisy = list(shallow)
    names = [choice.name for choice in space.choices]
    noisy[names.index("stage1.block1.kernel")] = 2
    assert space.architecture(noisy) == space.architecture(shallow)
    assert "stage1.block1.kernel" not in space.describe(space.architecture(noisy))


@settings(max_examples=50)
@given(SEEDS)
def test_mutants_and_children_are_canonical_and_mutants_differ(seed: int) -> None:
    space, rng = default(), np.random.default_rng(seed)
    a, b = space.random(rng), space.random(rng)
    mutant, child = space.mutate(a, rng), space.crossover(a, b, rng)
    assert mutant != a
    for arch in (a, b, mutant, child):
        space.check(arch)


def test_mutation_reaches_options_of_woken_blocks() -> None:
    space, rng = tiny(), np.random.default_rng(0)
    reached = {space.describe(space.mutate(space.smallest(), rng)).get("stage0.block2.kernel") for _ in range(200)}
    assert reached == {None, 3, 5}


@settings(max_examples=50)
@given(SEEDS)
def test_blocks_fit_one_another(seed: int) -> None:
    space = default()
    blocks = space.blocks(space.random(np.random.default_rng(seed)))
    assert blocks[0].width_in == space.config.stem_width
    assert blocks[0].size_in == (64,)
    for before, after in itertools.pairwise(blocks):
        assert after.width_in == before.width_out
        assert after.size_in == before.size_out
    assert all(block.stride == (1 if block.position else 2) for block in blocks)
    assert all(block.residual == (block.position > 0) for block in blocks)


@settings(max_examples=50)
@given(SEEDS)
def test_every_cost_lies_between_the_smallest_and_the_largest(seed: int) -> None:
    space = default()
    arch = space.random(np.random.default_rng(seed))
    for cost in (space.macs, space.parameters, space.activation_bytes):
        assert cost(space.smallest()) <= cost(arch) <= cost(space.largest())


def test_costs_of_a_network_counted_by_hand() -> None:
    config = SpaceConfig(
        stage_widths=[[4]],
        depths=[1],
        kernels=[3],
        expansions=[2],
        stem_width=2,
        head_width=5,
        pooling=["mean", "max"],
        statistics=False,
    )
    space = SignalSpace(1, 8, 3, config)
    arch = space.smallest()
    assert [layer.macs for layer in space.layers(arch)] == [
        2 * 1 * 5 * 4,
        4 * 2 * 4,
        4 * 3 * 2,
        4 * 4 * 2,
        5 * 4 * 2,
        3 * 10,
    ]
    assert space.parameters(arch) == 12 + 12 + 16 + 20 + 25 + 33
    assert space.activation_bytes(arch) == 4 * (2 * 4 + 4 * 4)


def test_residuals_are_counted_as_memory() -> None:
    config = SpaceConfig(stage_widths=[[4]], depths=[2], kernels=[3], expansions=[1], stem_width=4, head_width=4)
    space = SignalSpace(1, 64, 2, config)
    assert space.activation_bytes(space.smallest()) == 4 * max(64 + 4 * 32, 2 * 4 * 32, 3 * 4 * 16)
    assert [layer.held for layer in space.layers(space.smallest())][4:7] == [0, 64, 64]


def test_features_have_a_name_each_and_sum_up() -> None:
    space = default()
    arch = space.random(np.random.default_rng(1))
    features = dict(zip(space.feature_names(), space.features(arch), strict=True))
    assert (
        features["macs"]
        == space.macs(arch)
        == sum(features[f"{k}_macs"] for k in ("conv", "pointwise", "depthwise", "linear"))
    )
    assert features["weights"] == space.parameters(arch)
    assert all(np.isfinite(list(features.values())))


def test_identity_of_a_space_covers_the_input_and_the_config() -> None:
    config = SpaceConfig()
    ids = {
        SignalSpace(6, 128, 7, config).id,
        SignalSpace(3, 128, 7, config).id,
        SignalSpace(6, 64, 7, config).id,
        SignalSpace(6, 128, 8, config).id,
        SignalSpace(6, 128, 7, config.model_copy(update={"head_width": 32})).id,
    }
    assert len(ids) == 5
    assert SignalSpace(6, 128, 7, SpaceConfig()).id == SignalSpace(6, 128, 7, SpaceConfig()).id


def test_signal_too_short_for_the_stages_is_refused() -> None:
    with pytest.raises(UsageError, match="16 steps"):
        SignalSpace(6, 15, 7, SpaceConfig())


@pytest.mark.parametrize("length", [8, 9, 128, 1000])
def test_frequency_bands_cover_every_frequency_once(length: int) -> None:
    bands = frequency_bands(length)
    assert [cycle for first, last in bands for cycle in range(first, last)] == list(range(1, length // 2 + 1))
    assert len(bands) < 16


def test_statistics_widen_the_classifier_only() -> None:
    with_them, without = (SignalSpace(2, 64, 3, SpaceConfig(statistics=on)) for on in (True, False))
    added = 2 * (4 + len(with_them.bands)) * 3
    assert with_them.parameters(with_them.smallest()) - without.parameters(without.smallest()) == added
