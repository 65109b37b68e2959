"""Categorical spaces: what any search may rely on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evernas.errors import UsageError
from evernas.spaces import Architecture, Categorical, Choice

WAYS = st.lists(st.integers(1, 6), min_size=1, max_size=8)


@given(WAYS, st.integers(0, 2**32 - 1))
def test_mutation_gives_another_architecture_of_the_same_space(ways: list[int], seed: int) -> None:
    space, rng = Categorical(ways), np.random.default_rng(seed)
    arch = space.random(rng)
    if space.size() == 1:
        with pytest.raises(UsageError, match="one architecture only"):
            space.mutate(arch, rng)
        return
    other = space.mutate(arch, rng)
    assert other != arch
    space.check(other)


@given(WAYS, st.integers(0, 2**32 - 1))
def test_children_have_every_gene_from_a_parent(ways: list[int], seed: int) -> None:
    space, rng = Categorical(ways), np.random.default_rng(seed)
    a, b = space.random(rng), space.random(rng)
    child = space.crossover(a, b, rng)
    assert all(gene in pair for gene, *pair in zip(child.genes, a.genes, b.genes, strict=True))


def test_size_is_the_product_of_the_ways() -> None:
    assert Categorical([5, 5, 5]).size() == 125
    assert Categorical([7] * 60).size() == 7**60


def test_same_seed_gives_the_same_architectures() -> None:
    space = Categorical([5] * 10)
    first, second = (np.random.default_rng(3) for _ in range(2))
    assert [space.random(first).id for _ in range(20)] == [space.random(second).id for _ in range(20)]


def test_architecture_survives_json_and_hashing() -> None:
    arch = Categorical([5, 5, 5]).architecture([4, 0, 2])
    assert Architecture.from_json(arch.to_json()) == arch
    assert len({arch, Architecture.from_json(arch.to_json())}) == 1
    assert len(arch.id) == 12
    assert int(arch.id, 16) >= 0


@pytest.mark.parametrize(
    "document", [None, {}, {"space": "a"}, {"space": "a", "genes": [1.5]}, {"space": 1, "genes": []}, []]
)
def test_broken_document_is_refused_in_a_sentence(document: object) -> None:
    with pytest.raises(UsageError, match="is no architecture: give"):
        Architecture.from_json(document)


def test_genes_out_of_range_are_refused_with_the_limit() -> None:
    space = Categorical([5, 5])
    with pytest.raises(UsageError, match="'x1' is 5: give an index from 0 to 4"):
        space.architecture([0, 5])
    with pytest.raises(UsageError, match=r"3 genes .* give 2"):
        space.architecture([0, 0, 0])


def test_architecture_of_another_space_is_refused() -> None:
    with pytest.raises(UsageError, match="search again"):
        Categorical([5, 5]).check(Categorical([4, 4]).architecture([0, 0]))


def test_choice_without_distinct_options_is_refused() -> None:
    for options in ((), (3, 3)):
        with pytest.raises(UsageError, match="at least one, each once"):
            Choice("kernel", options)


@pytest.mark.parametrize("ways", [[], [0], [3, -1]])
def test_space_without_options_is_refused(ways: list[int]) -> None:
    with pytest.raises(UsageError, match="at least one, each 1 or more"):
        Categorical(ways)
