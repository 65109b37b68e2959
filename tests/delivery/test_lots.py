"""Parts by lot: of a class of few samples each part has its share, and one of many is left to its keys alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from evernas.delivery.items import Item
from evernas.delivery.lots import dealt, is_lot


def test_a_class_of_few_is_dealt_and_one_of_many_is_not() -> None:
    items = [Item(f"{n}.png", Path("x"), "few") for n in range(25)]
    parts = dealt([*items, *(Item(f"{n}.jpg", Path("x"), "many") for n in range(60))])
    assert set(parts) == {item.id for item in items}
    assert sorted(Counter(parts.values()).values()) == [2] * 5 + [3] * 5
    assert dealt(reversed(items)) == parts, "whatever the order"
    assert all(map(is_lot, parts.values()))


def test_each_split_is_dealt_by_itself_and_domains_are_left_alone() -> None:
    items = [Item(f"{s}{n}", Path("x"), "a", None, s) for s in ("train", "test") for n in range(6)]
    parts = dealt([*items, Item("own", Path("x"), "a", "person-1")])
    assert Counter(parts.values()) == Counter(
        {f"train-{n}": 1 for n in range(1, 7)} | {f"test-{n}": 2 for n in (1, 2, 3)}
    )


def test_the_same_text_is_in_one_part() -> None:
    parts = dealt(Item(f"{text}-{n}", text, "a") for text in ("yes", "no", "why") for n in range(2))
    assert all(parts[f"{text}-0"] == parts[f"{text}-1"] for text in ("yes", "no", "why"))
    assert len(set(parts.values())) == 3
