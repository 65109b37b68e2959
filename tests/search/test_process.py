"""The surrogate's process: slopes are slopes, points taken in one by one are as if there from the start."""

from __future__ import annotations

import numpy as np
import pytest

from evernas.search.kernel import Kernel
from evernas.search.process import MOST_DOUBT, Parameters, Process, fit, likelihood
from evernas.search.warp import WARPS, Log, Plain, Scores
from evernas.spaces import Categorical

WAYS = [3, 3, 3, 5, 2]


@pytest.fixture
def setting() -> tuple[Kernel, np.ndarray, np.ndarray, Parameters]:
    rng = np.random.default_rng(0)
    kernel = Kernel(Categorical(WAYS))
    points = kernel.points(np.array([[int(rng.integers(way)) for way in WAYS] for _ in range(40)]))
    flat = Parameters.middle(len(WAYS)).flat()
    return kernel, points, rng.normal(size=40), Parameters.of(flat + rng.normal(size=len(flat)) * 0.3)


def test_the_likelihoods_slope_is_that_of_finite_differences(setting) -> None:
    kernel, points, z, parameters = setting
    flat, step = parameters.flat(), 1e-5
    _, slope = likelihood(kernel, points, z, parameters)
    for i, move in enumerate(np.eye(len(flat)) * step):
        above, below = (likelihood(kernel, points, z, Parameters.of(flat + sign * move))[0] for sign in (1, -1))
        assert slope[i] == pytest.approx((above - below) / (2 * step), abs=1e-6)


def test_points_taken_in_later_are_as_if_known_from_the_start(setting) -> None:
    kernel, points, z, parameters = setting
    at_once = Process(kernel, parameters, points)
    grown = Process(kernel, parameters, points[:25]).extended(points[25:])
    other = kernel.points(np.array([[0, 1, 2, 3, 1], [2, 2, 2, 4, 0]]))
    for process in (at_once, grown):
        assert len(process) == 40
    np.testing.assert_allclose(grown.mean_at(z, grown.cross(other)), at_once.mean_at(z, at_once.cross(other)))
    np.testing.assert_allclose(
        grown.deviation_at(grown.cross(other)), at_once.deviation_at(at_once.cross(other)), rtol=1e-6
    )


def test_pending_points_narrow_what_is_uncertain_and_move_no_mean(setting) -> None:
    kernel, points, z, parameters = setting
    known = Process(kernel, parameters, points[:30])
    pending = known.extended(points[30:31])
    here = points[30:31]
    assert pending.deviation_at(pending.cross(here))[0] < known.deviation_at(known.cross(here))[0]
    assert pending.mean_at(z[:30], pending.cross(here)) == pytest.approx(known.mean_at(z[:30], known.cross(here)))


def test_the_cheap_bound_is_never_below_the_deviation(setting) -> None:
    kernel, points, _, parameters = setting
    process = Process(kernel, parameters, points)
    rng = np.random.default_rng(1)
    cross = process.cross(kernel.points(np.array([[int(rng.integers(way)) for way in WAYS] for _ in range(100)])))
    assert (process.bound_at(cross) >= process.deviation_at(cross) - 1e-9).all()


def test_left_out_means_are_those_of_a_process_without_the_point(setting) -> None:
    kernel, points, z, parameters = setting
    found = Process(kernel, parameters, points).left_out(z)
    for i in (0, 17, 39):
        others = np.arange(40) != i
        process = Process(kernel, parameters, points[others])
        assert found[i] == pytest.approx(process.mean_at(z[others], process.cross(points[[i]]))[0])


def test_targets_that_fit_no_model_raise_doubt_and_smooth_ones_do_not(setting) -> None:
    kernel, points, _, _ = setting
    smooth = points @ np.linspace(-1, 1, points.shape[1])
    smooth = (smooth - smooth.mean()) / smooth.std()
    trusted = Process(kernel, fit(kernel, points, smooth, Parameters.middle(len(WAYS)), 60), points)
    assert trusted.doubt(smooth) < 1.5
    assert trusted.doubt(np.random.default_rng(5).normal(size=40) * 9) == MOST_DOUBT


def test_a_fit_finds_which_choices_matter() -> None:
    rng = np.random.default_rng(0)
    space = Categorical([4] * 6)
    kernel = Kernel(space)
    genes = rng.integers(4, size=(80, 6))
    z = np.array([1.0, -1.0, 0.5, -0.5])[genes[:, 2]] + 0.3 * np.array([1.0, 0.0, -1.0, 0.0])[genes[:, 4]]
    weights = fit(kernel, kernel.points(genes), z / z.std(), Parameters.middle(6), 80).weights
    assert set(np.argsort(-weights)[:2]) == {2, 4}


@pytest.mark.parametrize("name", WARPS)
def test_a_warp_and_back_is_the_value(name: str) -> None:
    values = np.array([0.3, 0.1, 7.0, 2.0, 2.0, 1e-3])
    warp = WARPS[name].of(values)
    assert warp is not None
    np.testing.assert_allclose(warp.backward(warp.forward(values)), values)
    assert (np.diff(warp.backward(np.linspace(-6, 6, 50))) > 0).all()


def test_logarithms_apply_only_above_zero_and_constants_to_every_warp() -> None:
    assert Log.of(np.array([0.0, 1.0])) is None
    for warp in (Plain.of(np.full(4, 2.0)), Scores.of(np.full(4, 2.0)), Log.of(np.full(4, 2.0))):
        assert warp is not None
        assert np.isfinite(warp.backward(warp.forward(np.full(4, 2.0)))).all()
