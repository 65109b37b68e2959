"""Each corruption does what it says, and to the same row the same, whatever else is in the batch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evernas.config_robustness import KNOWN
from evernas.robustness import corrupted
from evernas.tokeniser import codes_of, text_of

SHARE = st.floats(0.05, 0.9)
SEED = st.integers(0, 2**31)


def windows(count: int, channels: int = 3, length: int = 40, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    spread = np.arange(1, channels + 1)[None, :, None]
    return (5 + spread * rng.normal(size=(count, channels, length))).astype(np.float32)


def pictures(count: int, channels: int = 3, side: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, channels, side, side)).astype(np.float32)


def writing(*texts: str, room: int = 80) -> np.ndarray:
    return np.stack([codes_of(text, room)[None] for text in texts])


SENTENCES = ["the quick brown fox jumps", "over a lazy dog", "Straße in Köln", "一二三四五六七八", "ok", "a", "a a a a"]
SAMPLES = {"signal": windows(7), "image": pictures(7), "text": writing(*SENTENCES)}
EVERY = [(kind, name) for kind, known in KNOWN.items() for name in known]


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_a_row_is_changed_alike_alone_in_any_order_and_again_and_stays_what_it_was(kind: str, name: str) -> None:
    x, severity = SAMPLES[kind], KNOWN[kind][name].severity
    before = x.copy()
    whole = corrupted(kind, name, severity, x, seed=3)
    assert np.array_equal(x, before), "the samples themselves stay as they are"
    assert (whole.shape, whole.dtype) == (x.shape, x.dtype)
    assert np.array_equal(whole[::-1], corrupted(kind, name, severity, x[::-1], seed=3))
    for row, expected in zip(x, whole, strict=True):
        assert np.array_equal(corrupted(kind, name, severity, row[None], seed=3)[0], expected)


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_rows_are_changed_and_differently_by_seed_where_something_is_drawn(kind: str, name: str) -> None:
    x, severity = SAMPLES[kind], KNOWN[kind][name].severity
    found = [corrupted(kind, name, severity, x, seed) for seed in range(12)]
    assert not np.array_equal(found[0], x)
    drawn = any(not np.array_equal(found[0], other) for other in found[1:])
    assert drawn is (name not in ("blur", "contrast", "case", "truncation"))


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_the_largest_severity_and_a_tiny_one_are_borne(kind: str, name: str) -> None:
    for severity in (1e-6, KNOWN[kind][name].most):
        found = corrupted(kind, name, severity, SAMPLES[kind], seed=0)
        assert np.isfinite(found).all()


@pytest.mark.parametrize(
    ("kind", "x"),
    [
        ("signal", np.full((1, 1, 8), 3.0, np.float32)),
        ("image", np.zeros((1, 1, 8, 8), np.float32)),
        ("text", writing("", " ", "x")),
    ],
)
def test_flat_and_empty_rows_are_borne(kind: str, x: np.ndarray) -> None:
    for name, known in KNOWN[kind].items():
        found = corrupted(kind, name, known.severity, x, seed=0)
        assert np.isfinite(found).all()
        if kind == "image":
            assert np.array_equal(found, x), "an image without a range has nothing to lose"


@settings(max_examples=40, deadline=None)
@given(SHARE, SEED)
def test_dropout_takes_one_stretch_of_one_channel_to_zero(share: float, seed: int) -> None:
    x = windows(4, length=40)
    for row, found in zip(x, corrupted("signal", "dropout", share, x, seed), strict=True):
        (channels, steps) = np.nonzero(found != row)
        assert len(set(channels)) == 1
        assert (found[channels, steps] == 0).all()
        assert len(steps) == max(1, round(share * 40))
        assert steps.max() - steps.min() == len(steps) - 1


def test_every_channel_is_lost_in_some_row() -> None:
    x = windows(60)
    lost = {
        int(np.nonzero((f != r).any(1))[0][0])
        for r, f in zip(x, corrupted("signal", "dropout", 0.5, x, 0), strict=True)
    }
    assert lost == {0, 1, 2}


@settings(max_examples=20, deadline=None)
@given(st.floats(0.05, 3.0), SEED)
def test_noise_of_a_signal_has_the_stated_spread_of_each_channel(spread: float, seed: int) -> None:
    x = windows(1, length=4000)
    added = (corrupted("signal", "noise", spread, x, seed) - x)[0]
    assert added.std(axis=1) == pytest.approx(spread * x[0].std(axis=1), rel=0.08)
    assert abs(np.corrcoef(added)[0, 1]) < 0.1


@settings(max_examples=40, deadline=None)
@given(SHARE, SEED)
def test_gain_is_one_factor_for_all_channels(share: float, seed: int) -> None:
    x = windows(12)
    factors = corrupted("signal", "gain", share, x, seed) / x
    for row in factors:
        expected = 1 + share if row.mean() > 1 else 1 - share
        assert row == pytest.approx(np.full_like(row, expected), rel=1e-5)


def test_gain_and_shift_and_brightness_go_both_ways() -> None:
    x = windows(40)
    assert {bool(row.mean() > 1) for row in corrupted("signal", "gain", 0.2, x, 0) / x} == {True, False}
    ramp = np.tile(np.arange(40, dtype=np.float32), (40, 1, 1)) + np.arange(40, dtype=np.float32)[:, None, None] / 100
    middles = corrupted("signal", "shift", 0.2, ramp, 0)[:, 0, 20] - ramp[:, 0, 20]
    assert set(np.round(middles).tolist()) == {-8.0, 8.0}
    grey = pictures(40)
    darker = corrupted("image", "brightness", 0.2, grey, 0).mean(axis=(1, 2, 3)) < grey.mean(axis=(1, 2, 3))
    assert set(darker.tolist()) == {True, False}


@settings(max_examples=40, deadline=None)
@given(st.floats(0.01, 0.9), SEED)
def test_a_shifted_window_keeps_what_it_still_sees_and_mirrors_the_rest(share: float, seed: int) -> None:
    x = windows(4, length=40)
    steps = max(1, round(share * 40))
    for row, found in zip(x, corrupted("signal", "shift", share, x, seed), strict=True):
        later = np.array_equal(found[:, steps:], row[:, :-steps])
        earlier = np.array_equal(found[:, :-steps], row[:, steps:])
        assert later or earlier
        if later:
            assert np.array_equal(found[:, :steps], row[:, 1 : steps + 1][:, ::-1])
        else:
            assert np.array_equal(found[:, -steps:], row[:, -1 - steps : -1][:, ::-1])


@settings(max_examples=20, deadline=None)
@given(st.floats(0.02, 0.5))
def test_a_blur_keeps_the_light_loses_detail_and_knows_no_direction(share: float) -> None:
    x = pictures(3)
    found = corrupted("image", "blur", share, x, 0)
    # The edges are mirrored, so that a flat image stays flat and no light is lost.
    assert found.mean(axis=(2, 3)) == pytest.approx(x.mean(axis=(2, 3)), rel=0.03)
    assert (found.std(axis=(2, 3)) < x.std(axis=(2, 3))).all()
    assert np.allclose(corrupted("image", "blur", share, x[..., ::-1, :], 0), found[..., ::-1, :], atol=1e-3)
    assert np.allclose(corrupted("image", "blur", share, x.swapaxes(2, 3), 0), found.swapaxes(2, 3), atol=1e-3)


def test_a_blur_of_one_point_is_a_gaussian_of_the_stated_width() -> None:
    x = np.zeros((1, 1, 64, 64), np.float32)
    x[0, 0, 32, 32] = 1000
    across = corrupted("image", "blur", 3 / 64, x, 0)[0, 0].sum(axis=0)
    at = np.arange(64)
    assert np.sqrt((across * (at - 32) ** 2).sum() / across.sum()) == pytest.approx(3, rel=0.03)


def test_more_blur_is_smoother() -> None:
    x = pictures(2)
    roughness = [corrupted("image", "blur", share, x, 0).std() for share in (0.01, 0.05, 0.2)]
    assert roughness == sorted(roughness, reverse=True)


@settings(max_examples=30, deadline=None)
@given(SHARE, SEED, st.sampled_from([1.0, 255.0]))
def test_light_and_noise_stay_in_the_image_s_own_range_in_any_unit(share: float, seed: int, unit: float) -> None:
    x = pictures(3) / np.float32(unit)
    for name in ("noise", "brightness"):
        found = corrupted("image", name, share, x, seed)
        assert (found.max(axis=(1, 2, 3)) <= x.max(axis=(1, 2, 3)) + 1e-4).all()
        assert (found.min(axis=(1, 2, 3)) >= x.min(axis=(1, 2, 3)) - 1e-4).all()


def test_noise_of_an_image_has_the_stated_share_of_its_range() -> None:
    x = np.full((1, 1, 100, 100), 100, np.float32)
    x[0, 0, 0, 0], x[0, 0, 0, 1] = 0, 200
    assert (corrupted("image", "noise", 0.1, x, 0) - x).std() == pytest.approx(20, rel=0.03)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.05, 1.0))
def test_contrast_is_lost_about_each_channel_s_mean(share: float) -> None:
    x = pictures(2)
    found = corrupted("image", "contrast", share, x, 0)
    assert found.mean(axis=(2, 3)) == pytest.approx(x.mean(axis=(2, 3)), rel=1e-4)
    assert found.std(axis=(2, 3)) == pytest.approx((1 - share) * x.std(axis=(2, 3)), rel=1e-3, abs=1e-3)


def test_brightness_moves_all_pixels_by_the_stated_share_until_they_saturate() -> None:
    x = np.tile(np.linspace(0, 200, 64, dtype=np.float32).reshape(1, 1, 8, 8), (10, 1, 1, 1))
    x[:, 0, 4, 4] += np.arange(10) / 10
    for row, found in zip(x, corrupted("image", "brightness", 0.25, x, 0), strict=True):
        by = 50 if found.mean() > row.mean() else -50
        assert found == pytest.approx(np.clip(row + by, 0, 200), abs=0.2)


LETTERS = st.text(alphabet="abcdefgh ", min_size=1, max_size=60)


@settings(max_examples=80, deadline=None)
@given(LETTERS, SHARE, SEED)
def test_typos_are_as_many_as_stated_and_of_the_text_s_own_letters(text: str, share: float, seed: int) -> None:
    text = " ".join(text.split()) or "ab"
    found = text_of(corrupted("text", "typos", share, writing(text, room=200), seed)[0])
    letters = len(text.replace(" ", ""))
    wrong = min(letters - 1, max(1, round(share * letters))) if letters > 1 else 0
    assert set(found) <= set(text)
    assert abs(len(found) - len(text)) <= wrong
    assert (found == text) <= (wrong != 1), "a single typo is seen"
    assert _distance(text, found) <= 2 * wrong


def _distance(one: str, other: str) -> int:
    """Levenshtein's; a swap counts as two."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        row, before = [i], row
        for j, b in enumerate(other, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (a != b)))
    return row[-1]


def test_each_way_of_mistyping_occurs() -> None:
    seen = set()
    for seed in range(60):
        found = text_of(corrupted("text", "typos", 0.01, writing("abcdef"), seed)[0])
        seen.add((len(found), sorted(found) == sorted("abcdef")))
    assert seen == {(7, False), (5, False), (6, True), (6, False)}


@settings(max_examples=60, deadline=None)
@given(LETTERS, SHARE, SEED)
def test_as_many_words_as_stated_are_in_capitals(text: str, share: float, seed: int) -> None:
    text = " ".join(text.split()) or "ab"
    words, found = text.split(" "), text_of(corrupted("text", "case", share, writing(text), seed)[0]).split(" ")
    assert [word.lower() for word in found] == words
    assert sum(word.isupper() for word in found) == max(1, round(share * len(words)))


@settings(max_examples=60, deadline=None)
@given(LETTERS, SHARE)
def test_truncation_keeps_the_beginning(text: str, share: float) -> None:
    text = " ".join(text.split()) or "ab"
    found = text_of(corrupted("text", "truncation", share, writing(text), 0)[0])
    assert text.startswith(found)
    assert found == text[: max(1, round((1 - share) * len(text)))].rstrip(" ")
    assert found


def test_a_text_that_grows_out_of_its_room_is_cut() -> None:
    full = writing("ß" * 10, room=10)
    assert text_of(corrupted("text", "case", 1.0, full, 0)[0]) == "S" * 10
    assert len(text_of(corrupted("text", "typos", 0.3, full, 0)[0])) <= 10
