"""An image file of any size, colours and common format as the one that a config asks for; or a sentence why not."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from evernas.config import ImageConfig
from evernas.data.images import MAX_BYTES, MODES, too_large

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
DELIVERED = ("PNG", "JPEG", "WEBP")
# What Pillow's parsers raise for bytes that are none of theirs.
DAMAGE = (OSError, SyntaxError, ValueError, TypeError, MemoryError, EOFError, LookupError, struct.error)
NO_IMAGE = "It is no whole image of the formats PNG, JPEG, WebP, BMP, GIF and TIFF."
DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_WHITE = (255, 255, 255, 255)


def read(path: Path) -> bytes | str:
    """A file's bytes; or the sentence why it is not taken."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        return f"It cannot be read ({error.strerror})."
    return too_large(len(data)) if len(data) > MAX_BYTES else data


def fitted(data: bytes, image: ImageConfig) -> bytes | str:
    """The image as PNG in the config's size and colours; its own bytes where they are that already.

    Turned as EXIF says, on white where it is transparent, scaled to fill the size, and cut in the middle.
    """
    from PIL import Image, ImageOps

    size, mode = (image.width, image.height), MODES[len(image.channels)]
    try:
        with opened(data) as found:
            if found.size == size and found.mode == mode and found.format in DELIVERED and _plain(found):
                found.load()
                return data
            upright = ImageOps.exif_transpose(found)
            flat = _coloured(upright, mode)
            if isinstance(flat, str):
                return flat
            made = ImageOps.fit(flat, size, method=Image.Resampling.BILINEAR)
    except (*DAMAGE, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        return str(error) if isinstance(error, NoImageError) else NO_IMAGE
    held = io.BytesIO()
    made.save(held, "PNG")
    return held.getvalue()


def lines_of_pillow(image: ImageConfig, transparent: bool, deep: bool) -> list[str]:
    """Python by which a service gives an opened image the form that `fitted` does, whether or not images are so."""
    lines = ["image = PIL.ImageOps.exif_transpose(image)"]
    if deep:
        lines += [
            'if image.mode.startswith("I"):',
            '    image = PIL.Image.fromarray((numpy.asarray(image).astype("uint32") >> 8).astype("uint8"))',
        ]
    mode = MODES[len(image.channels)]
    if transparent and mode != "RGBA":
        white = 'PIL.Image.new("RGBA", image.size, "white")'
        lines += [f'image = PIL.Image.alpha_composite({white}, image.convert("RGBA"))']
    size = f"({image.width}, {image.height})"
    return [*lines, f'image = PIL.ImageOps.fit(image.convert("{mode}"), {size}, PIL.Image.Resampling.BILINEAR)']


class NoImageError(ValueError):
    """A file that is no image that is taken; its text is the sentence that says why."""


def opened(data: bytes) -> Any:
    """The image, of which only the header is read. NoImageError for one that is not taken; whatever Pillow raises."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            found = Image.open(io.BytesIO(data), formats=FORMATS)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise NoImageError("It claims more pixels than any image that is decoded.") from None
    # A photograph with a second picture in it (MPO) is no animation.
    frames = getattr(found, "n_frames", 1)
    if frames > 1 and found.format != "MPO":
        raise NoImageError(f"It is an animation, or has pages: {frames} frames.")
    return found


def _plain(found: Any) -> bool:
    return found.getexif().get(0x0112, 1) == 1 and "transparency" not in found.info


def _coloured(image: Any, mode: str) -> Any:
    from PIL import Image

    if image.mode in DEEP:
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65_535:
            return "It has more than 16 bits a colour."
        image = Image.fromarray((values.astype(np.uint32) >> 8).astype(np.uint8))
    if image.mode.startswith("F"):
        return "Its colours are no whole numbers."
    if mode == "RGBA":
        return image.convert(mode)
    if "A" in image.getbands() or image.mode == "PA" or "transparency" in image.info:
        image = Image.alpha_composite(Image.new("RGBA", image.size, _WHITE), image.convert("RGBA"))
    return image.convert(mode)
