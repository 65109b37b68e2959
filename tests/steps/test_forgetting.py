"""Which rows two supernets are compared on: known to both, of all domains, and the same while others come."""

from __future__ import annotations

import numpy as np

from evernas.steps.forgetting import ROWS, Lost, chosen_rows


def rows_of(count: int, domains: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    return rng.random(count) < 0.7, rng.integers(0, domains, count), [f"row-{number}" for number in range(count)]


def test_rows_are_known_and_of_all_domains_alike() -> None:
    known, domains, ids = rows_of(20_000, 7)
    rows = chosen_rows(known, domains, ids)
    assert known[rows].all()
    counts = np.bincount(domains[rows])
    assert ROWS - 7 < counts.sum() <= ROWS
    assert counts.min() == counts.max()
    assert len(set(rows.tolist())) == len(rows)


def test_a_domain_with_few_rows_gives_all_of_them() -> None:
    domains = np.array(["a"] * 5_000 + ["b"] * 3)
    rows = chosen_rows(np.ones(5_003, dtype=bool), domains, [str(n) for n in range(5_003)])
    assert {5_000, 5_001, 5_002} <= set(rows.tolist())


def test_the_same_rows_are_chosen_while_new_ones_come_in_any_order() -> None:
    known, domains, ids = rows_of(5_000, 3)
    before = {ids[row] for row in chosen_rows(known, domains, ids)}
    order = np.random.default_rng(1).permutation(8_000)
    more_known = np.concatenate([known, np.zeros(3_000, dtype=bool)])[order]
    more_domains = np.concatenate([domains, np.full(3_000, 9)])[order]
    more_ids = [*ids, *(f"new-{n}" for n in range(3_000))]
    shuffled = [more_ids[at] for at in order]
    assert {shuffled[row] for row in chosen_rows(more_known, more_domains, shuffled)} == before


def test_without_known_rows_there_is_nothing_to_compare() -> None:
    assert len(chosen_rows(np.zeros(9, dtype=bool), np.arange(9), list("abcdefghi"))) == 0


def test_there_may_be_more_domains_than_rows_are_wanted() -> None:
    domains = np.array([f"writer {n % 3_000}" for n in range(9_000)])
    rows = chosen_rows(np.ones(9_000, dtype=bool), domains, [str(n) for n in range(9_000)])
    assert len(rows) == len(set(domains[rows])) == ROWS


def test_what_few_samples_say_may_be_chance() -> None:
    assert not Lost(12, 0.0, 0.05).beyond(0.03)
    assert Lost(1_000, 0.0, 0.05).beyond(0.03)
    assert Lost(72, 0.0, 0.5).beyond(0.03)


def test_what_is_allowed_is_a_difference_of_errors() -> None:
    lost = Lost(1_000, 0.02, 0.05)
    assert lost.beyond(0.025)
    assert not lost.beyond(0.04)
    assert Lost.of(lost.to_json()) == lost
