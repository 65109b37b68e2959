"""Every change to a training image does what its name says and no more."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from evernas.config import AugmentConfig
from evernas.supernet.augment import augment, blend
from evernas.supernet.augment_images import moved, rectangle
from evernas.supernet.data import generator

STD = torch.tensor([1.0, 4.0])


def changes(**settings: Any) -> AugmentConfig:
    """These changes and no other."""
    return AugmentConfig(**{"scale": 0, "jitter": 0, "time_warp": 0, "shift": 0, **settings})


def draws() -> torch.Generator:
    return generator(0, "test", 0)


def batch(rows: int = 64) -> torch.Tensor:
    return torch.randn((rows, 2, 20, 24), generator=generator(1, "batch", 0))


def test_nothing_changes_without_settings() -> None:
    assert torch.equal(augment(batch(), STD, changes(), draws()), batch())


def test_mirrored_images_are_the_image_or_its_mirror() -> None:
    found, plain = augment(batch(), STD, changes(mirror=0.5), draws()), batch()
    same, turned = (found == plain).all((1, 2, 3)), (found == plain.flip(3)).all((1, 2, 3))
    assert (same ^ turned).all()
    assert 16 < int(turned.sum()) < 48


def test_scale_changes_the_contrast_about_the_mean() -> None:
    found, plain = augment(batch(), STD, changes(scale=0.5), draws()), batch()
    assert torch.allclose(found.mean((2, 3)), plain.mean((2, 3)), atol=1e-5)
    ratio = found.std((2, 3)) / plain.std((2, 3))
    assert torch.allclose(ratio[:, 0], ratio[:, 1], rtol=1e-4), "all colours alike"
    assert 0.5 <= float(ratio.min()) < 0.7 < 1.3 < float(ratio.max()) <= 1.5


def test_jitter_follows_each_channels_scale() -> None:
    noise = augment(batch(), STD, changes(jitter=0.1), draws()) - batch()
    assert torch.allclose(noise.std((0, 2, 3)), 0.1 * STD, rtol=0.05)


def test_mask_blanks_one_rectangle_with_the_mean() -> None:
    found, plain = augment(batch(), STD, changes(mask=0.5), draws()), batch()
    blank = (found != plain).any(1)
    for image, where, mean in zip(found, blank, plain.mean((2, 3)), strict=True):
        rows, columns = where.any(1), where.any(0)
        assert torch.equal(where, rows[:, None] & columns[None]), "a rectangle"
        assert int(rows.sum()) <= 10
        assert int(columns.sum()) <= 12
        assert torch.allclose(image[:, where], mean[:, None].expand(-1, int(where.sum())))


def _centres(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    mass = x.sum((1, 2, 3))
    rows, columns = torch.arange(x.shape[2]), torch.arange(x.shape[3])
    return (x.sum((1, 3)) * rows).sum(1) / mass, (x.sum((1, 2)) * columns).sum(1) / mass


def _spot(row: int, column: int) -> torch.Tensor:
    x = torch.zeros((200, 1, 41, 61))
    x[:, :, row - 1 : row + 2, column - 1 : column + 2] = 1
    return x


def test_shift_stays_within_its_share_of_each_side() -> None:
    rows, columns = _centres(moved(_spot(20, 30), 0, 0, 0.2, draws()))
    assert 7 < float((rows - 20).abs().max()) <= 0.2 * 41
    assert 10 < float((columns - 30).abs().max()) <= 0.2 * 61


def test_a_turn_keeps_distances_from_the_middle_and_its_angle() -> None:
    rows, columns = _centres(moved(_spot(20, 45), 30, 0, 0, draws()))
    distance = ((rows - 20) ** 2 + (columns - 30) ** 2).sqrt()
    assert torch.allclose(distance, torch.full_like(distance, 15.0), atol=0.4)
    angle = torch.rad2deg(torch.atan2(rows - 20, columns - 30))
    assert 25 < float(angle.abs().max()) <= 30.5


def test_zoom_moves_what_is_outside_by_its_share() -> None:
    _, columns = _centres(moved(_spot(20, 45), 0, 0.2, 0, draws()))
    assert 1.15 < float((columns - 30).max()) / 15 <= 1.22
    assert 0.78 <= float((columns - 30).min()) / 15 < 0.85


def test_edges_are_mirrored_not_black() -> None:
    assert torch.allclose(moved(torch.ones((50, 1, 16, 16)), 45, 0.3, 0.3, draws()), torch.ones((50, 1, 16, 16)))


def test_everything_repeats_itself_from_its_generator() -> None:
    every = changes(rotate_degrees=20, time_warp=0.1, shift=0.1, scale=0.1, jitter=0.1, mask=0.3, mirror=0.5)
    assert torch.equal(augment(batch(), STD, every, draws()), augment(batch(), STD, every, draws()))


@pytest.mark.parametrize(("mixup", "cutmix"), [(1.0, 0.0), (0.0, 1.0)])
def test_blended_targets_follow_the_share_of_the_other_image(mixup: float, cutmix: float) -> None:
    x = torch.zeros((64, 1, 20, 20))
    x[32:] = 1
    targets = torch.nn.functional.one_hot(torch.arange(64) // 32, 2).float()
    mixed, blended = blend(x, targets, mixup, cutmix, draws())
    assert torch.allclose(mixed.mean((1, 2, 3)), blended[:, 1], atol=1e-5)
    assert torch.allclose(blended.sum(1), torch.ones(64))
    assert (blended[torch.arange(64), torch.arange(64) // 32] >= 0.45).all()


def test_a_rectangle_of_no_side_is_empty_and_of_all_is_everything() -> None:
    x = batch(4)
    assert not rectangle(x, torch.zeros((4, 1)), draws()).any()
    assert rectangle(x, torch.ones((4, 1)), draws()).all()
