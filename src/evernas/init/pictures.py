"""What image files say of the config: colours, size, and a space and a training that end in minutes on a laptop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evernas.config import ImageConfig
from evernas.delivery.items import Item
from evernas.delivery.pictures import DAMAGE, DEEP, NO_IMAGE, NoImageError, opened, read
from evernas.delivery.writing import batched_images
from evernas.errors import DataRefusedError
from evernas.init.look import spread

LOOKED_AT = 1000
LONGEST = 48
KEPT_WHOLE = 64
SHORTEST, SHORTEST_FOR_THREE = 12, 16
BATCH, PASSES, FEWEST_STEPS, MOST_STEPS = 64, 20, 400, 1000
# So many steps at so many pixels are about a minute and a half of one processor.
AFFORDABLE, AFFORDABLE_PIXELS = 1500, 28 * 28
MOSTLY, ALL_ALIKE = 0.9, 0.95
FEW_BITS = 14
_ALIKE_COLOURS = 6.0
_SHRUNK = 64


@dataclass(frozen=True)
class Seen:
    """An image as its file has it: upright size (width, height), and whether it is grey and see-through.

    `largest` is the largest value of an image of 16 bits a colour; None of others.
    """

    width: int
    height: int
    grey: bool
    transparent: bool
    largest: int | None = None


@dataclass(frozen=True)
class Guess:
    """What an image is to be, with the reason for colours and size; `looked_at` files were opened for it.

    `transparent` and `deep` are whether any of these can be seen through, or has 16 bits a colour.
    """

    image: ImageConfig
    why_channels: str
    why_size: str
    looked_at: int
    scaled: bool
    transparent: bool = False
    deep: bool = False


def guess_image(items: Sequence[Item], remarks: list[str]) -> Guess:
    """What most images are. DataRefusedError where fewer than half of those looked at are images at all."""
    found: list[Seen | str] = []
    with ThreadPoolExecutor() as pool:
        for some in batched_images(spread(items, LOOKED_AT)):
            found += pool.map(_look, (content for _, content in some))
    seen = [one for one in found if isinstance(one, Seen)]
    faults = Counter(one for one in found if isinstance(one, str))
    if len(seen) * 2 < len(found):
        why, number = faults.most_common(1)[0]
        raise DataRefusedError(
            f"Of {len(found)} files that were looked at, {len(found) - len(seen)} are no images that are taken; of "
            f"{number}: {why} Write them again as PNG or JPEG, or move them away."
        )
    channels, why_channels = _channels(seen, remarks)
    height, width, why_size, scaled = _size(seen)
    image = ImageConfig(channels=channels, height=height, width=width)
    _remark_on_depth(seen, remarks)
    clear, deep = any(one.transparent for one in seen), any(one.largest is not None for one in seen)
    return Guess(image, why_channels, why_size, len(found), scaled, clear, deep)


def space_for(image: ImageConfig) -> dict[str, Any]:
    """The space's section: as large as the images ask for, and the resolutions that a network may scale them to."""
    small = min(image.height, image.width) < SHORTEST_FOR_THREE
    least = 8 if small else SHORTEST_FOR_THREE
    sides = sorted({2 * round(image.height * share / 2) for share in (0.7, 0.85)} | {image.height})
    fitting = [side for side in sides if least <= side <= image.height]
    narrow = [side for side in fitting if round(image.width * side / image.height) >= least]
    return {
        "stem_width": 12,
        "stage_widths": [[12, 16], [16, 24, 32]] if small else [[12, 16], [16, 24], [24, 32, 40]],
        "depths": [1, 2],
        "kernels": [3, 5],
        "expansions": [1, 2, 3],
        "squeeze_excite": [False, True],
        "resolutions": narrow or [image.height],
        "head_width": 64,
        "pooling": ["mean", "max"],
    }


def steps_for(image: ImageConfig, images: int) -> tuple[int, int, int, str]:
    """Steps of a cold and a warm start and of fine-tuning, and why: passes over the images, bounded by time."""
    wanted = min(MOST_STEPS, max(FEWEST_STEPS, PASSES * images // BATCH))
    # What a step takes grows almost as the pixels do.
    affordable = AFFORDABLE * (AFFORDABLE_PIXELS / (image.height * image.width)) ** 0.9
    cold = 50 * round(max(FEWEST_STEPS, min(wanted, affordable)) / 50)
    passes = cold * BATCH / max(1, images)
    why = (
        f"{cold} steps are about {passes:.0f} passes over the {images:,} training images, which ends in minutes on a "
        f"laptop at {image.height} x {image.width} pixels. Raise steps for a better network, lower them for a faster "
        "first run."
    )
    return cold, max(200, cold // 2), max(100, 50 * round(cold / 4 / 50)), why


def _look(content: Path | bytes | str) -> Seen | str:
    from PIL import Image

    data = read(content) if isinstance(content, Path) else content
    if isinstance(data, str):
        return data
    try:
        with opened(data) as found:
            turned = found.getexif().get(0x0112, 1) in (5, 6, 7, 8)
            width, height = found.size
            grey = found.mode[0] in ("1", "L", "I") or _is_grey(found)
            transparent = "A" in found.getbands() or "transparency" in found.info
            largest = int(np.asarray(found).max()) if found.mode in DEEP else None
    except NoImageError as error:
        return str(error)
    except (*DAMAGE, Image.DecompressionBombError):
        return NO_IMAGE
    return Seen(*((height, width) if turned else (width, height)), grey, transparent, largest)


def _is_grey(found: Any) -> bool:
    """Whether the colours of an image are one and the same; of a JPEG a small version is decoded."""
    found.draft("RGB", (_SHRUNK, _SHRUNK))
    small = found.convert("RGB").resize((_SHRUNK, _SHRUNK))
    pixels = np.asarray(small, dtype=np.float32)
    return float(np.ptp(pixels, axis=2).mean()) < _ALIKE_COLOURS


def _remark_on_depth(seen: Sequence[Seen], remarks: list[str]) -> None:
    deep = [one.largest for one in seen if one.largest is not None]
    bits = max(deep, default=0).bit_length()
    if deep and bits <= FEW_BITS:
        remarks.append(
            f"{len(deep)} of {len(seen)} images looked at have 16 bits a colour and use the lower {bits}: the upper "
            f"eight are kept, which leaves {max(0, bits - 8)} of what they show. Write them anew with their values "
            f"times {2 ** (16 - bits)}, and do the same in production."
        )


def _channels(seen: Sequence[Seen], remarks: list[str]) -> tuple[list[str], str]:
    grey, clear = sum(one.grey for one in seen), sum(one.transparent for one in seen)
    if clear:
        remarks.append(f"{clear} of {len(seen)} images looked at can be seen through: they are put on white.")
    if grey >= ALL_ALIKE * len(seen):
        if grey < len(seen):
            remarks.append(f"{len(seen) - grey} of {len(seen)} images looked at have colours, which are left out.")
        return ["grey"], f"{grey} of {len(seen)} images looked at are grey."
    if grey:
        remarks.append(
            f"{grey} of {len(seen)} images looked at are grey and are given three equal colours: where one class has "
            "most of them, a network may learn that instead of what is to be seen."
        )
    return ["red", "green", "blue"], f"{len(seen) - grey} of {len(seen)} images looked at have colours."


def _size(seen: Sequence[Seen]) -> tuple[int, int, str, bool]:
    """Height and width, why, and whether images are scaled to it."""
    (width, height), often = Counter((one.width, one.height) for one in seen).most_common(1)[0]
    if often >= MOSTLY * len(seen) and max(width, height) <= KEPT_WHOLE and min(width, height) >= SHORTEST:
        rest = "" if often == len(seen) else "; the others are scaled to it"
        return height, width, f"{often} of {len(seen)} images looked at have this size{rest}.", often < len(seen)
    widths, heights = (np.array([getattr(one, side) for one in seen]) for side in ("width", "height"))
    ratios = widths / heights
    middle = float(np.median(ratios))
    alike = np.mean(np.abs(np.log(ratios / middle)) < np.log(1.15)) >= MOSTLY
    longest = max(SHORTEST_FOR_THREE, min(LONGEST, int(np.median(np.maximum(widths, heights)))))
    ratio = middle if alike and 1 / 3 <= middle <= 3 else 1.0
    sides = [longest, max(SHORTEST, 2 * round(longest * min(ratio, 1 / ratio) / 2))]
    height, width = sides if ratio <= 1 else sides[::-1]
    return (
        height,
        width,
        (
            f"Images are {widths.min()} x {heights.min()} to {widths.max()} x {heights.max()} pixels (width x height). "
            f"Each is scaled to fill {width} x {height} and cut in the middle, so that a first run ends in minutes. "
            "For finer detail give a larger height and width here, empty the folder of the source, and pack anew, at "
            "the price of time."
        ),
        True,
    )
