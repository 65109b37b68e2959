"""Every change to a training window does what its name says and no more."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from evernas.config import AugmentConfig
from evernas.supernet.augment import augment, blend
from evernas.supernet.data import generator


def changes(**settings: Any) -> AugmentConfig:
    """These changes and no other."""
    return AugmentConfig(**{"scale": 0, "jitter": 0, "time_warp": 0, "shift": 0, **settings})


STD = torch.tensor([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])


def batch(rows: int = 16) -> torch.Tensor:
    return torch.randn((rows, 6, 64), generator=generator(0, "test", 0))


def test_nothing_changes_without_settings() -> None:
    assert torch.equal(augment(batch(), STD, changes(), generator(0, "a", 0)), batch())


def test_rotation_keeps_lengths_and_angles_between_both_sensors() -> None:
    x = batch()
    config = changes(rotate=[[0, 1, 2], [3, 4, 5]], rotate_degrees=180)
    y = augment(x, STD, config, generator(0, "a", 0))
    assert not torch.allclose(x, y)
    assert torch.allclose(x[:, :3].norm(dim=1), y[:, :3].norm(dim=1), atol=1e-4)
    assert torch.allclose((x[:, :3] * x[:, 3:]).sum(1), (y[:, :3] * y[:, 3:]).sum(1), atol=1e-4)


def test_rotation_keeps_within_its_angle() -> None:
    x = torch.zeros(200, 6, 64)
    x[:, 0] = 1
    config = changes(rotate=[[0, 1, 2]], rotate_degrees=20)
    angle = torch.rad2deg(torch.acos(augment(x, STD, config, generator(0, "a", 0))[:, 0, 0].clamp(-1, 1)))
    assert 10 < float(angle.max()) <= 20.01


def test_flip_changes_the_signs_of_a_group_together() -> None:
    x = batch(64)
    y = augment(x, STD, changes(flip=[[0, 4]]), generator(0, "a", 0))
    signs = (y / x)[:, :, 0].round()
    assert torch.equal(signs[:, 0], signs[:, 4])
    assert set(signs[:, 0].tolist()) == {-1.0, 1.0}
    assert torch.equal(y[:, [1, 2, 3, 5]], x[:, [1, 2, 3, 5]])


def test_time_warp_and_shift_stay_within_the_window() -> None:
    x = torch.linspace(0, 1, 64).expand(32, 6, 64)
    y = augment(x, STD, changes(time_warp=0.5, shift=0.5), generator(0, "a", 0))
    assert y.shape == x.shape
    assert float(y.min()) >= 0
    assert float(y.max()) <= 1
    assert not torch.allclose(x, y)


def test_jitter_follows_each_channels_scale() -> None:
    x = torch.zeros(400, 6, 64)
    y = augment(x, STD, changes(jitter=0.1), generator(0, "a", 0))
    assert torch.allclose(y.std((0, 2)), 0.1 * STD, rtol=0.05)


def test_mask_blanks_one_stretch_at_most_as_long_as_asked() -> None:
    x = batch(100)
    y = augment(x, STD, changes(mask=0.25), generator(0, "a", 0))
    blanked = (x != y).all(1).sum(1)
    assert 0 < int(blanked.max()) <= 17


def test_augmentation_repeats_itself_from_its_generator() -> None:
    config = changes(
        rotate=[[0, 1, 2]], rotate_degrees=30, scale=0.2, jitter=0.1, time_warp=0.2, shift=0.1, mask=0.2, flip=[[0, 1]]
    )
    first, again, other = (augment(batch(), STD, config, generator(0, "a", step)) for step in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(("mixup", "cutmix"), [(1.0, 0.0), (0.0, 1.0), (0.5, 0.5)])
def test_blended_targets_stay_distributions_and_keep_most_of_the_label(mixup: float, cutmix: float) -> None:
    targets = torch.eye(4).repeat(4, 1)
    x, mixed = blend(batch(), targets, mixup, cutmix, generator(0, "a", 3))
    assert torch.allclose(mixed.sum(1), torch.ones(16))
    assert not torch.equal(x, batch())
    assert bool(((mixed * targets).sum(1) >= 0.499).all())
