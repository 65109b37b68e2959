"""Images out of bytes and arrays that somebody else wrote: (channels, pixels), float32, as they would be served."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evernas.config import DataConfig, ImageConfig, SignalConfig
from evernas.data.blocks import Block, blocks_of_images
from evernas.data.source import RefusedObjectError
from evernas.data.windows import Payload

FORMATS = ("PNG", "JPEG", "WEBP")
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
MAX_BYTES = 64 * 2**20
# Decoded at once: an image can be a thousand times as large as its file.
DECODED_BYTES = 16 * 2**20
_ORIENTATION = 0x0112
# What Pillow's parsers raise for bytes that are none of theirs.
_DAMAGE = (OSError, SyntaxError, ValueError, TypeError, MemoryError, EOFError, LookupError, struct.error)


def as_signal(data: DataConfig) -> SignalConfig:
    """How samples lie in a shard: an image is one window whose steps are its pixels, row by row, a text one whose
    steps are its characters."""
    sample = data.sample
    if isinstance(sample, SignalConfig):
        return sample
    steps = sample.height * sample.width if isinstance(sample, ImageConfig) else sample.characters
    return SignalConfig(channels=sample.channels, length=steps, stride=steps, rate_hz=None)


def image_blocks(batch: Any, first: int, image: ImageConfig) -> Iterator[Block]:
    """The blocks of an Arrow batch with the columns id, domain, label, payload (encoded images) and possibly time.

    `first` is the position of its first row.
    """
    at_once = max(1, DECODED_BYTES // (4 * len(image.channels) * image.height * image.width))
    for at in range(0, batch.num_rows, at_once):
        part = batch.slice(at, at_once)
        payload = part.column("payload")
        encoded = payload.field("bytes") if pa.types.is_struct(payload.type) else payload
        images = [
            too_large(size) if size is not None and size > MAX_BYTES else decoded(value.as_py(), image)
            for value, size in zip(encoded, sizes(encoded), strict=True)
        ]
        yield from blocks_of_images(part, first + at, images)


def is_encoded(kind: Any) -> bool:
    """Whether a column of this Arrow type holds encoded images: bytes, or a struct with them as `bytes`."""
    if pa.types.is_struct(kind):
        at = kind.get_field_index("bytes")
        return at >= 0 and is_bytes(kind.field(at).type)
    return is_bytes(kind)


def is_bytes(kind: Any) -> bool:
    """Whether a column of this Arrow type holds bytes, or a dictionary of them."""
    if pa.types.is_dictionary(kind):
        return is_bytes(kind.value_type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def sizes(values: Any) -> list[int | None]:
    """Bytes of each value of an Arrow column, which may be a dictionary; none is copied for it."""
    if pa.types.is_dictionary(values.type):
        found: list[int | None] = pc.binary_length(values.dictionary).take(values.indices).to_pylist()
        return found
    lengths: list[int | None] = pc.binary_length(values).to_pylist()
    return lengths


def too_large(size: int) -> str:
    """What is said of an encoded image of so many bytes."""
    return f"The payload has {size} bytes, more than {MAX_BYTES}: deliver smaller images."


def decoded(data: bytes | None, image: ImageConfig) -> Payload | str:
    """(channels, pixels) of an encoded image, values as they are stored (0 to 255); or the sentence why not."""
    from PIL import Image

    if data is None:
        return "The payload is null: deliver the image, or leave the row out."
    if len(data) > MAX_BYTES:
        return too_large(len(data))
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as found:
            # The size comes from the header: nothing is decoded before it is known to be right.
            if found.size != (image.width, image.height):
                return _other_size(found.height, found.width, image)
            if found.mode[0] in "IF":
                return "The image has more than 8 bits a colour: write it with 8, as the images in production have."
            # A photograph with a second picture in it (MPO) is no animation.
            frames = getattr(found, "n_frames", 1)
            if frames > 1 and found.format != "MPO":
                return f"The image is an animation of {frames} frames: deliver one frame as one image."
            mode = MODES.get(len(image.channels))
            if mode is None or (mode != "L" and found.mode in ("1", "L", "LA")):
                return (
                    f"The image has the mode {found.mode}, and data.image.channels names {len(image.channels)} "
                    "channels: name 1 (grey), 3 (red, green, blue) or 4 (and alpha), as the images have."
                )
            found.load()
            turned = _turned(found)
            if turned is not None:
                return (
                    f"The image is to be shown turned or mirrored (EXIF orientation {turned}), and its pixels are not: "
                    "turn them before it is delivered, as the images in production are."
                )
            # Of a palette with transparency, Pillow asks for this first.
            whole = found.convert("RGBA") if found.mode in ("P", "PA") else found
            pixels = np.asarray(whole.convert(mode), dtype="<f4")
    except Image.DecompressionBombError:
        return "The image claims more pixels than any that is decoded: write it again."
    except _DAMAGE:
        return f"The payload is no whole image of the formats {', '.join(FORMATS)}: write it again."
    return np.ascontiguousarray(pixels.reshape(image.height * image.width, -1).T)


def _turned(found: Any) -> int | None:
    """The EXIF orientation of an image that is not to be shown as its pixels lie; a damaged one says nothing."""
    try:
        orientation = found.getexif().get(_ORIENTATION)
    except _DAMAGE:
        return None
    return orientation if orientation in range(2, 9) else None


def of_arrays(payload: Any, image: ImageConfig) -> Payload:
    """(n, channels, pixels) of an array (n, height, width) or (n, height, width, channels).

    RefusedObjectError if it holds other images than `image` says.
    """
    shape = payload.shape[1:]
    channels = 1 if len(shape) == 2 else shape[2]
    if shape[:2] != (image.height, image.width):
        raise RefusedObjectError(_other_size(shape[0], shape[1], image))
    if channels != len(image.channels):
        raise RefusedObjectError(
            f"Its images have {channels} channels, and data.image.channels names {len(image.channels)}: write all, in "
            "that order, as (images, height, width, channels)."
        )
    flat = payload.reshape(len(payload), image.height * image.width, channels)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(flat.transpose(0, 2, 1), dtype="<f4")


def _other_size(height: int, width: int, image: ImageConfig) -> str:
    return (
        f"The image has {height} x {width} pixels, and data.image says {image.height} x {image.width}: scale it before "
        "it is delivered, as the images in production are."
    )
