"""Who judges: enough domains, each label in each split, drawn by lot and the same each time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evernas.errors import DataRefusedError
from evernas.init.judges import FEWEST, sizes, split

LEAST = {"train": 50, "search": 20, "gate": 20}


def _pairs(domains: int, labels: str = "ab", each: int = 30) -> dict[tuple[str, str], int]:
    return {(f"p{i}", label): each for i in range(1, domains + 1) for label in labels}


@pytest.mark.parametrize("domains", [1, 2, 3])
def test_too_few_domains_are_refused_with_the_number_that_is_needed(domains: int) -> None:
    with pytest.raises(DataRefusedError, match=f"only {domains} domains .*4 are needed"):
        split(_pairs(domains), 1.0, LEAST)


@given(st.integers(FEWEST, 2000))
def test_every_size_leaves_some_to_train(domains: int) -> None:
    gate, search = sizes(domains)
    assert gate >= 2
    assert search >= 1
    assert domains - gate - search >= max(1, domains // 3)


def test_from_twelve_domains_on_the_gate_has_the_five_that_speak_of_others() -> None:
    assert [sizes(n)[0] for n in (4, 10, 11, 12, 30)] == [2, 3, 3, 5, 9]


def test_every_split_has_every_label_and_no_domain_is_in_two() -> None:
    pairs = {(f"p{i}", label): 30 for i in range(20) for n, label in enumerate("abcdef") if (i + n) % 3 == 0}
    found = split(pairs, 1.0, LEAST)
    parts = [set(found.gate), set(found.search), set(found.train)]
    assert set().union(*parts) == {domain for domain, _ in pairs}
    assert sum(map(len, parts)) == 20
    for part in parts:
        assert {label for domain, label in pairs if domain in part} == set("abcdef")
    assert split(pairs, 1.0, LEAST) == found, "the same each time"


def test_a_label_of_two_domains_is_left_out_and_said() -> None:
    pairs = _pairs(8) | {("p1", "rare"): 9, ("p2", "rare"): 9}
    found = split(pairs, 1.0, LEAST)
    assert (found.labels, found.left_out) == (["a", "b"], {"rare": 2})


def test_only_labels_that_miss_a_split_are_left_out() -> None:
    pairs = _pairs(10) | {(f"p{1 + (n + k) % 10}", f"c{n}"): 1 for n in range(10) for k in range(3)}
    found = split(pairs, 1.0, LEAST)
    for label in found.left_out:
        having = {domain for domain, known in pairs if known == label}
        assert any(not having & set(part) for part in (found.gate, found.search, found.train)), label
    assert {*found.labels, *found.left_out} == {label for _, label in pairs}
    assert len(found.labels) > 4


def test_labels_that_no_domains_share_are_refused() -> None:
    with pytest.raises(DataRefusedError, match="Fewer than two labels come from enough domains"):
        split({(f"p{i}", f"label{i}"): 50 for i in range(8)}, 1.0, LEAST)


def test_too_few_windows_are_refused_with_what_is_needed() -> None:
    with pytest.raises(DataRefusedError, match=r"about 40 windows.*50 to train"):
        split(_pairs(10, each=2), 1.0, LEAST)


def test_domains_are_listed_as_people_count() -> None:
    found = split(_pairs(40), 1.0, LEAST)
    for part in (found.gate, found.search, found.train):
        assert part == sorted(part, key=lambda name: int(name[1:]))


def test_a_domain_named_by_thousands_of_digits_stops_nothing() -> None:
    pairs = _pairs(8) | {("7" * 5000, label): 30 for label in "ab"}
    found = split(pairs, 1.0, LEAST)
    assert "7" * 5000 in [*found.gate, *found.search, *found.train]
