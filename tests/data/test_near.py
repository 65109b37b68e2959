"""Copies that were changed are close, whatever the kind, and what only resembles is not; crowds are borne."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from evernas.data.near import candidates, fingerprint_of, search
from evernas.data.near.texts import jaccard, minhash, normalised

RNG = np.random.default_rng(0)
SIGNAL, IMAGE, TEXT = (fingerprint_of({"kind": kind}) for kind in ("signal", "image", "text"))


def _pairs(prints: Any, groups: Any, fingerprint: Any) -> set[tuple[int, int]]:
    found = candidates(prints, np.asarray(groups, np.int32), fingerprint.close, fingerprint.banded)
    return {pair for some in found for pair in zip(some.first.tolist(), some.second.tolist(), strict=True)}


def test_a_signal_in_another_unit_and_shifted_is_the_same() -> None:
    long = np.cumsum(RNG.normal(size=(50, 3, 160)), axis=2).astype(np.float32)
    a, b = long[:, :, :128], 9.81 * long[:, :, 5:133] + 3
    assert SIGNAL.similarity(a, b).min() > 0.999
    assert SIGNAL.similarity(a, np.roll(b, 1, axis=0)).max() < 0.98


@pytest.mark.parametrize("strange", [np.nan, np.inf, 1e38, 0.0, 5.0])
def test_a_flat_or_broken_window_is_close_to_none(strange: float) -> None:
    windows = np.full((2, 3, 128), strange, np.float32)
    windows[:, :, 0] = strange * (1 + 1e-7) if np.isfinite(strange) else strange
    assert _pairs(SIGNAL.prints(windows), [0, 1], SIGNAL) == set()


def test_an_image_that_is_brighter_and_shifted_is_the_same() -> None:
    images = RNG.integers(0, 256, (30, 3, 20, 24)).astype(np.float32)
    moved = np.roll(images, (1, -1), (2, 3)) * 0.5 + 20
    assert IMAGE.similarity(images, moved).min() > 0.98
    assert _pairs(IMAGE.prints(np.concatenate([images, images * 0.7])), [*[0] * 30, *[1] * 30], IMAGE) >= {
        (n, n + 30) for n in range(30)
    }


def test_a_large_image_is_compared_in_small() -> None:
    images = np.kron(RNG.integers(0, 256, (4, 1, 25, 25)), np.ones((8, 8))).astype(np.float32)
    assert IMAGE.prints(images).shape[1] <= 128
    assert IMAGE.similarity(images, images + RNG.normal(0, 10, images.shape).astype(np.float32)).min() > 0.98


def test_a_text_with_typos_is_the_same_and_another_is_not() -> None:
    text = "The lift on the north side stops between two floors and does not answer to its buttons any more."
    typos = "The lift on the nort side stops between two floors and does not answer to its butons any more."
    other = "The invoice of last month names a wrong address, and the payment is due on Friday next week at noon."
    assert jaccard(text, typos) > 0.8 > 0.1 > jaccard(text, other)
    assert normalised("  Café—FERMÉ!\n") == "cafe ferme"
    hashes = minhash([text, text.upper(), typos, other, "", "!?"])
    assert _pairs(hashes, [0, 1, 2, 3, 4, 5], TEXT) == {(0, 1), (0, 2), (1, 2)}


def test_hashes_agree_as_often_as_shingles_do() -> None:
    words = ["".join(chr(97 + c) for c in RNG.integers(0, 26, 6)) for _ in range(60)]
    a, b = " ".join(words[:50]), " ".join(words[10:])
    agreed = float((minhash([a])[0] == minhash([b])[0]).mean())
    assert agreed == pytest.approx(jaccard(a, b), abs=0.2)


def test_texts_lie_in_shards_as_the_numbers_of_their_characters() -> None:
    codes = np.zeros((2, 1, 12), np.float32)
    codes[0, 0, :5] = [ord(c) for c in "heißt"]
    codes[1, 0, :3] = [0xD800, 2e9, 65]
    assert (TEXT.prints(codes)[0] == minhash(["heißt"])[0]).all()
    assert TEXT.similarity(codes, codes)[0] == 1


def test_rows_of_one_group_are_never_a_pair() -> None:
    prints = SIGNAL.prints(RNG.normal(size=(1, 3, 128)).astype(np.float32).repeat(40, 0))
    assert _pairs(prints, [0] * 40, SIGNAL) == set()
    assert _pairs(prints, [-1] * 20 + [-1] * 20, SIGNAL) == set()
    assert _pairs(prints, [0] * 39 + [1], SIGNAL) != set()


def test_copies_are_found_among_many_cells_and_in_a_crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "CELL_ROWS", 60)
    monkeypatch.setattr(search, "CROWD", 100)
    windows = RNG.normal(size=(1500, 3, 128)).astype(np.float32)
    crowd = RNG.normal(size=(1, 3, 128)) + 0.3 * RNG.normal(size=(500, 3, 128))
    whole = np.concatenate([windows, crowd.astype(np.float32)])
    copies = whole[::10] * 2 + 0.05 * RNG.normal(size=(200, 3, 128)).astype(np.float32)
    prints = SIGNAL.prints(np.concatenate([whole, copies]))
    found = _pairs(prints, [*range(2000), *range(5000, 5200)], SIGNAL)
    assert len(found & {(10 * n, 2000 + n) for n in range(200)}) >= 190
    assert len(found) < 3 * 2200


class _Counted:
    """Prints that say how many of them are asked for at once."""

    def __init__(self, prints: Any) -> None:
        self.prints, self.most = prints, 0

    def __len__(self) -> int:
        return len(self.prints)

    def __getitem__(self, index: Any) -> Any:
        found = self.prints[index]
        if found.ndim == 2:
            self.most = max(self.most, len(found))
        return found


@pytest.mark.parametrize("fresh", ["all", "few", "many"])
def test_a_crowd_is_never_in_memory_as_a_whole(monkeypatch: pytest.MonkeyPatch, fresh: str) -> None:
    for name, value in {"CROWD": 256, "_BLOCK": 64, "_CHUNK": 128, "CELL_ROWS": 1000}.items():
        monkeypatch.setattr(search, name, value)
    crowd = RNG.normal(size=(1, 3, 128)) + 0.3 * RNG.normal(size=(4000, 3, 128))
    prints = _Counted(SIGNAL.prints(crowd.astype(np.float32)))
    asking = {"all": np.ones(4000, bool), "few": np.arange(4000) >= 3900, "many": np.arange(4000) >= 2000}[fresh]
    found = list(search.candidates(prints, np.arange(4000, dtype=np.int32), SIGNAL.close, False, asking))
    assert sum(len(some.first) for some in found) > 0
    assert prints.most <= 2 * 256


@pytest.mark.parametrize("kind", ["signal", "text"])
def test_fresh_rows_are_paired_as_if_all_were(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(search, "CELL_ROWS", 60)
    fingerprint, groups = (SIGNAL, TEXT)[kind == "text"], np.arange(1200, dtype=np.int32)
    if kind == "signal":
        windows = RNG.normal(size=(1000, 3, 128)).astype(np.float32)
        prints = SIGNAL.prints(np.concatenate([windows, 2 * windows[::5]]))
    else:
        texts = ["".join(chr(97 + c) for c in RNG.integers(0, 26, 60)) for _ in range(1000)]
        prints = minhash([*texts, *(f"{text}!" for text in texts[::5])])
    fresh = np.zeros(1200, bool)
    fresh[[*range(0, 500, 10), *range(1100, 1200)]] = True
    of_all = _pairs(prints, groups, fingerprint)
    found = {
        pair
        for some in candidates(prints, groups, fingerprint.close, fingerprint.banded, fresh)
        for pair in zip(some.first.tolist(), some.second.tolist(), strict=True)
    }
    assert found == {(a, b) for a, b in of_all if fresh[a] or fresh[b]}
    assert len(found) >= 150
    assert not list(candidates(prints, groups, fingerprint.close, fingerprint.banded, np.zeros(1200, bool)))
