"""What the gate says it can show, before it reads anything."""

from __future__ import annotations

import numpy as np
import pytest

from evernas.errors import UsageError
from evernas.gate import estimate
from evernas.gate.estimate import Clusters, Floats, mean_of_units
from evernas.gate.planning import Design, Spread, detectable, domains_needed, foreseen, resolution, shift, shift_of_few
from evernas.gate.student import upper_quantile

SPREAD = Spread(0.10, 400, 0.005)


@pytest.mark.parametrize(
    ("df", "level", "power", "expected"),
    # scipy.stats.nct.sf(t.isf(level, df), df, expected) is the power.
    [
        (49, 1e-5, 0.8, 5.6285),
        (4, 0.0125, 0.8, 4.5840),
        (2, 0.01, 0.8, 8.9590),
        (4, 1e-4, 0.8, 16.0405),
        (1000, 1e-5, 0.8, 5.1298),
        (19, 0.03, 0.9, 3.3209),
    ],
)
def test_the_shift_is_that_of_the_noncentral_t(df: float, level: float, power: float, expected: float) -> None:
    assert shift(level, df, power) == pytest.approx(expected, rel=1e-3)


def test_more_power_smaller_levels_and_fewer_units_ask_for_more() -> None:
    assert shift(0.01, 20, 0.9) > shift(0.01, 20, 0.8) > shift(0.02, 20, 0.8) > shift(0.02, 200, 0.8)


def test_a_design_over_domains_counts_what_varies_between_them() -> None:
    design = SPREAD.over(50)
    assert (design.units, design.strata, design.df, design.step) == (50, 1, 49, 1 / 400)
    assert design.sd == pytest.approx(np.sqrt(0.1 / 400 + 0.005**2))
    assert design.standard_error == pytest.approx(design.sd / np.sqrt(50))
    assert resolution(design, 0.01) == pytest.approx(upper_quantile(0.01, 49) * design.standard_error)
    assert detectable(design, 0.01, 0.005) == pytest.approx(0.005 + shift(0.01, 49) * design.standard_error)


@pytest.mark.parametrize("units", [5, 8, 14])
def test_the_shift_of_few_units_is_that_of_the_gates_own_bound(units: int) -> None:
    level, rng = 0.0042, np.random.default_rng(3)
    design = Design(units, 1, 0.01)
    gain = detectable(design, level, 0.005)
    assert gain - 0.005 > 1.05 * shift(level, units - 1) * design.standard_error, "the bootstrap is wider"
    shown = [
        mean_of_units(-rng.normal(gain, 0.01, units), 20_000, number).upper(level) <= -0.005 for number in range(150)
    ]
    assert 0.7 < np.mean(shown) < 0.9


def test_what_few_units_show_is_foreseen_from_few_draws_of_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bound draws its own 20,000 resamples; hundreds of simulated ones share them, or a plan would take a minute."""
    drawn = []
    resampled = estimate._resampled

    def counted(rng: np.random.Generator, around: Floats, step: float, count: int) -> tuple[Floats, Floats]:
        drawn.append(around.shape[1])
        return resampled(rng, around, step, count)

    monkeypatch.setattr(estimate, "_resampled", counted)
    shift_of_few.cache_clear()
    shift_of_few(12, 0.0042)
    assert sum(drawn) > 300
    assert len(drawn) < 30


def test_what_one_sample_changes_makes_few_units_show_more() -> None:
    """Resamples of nearly equal units then have a spread, as they have in the gate."""
    level, step = 0.0042, 0.06
    gains = [detectable(Design(5, 1, 0.01, each * 0.01), level, 0.005) for each in (0.0, step)]
    assert gains[1] < 0.8 * gains[0]
    rng = np.random.default_rng(4)
    shown = [
        mean_of_units(-rng.normal(gains[1], 0.01, 5), 20_000, number, step * 0.01).upper(level) <= -0.005
        for number in range(400)
    ]
    assert 0.74 < np.mean(shown) < 0.86
    same = [detectable(Design(5, 1, 0.01, each), level, 0.005) for each in (0.000300, 0.000304)]
    assert same[0] == same[1], "steps are told apart by hundredths of a standard deviation"
    assert detectable(Design(5, 1, 0.0), level, 0.005) == 0.005


def test_so_many_domains_as_needed_and_no_fewer() -> None:
    for gain in (0.012, 0.018, 0.05):
        count = domains_needed(SPREAD, 1e-4, 0.005, gain)
        assert count is not None
        assert detectable(SPREAD.over(count), 1e-4, 0.005) <= gain
        assert detectable(SPREAD.over(count - 1), 1e-4, 0.005) > gain
    assert domains_needed(Spread(1e-9, 400, 0.0), 0.2, 0.0, 0.5) == 2


def test_no_number_of_domains_shows_what_is_not_there() -> None:
    assert domains_needed(SPREAD, 1e-4, 0.005, 0.005) is None
    assert domains_needed(SPREAD, 1e-4, 0.005, 0.0050001) is None


def seen(domains: int, recordings: int) -> Clusters:
    rng = np.random.default_rng(1)
    parts = tuple(rng.normal(0, 0.1, recordings) + rng.normal(0, 0.2) for _ in range(domains))
    return Clusters(tuple(f"d{i}" for i in range(domains)), parts, (10.0,) * domains)


def test_the_search_split_lets_foresee_the_gate_s() -> None:
    over_domains = foreseen(seen(4, 200), 9, 90, 5)
    assert (over_domains.units, over_domains.strata, over_domains.step) == (9, 1, 1 / 100)
    assert over_domains.sd == pytest.approx(seen(4, 200).means.std(ddof=1))
    over_recordings = foreseen(seen(2, 200), 3, 42, 5)
    assert (over_recordings.units, over_recordings.strata) == (42, 3)
    assert over_recordings.sd == pytest.approx(0.1, rel=0.1)
    assert foreseen(seen(1, 200), 5, 45, 5).sd == pytest.approx(over_recordings.sd / 3, rel=0.1)
    assert foreseen(seen(1, 200), 5, 3, 5).sd == pytest.approx(over_recordings.sd, rel=0.1)
    assert (foreseen(seen(1, 200), 5, 45, 5).step, foreseen(seen(1, 200), 5, 3, 5).step) == (1 / 90, 1 / 10)
    assert over_recordings.step == 0.0, "recordings are never few"


def test_recordings_alone_in_their_domain_say_nothing() -> None:
    mixed = seen(2, 50)
    some = Clusters(mixed.names, (mixed.recordings[0], mixed.recordings[1][:1]), mixed.samples)
    assert foreseen(some, 3, 42, 5).sd == pytest.approx(mixed.recordings[0].std(ddof=1))
    with pytest.raises(UsageError, match="no domain with two recordings"):
        foreseen(seen(3, 1), 3, 42, 5)


def test_the_design_of_the_issue_needs_less_than_it_has() -> None:
    """20,000 samples in 50 domains show the minimum effect plus 1.3 points, on the last of 365 decisions too."""
    from evernas.gate import claim

    level = claim(0.05, 365, (None,) * 364).level / 2
    assert detectable(Design(50, 1, SPREAD.over(50).sd), level, 0.005) < 0.018


def test_another_power_asks_for_another_gain_and_number_of_domains() -> None:
    design = SPREAD.over(30)
    gain = detectable(design, 0.01, 0.005, power=0.5)
    assert gain == pytest.approx(0.005 + shift(0.01, 29, 0.5) * design.standard_error)
    assert gain < detectable(design, 0.01, 0.005)
    assert domains_needed(SPREAD, 0.01, 0.005, gain, power=0.5) == 30, "a gain that is just detectable is enough"


def test_what_is_foreseen_of_enough_domains_is_by_domains_though_the_search_split_has_one() -> None:
    """One person of two recordings says how recordings vary; the mean of ten of these varies the less."""
    one = Clusters(("a",), (np.array([0.1, 0.3]),), (50.0,))
    sd = float(np.std([0.1, 0.3], ddof=1))
    design = foreseen(one, 5, 50, 5)
    assert (design.units, design.strata) == (5, 1)
    assert design.sd == pytest.approx(sd / np.sqrt(10))
    few = foreseen(one, 4, 40, 5)
    assert (few.units, few.strata, few.sd) == (40, 4, pytest.approx(sd))


def test_two_people_of_the_search_split_say_how_as_many_as_are_needed_vary() -> None:
    two = Clusters(("a", "b"), (np.array([0.1]), np.array([0.3])), (50.0, 50.0))
    design = foreseen(two, 5, 5, 5)
    assert (design.units, design.strata) == (5, 1)
    assert design.sd == pytest.approx(float(np.std([0.1, 0.3], ddof=1)))
