"""What folders and names say: several layouts that people have, and refusals where nothing plain is there."""

from __future__ import annotations

import pytest

from evernas.delivery.layouts import Layout, guess, parse
from evernas.delivery.lots import split_named
from evernas.errors import DataRefusedError, UsageError


def names(*patterns: str, each: int = 4) -> list[str]:
    return [f"{pattern}/{number}.png" for pattern in patterns for number in range(each)]


@pytest.mark.parametrize(
    ("found", "layout"),
    [
        (names("cat", "dog"), ("label",)),
        (names("photos/cat", "photos/dog"), ("-", "label")),
        (names("train/cat", "train/dog", "test/cat", "test/dog"), ("split", "label")),
        (names("cat/Train", "dog/Train", "cat/valid", "dog/valid"), ("label", "split")),
        (names(*(f"person{n}/{kind}" for n in range(5) for kind in ("cat", "dog"))), ("domain", "label")),
        (names(*(f"{kind}/camera_{n}" for n in range(5) for kind in ("cat", "dog"))), ("label", "domain")),
        (
            names(*(f"{kind}/{name}" for kind in ("cat", "dog") for name in ("ada", "bo", "cy", "di"))),
            ("label", "domain"),
        ),
        (
            names(*(f"{name}/{kind}" for kind in ("cat", "dog") for name in ("ada", "bo", "cy", "di"))),
            ("domain", "label"),
        ),
        (names(*(f"dog/rex{n}" for n in range(4)), *(f"cat/tom{n}" for n in range(4))), ("label", "domain")),
        (names("dog/a", "dog/b", "cat/c", "cat/d"), ("label", "-")),
        (
            names(*(f"train/site-{n}/{kind}" for n in range(4) for kind in "ab"), *(f"test/site-9/{k}" for k in "ab")),
            ("split", "domain", "label"),
        ),
        (
            names(*(f"{s}/{'abcdefghij'[c]}" for s in ("train_images", "test_images") for c in range(10))),
            ("split", "label"),
        ),
        (names(*(f"{s}/{s}/{c}" for s in ("seg_train", "seg_test") for c in "abcdef")), ("split", "-", "label")),
        (
            names(*(f"{c}/{s}" for s in ("images_val", "Training Set", "test2017") for c in "abc")),
            ("label", "split"),
        ),
    ],
)
def test_folders_say_what_their_levels_are(found: list[str], layout: tuple[str, ...]) -> None:
    assert guess(found).folders == layout


@pytest.mark.parametrize("name", ["train station", "contest", "trainer", "blood_test", "dev-ops", "pretrain", "", "7"])
def test_a_name_that_only_holds_that_of_a_split_is_none(name: str) -> None:
    assert split_named(name) is None


@pytest.mark.parametrize("outer", [("fruit", "tools"), ("photos", "drawings")])
def test_few_folders_over_many_are_classes_but_not_surely(outer: tuple[str, ...]) -> None:
    found = guess(names(*(f"{a}/{b}" for a in outer for b in ("red", "tan", "sky", "oak"))))
    assert (found.folders, found.other) == (("label", "domain"), ("domain", "label"))


def test_folders_that_can_be_read_in_two_ways_say_so() -> None:
    found = guess(names(*(f"{a}/{b}" for a in ("ada", "bo", "cy", "di") for b in ("red", "tan", "sky", "oak"))))
    assert (found.folders, found.other) == (("domain", "label"), ("label", "domain"))
    assert "--layout says otherwise" in found.why


def test_names_say_the_class_and_the_person() -> None:
    found = guess([f"person{n}_{kind}_{i:03d}.jpg" for n in range(5) for kind in ("cat", "dog") for i in range(4)])
    assert found.read("person3_dog_001.jpg") == {"domain": "person3", "label": "dog"}
    assert found.read("notes.jpg") is None


@pytest.mark.parametrize("name", ["cat.{n}.jpg", "cat{n}.jpg", "cat-{n}.jpg"])
def test_numbers_of_names_are_no_classes(name: str) -> None:
    found = guess([name.format(n=n).replace("cat", kind) for kind in ("cat", "dog") for n in range(40)])
    assert {found.read(name.format(n=7))["label"]} == {"cat"}  # type: ignore[index]


def test_a_digit_in_front_is_a_class() -> None:
    found = guess([f"{digit}_{n:05d}.png" for n in range(400) for digit in [n * 7 % 10]])
    assert found.read("7_00001.png") == {"label": "7"}


def test_people_as_folders_with_classes_in_names() -> None:
    found = guess([f"person{p}/{kind}_{n}.png" for p in range(5) for kind in ("cat", "dog") for n in range(5)])
    assert found.read("person2/dog_3.png") == {"domain": "person2", "label": "dog"}


def test_folders_of_wordnet_are_classes() -> None:
    found = guess(names(*(f"train/n0144{n}764" for n in range(6)), *(f"val/n0144{n}764" for n in range(6))))
    assert found.folders == ("split", "label")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([f"IMG_{n:04d}.jpg" for n in range(50)], "no part of the files' names surely does"),
        ([f"{a}_{b}_{n}.jpg" for a in ("cat", "dog") for b in ("in", "out") for n in range(9)], "more than one part"),
        (names(*(f"a{x}/b{y}/c{z}" for x in range(3) for y in range(3) for z in range(3))), "--layout domain/label/-"),
    ],
)
def test_what_is_not_plain_is_refused_with_the_mend(found: list[str], said: str) -> None:
    with pytest.raises(DataRefusedError, match=said):
        guess(found)


def test_a_person_may_say_the_layout() -> None:
    assert parse("-/label/domain").read("x/cat/rex/1.png") == {"label": "cat", "domain": "rex"}
    assert Layout(("label",)).read("too/deep/1.png") is None
    for wrong, said in (
        ("cat/dog", "is unknown"),
        ("domain/domain/label", "names a role twice"),
        ("domain", "unknown"),
    ):
        with pytest.raises(UsageError, match=said):
            parse(wrong)
