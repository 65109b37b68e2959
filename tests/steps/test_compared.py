"""Two supernets are compared though their spaces, classes or sub-words differ: on networks and classes of both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from evernas.config import SpaceConfig, SupernetConfig, TextConfig, TextSpaceConfig
from evernas.data import Samples
from evernas.spaces import ImageSpace, NetworkSpace, SignalSpace, TextSpace
from evernas.steps.forgetting import Lost, Supernet, lost_since
from evernas.supernet import initial
from evernas.supernet.carrying import Layout, carried
from evernas.supernet.vocabulary import learn
from evernas.tokeniser import Tokeniser, codes_of
from small_texts import FILLERS, WORDS

ROWS, LABELS = 120, ["a", "b", "c"]
CONFIG = SupernetConfig(batch=16, calibration_batches=2)
SMALL: dict[str, Any] = {
    "stem_width": 8, "head_width": 16, "stage_widths": [[8], [12]], "depths": [1, 2], "kernels": [3], "expansions": [1],
}  # fmt: skip
LARGE: dict[str, Any] = {**SMALL, "stage_widths": [[8, 12], [12, 16]], "depths": [1, 2, 3], "kernels": [3, 5]}
FEW_TEXT: dict[str, Any] = {"widths": [16], "depths": [0, 1], "heads": [2], "kernels": [3], "ratios": [1]}
MORE_TEXT: dict[str, Any] = {**FEW_TEXT, "widths": [8, 16, 24], "depths": [0, 1, 2], "kernels": [3, 5]}


def space_of(kind: str, choices: dict[str, Any], classes: int = 3, size: int = 16) -> NetworkSpace:
    if kind == "text":
        return TextSpace(TextConfig(tokens=size, vocabulary=320), classes, TextSpaceConfig(**choices))
    config = SpaceConfig(**choices)
    return SignalSpace(2, size, classes, config) if kind == "signal" else ImageSpace(1, size, size, classes, config)


def sentences(seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.permutation([*rng.choice(WORDS[c], 2), *rng.choice(FILLERS, 3)])) for c in _classes(seed)]


def _classes(seed: int) -> np.ndarray:
    found: np.ndarray = np.random.default_rng(seed).integers(0, 3, ROWS)
    return found


def samples(space: NetworkSpace, labels: Sequence[str] = LABELS, seed: int = 1) -> Samples:
    """Rows of the classes a, b and c, as numbers of these labels."""
    if isinstance(space, TextSpace):
        x = np.stack([codes_of(text, 64) for text in sentences(seed)])
    else:
        x = np.random.default_rng(seed).normal(size=(ROWS, *space.shape)).astype(np.float32)
    number = {name: at for at, name in enumerate(labels)}
    y = np.array([number[LABELS[c]] for c in _classes(seed)])
    names = tuple(f"row {at}" for at in range(ROWS))
    return Samples(x, y, tuple(f"d{at % 3}" for at in range(ROWS)), names, names)


def supernet(
    space: NetworkSpace, labels: Sequence[str] = LABELS, seed: int = 0, tokeniser: Tokeniser | None = None
) -> Supernet:
    """Weights that answer something."""
    generator, state = torch.Generator().manual_seed(seed + 1), initial(space, seed)
    for name, tensor in state.items():
        if name.endswith(("scale", "shift", "bias")):
            tensor += 0.3 * torch.randn(tensor.shape, generator=generator)
    if isinstance(space, TextSpace) and tokeniser is None:
        tokeniser = learn(sentences(1), 320, True, space.shape[0])
    return Supernet(state, space, list(labels), tokeniser)


def gone_on(before: Supernet, space: NetworkSpace, labels: Sequence[str] = LABELS) -> Supernet:
    """The weights in another space or with other classes, before any training."""
    state = carried(before.state, Layout(before.labels, before.space.pooled_parts), space, labels, seed=9).state
    return Supernet(state, space, list(labels), before.tokeniser)


def compared(before: Supernet, after: Supernet, train: Samples | None = None, known: Any = None) -> Lost | str:
    train = samples(after.space, after.labels) if train is None else train
    rows = np.ones(len(train), dtype=bool) if known is None else known
    return lost_since(CONFIG, before, after, train, rows, lambda: None)


CHANGES = {
    "signal": (SMALL, LARGE),
    "image": (SMALL, {**LARGE, "resolutions": [8, 16], "squeeze_excite": [False, True]}),
    "text": (FEW_TEXT, MORE_TEXT),
}
KINDS = pytest.mark.parametrize("kind", sorted(CHANGES))


@KINDS
def test_what_went_on_into_a_grown_space_has_lost_nothing_until_it_is_spoilt(kind: str) -> None:
    was, now = (space_of(kind, choices) for choices in CHANGES[kind])
    before = supernet(was)
    after = gone_on(before, now)
    found = compared(before, after)
    assert isinstance(found, Lost)
    assert (found.samples, found.networks, found.classes) == (ROWS, min(4, was.size()), None)
    assert found.before == pytest.approx(found.after, abs=0.01)
    # Weights that no network of the smaller space has change nothing of it.
    other = Supernet(supernet(now, seed=5).state, now, LABELS, before.tokeniser)
    spoilt = compared(before, other)
    assert isinstance(spoilt, Lost)
    assert spoilt.before == found.before
    assert spoilt.after != found.after
    assert compared(other, other) == Lost(ROWS, *[compared(other, other).before] * 2)  # type: ignore[union-attr]


@KINDS
def test_with_more_classes_in_another_order_the_answer_is_among_those_of_both(kind: str) -> None:
    was = space_of(kind, CHANGES[kind][0])
    before = supernet(was)
    labels = ["new", "c", "a", "newer", "b"]
    after = gone_on(before, space_of(kind, CHANGES[kind][0], classes=5), labels)
    # A class that always wins takes nothing from what is known.
    after.state["classifier.bias"][labels.index("new")] += 100
    found = compared(before, after)
    assert isinstance(found, Lost)
    assert found.classes == 3
    assert found.before == pytest.approx(found.after, abs=0.01)
    assert 0 < found.before < 1


def test_rows_of_a_class_that_the_last_one_did_not_know_do_not_count() -> None:
    space = space_of("signal", SMALL)
    found = compared(supernet(space, ["x", "b", "c"]), supernet(space, LABELS))
    assert isinstance(found, Lost)
    assert found.samples == int((_classes(1) != 0).sum())
    assert found.classes == 2


def test_each_supernet_of_texts_reads_by_its_own_sub_words() -> None:
    space = space_of("text", FEW_TEXT)
    anew = learn([f"{text} abra cadabra zzz" for text in sentences(7)], 300, True, 16)
    one = supernet(space)
    two = supernet(space, seed=3, tokeniser=anew)
    assert one.tokeniser is not None
    assert one.tokeniser.data != anew.data
    apart = [compared(each, each) for each in (one, two)]
    found = compared(one, two)
    assert isinstance(found, Lost)
    assert isinstance(apart[0], Lost)
    assert isinstance(apart[1], Lost)
    assert (found.before, found.after) == (apart[0].before, apart[1].after)
    swapped = compared(Supernet(one.state, space, LABELS, anew), two)
    assert isinstance(swapped, Lost)
    assert swapped.before != found.before, "the sub-words of another supernet are other numbers"


def test_texts_may_be_cut_at_another_length() -> None:
    was, now = space_of("text", FEW_TEXT, size=12), space_of("text", {**FEW_TEXT, "lengths": [12, 24]}, size=24)
    found = compared(supernet(was), supernet(now))
    assert isinstance(found, Lost)
    assert found.networks is not None


def test_why_two_cannot_be_compared_is_said() -> None:
    signal = space_of("signal", SMALL)
    known = np.zeros(ROWS, dtype=bool)
    assert compared(supernet(signal), supernet(signal), known=known) == "no sample is known to both"
    longer = space_of("signal", SMALL, size=32)
    assert compared(supernet(longer), supernet(signal)) == "its samples were of another size"
    stem = space_of("signal", {**SMALL, "stem_width": 12})
    assert compared(supernet(stem), supernet(signal)) == "no network was found that both spaces have"
    assert compared(supernet(signal, ["a", "y", "z"]), supernet(signal)) == "fewer than two classes are known to both"


def test_terms_are_said_where_they_are_others() -> None:
    same = Lost(1_200, 0.02, 0.05)
    assert same.sentence == "5.0 % of 1,200 samples that both know are wrong, 2.0 % were before"
    other = Lost(1_200, 0.02, 0.05, networks=4, classes=2)
    assert "know (in 4 networks that both spaces have, asked for the 2 classes that both have) are" in other.sentence
    assert Lost.of({**other.to_json(), "fell_back": True}) == other
    assert Lost.of({"samples": 9, "before": 0.1, "after": 0.2, "fell_back": False}) == Lost(9, 0.1, 0.2)
