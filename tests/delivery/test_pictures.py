"""Files of every kind become what the config asks for, as a service can repeat it, or a sentence."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from evernas.config import ImageConfig
from evernas.data.images import decoded
from evernas.delivery.pictures import fitted

RGB = ImageConfig(channels=["red", "green", "blue"], height=24, width=32)
GREY = ImageConfig(channels=["grey"], height=24, width=32)


def coded(image: Any, form: str = "PNG", **options: Any) -> bytes:
    held = io.BytesIO()
    image.save(held, form, **options)
    return held.getvalue()


def photo(width: int = 100, height: int = 60, mode: str = "RGB") -> Any:
    random = np.random.default_rng(0)
    return Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8)).convert(mode)


@pytest.mark.parametrize("image", [RGB, GREY], ids=["colour", "grey"])
@pytest.mark.parametrize(
    ("mode", "form"),
    [
        *(("RGB", form) for form in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")),
        *(("L", "PNG"), ("LA", "PNG"), ("RGBA", "PNG"), ("P", "GIF"), ("CMYK", "JPEG"), ("1", "PNG"), ("I;16", "PNG")),
    ],
)
def test_every_kind_of_file_becomes_an_image_that_a_run_takes(image: ImageConfig, mode: str, form: str) -> None:
    source = photo().convert("L").convert("I").convert("I;16") if mode == "I;16" else photo(mode=mode)
    made = fitted(coded(source, form), image)
    assert isinstance(made, bytes), made
    payload = decoded(made, image)
    assert not isinstance(payload, str), payload
    assert payload.shape == (len(image.channels), 24 * 32)


def test_a_service_can_repeat_it_in_the_line_that_the_config_shows() -> None:
    source = photo(100, 61)
    turned = coded(source, "JPEG", exif=_turned())
    made = Image.open(io.BytesIO(fitted(turned, RGB)))  # type: ignore[arg-type]
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(turned))).convert("RGB")
    again = ImageOps.fit(upright, (32, 24), method=Image.Resampling.BILINEAR)
    assert np.array_equal(np.asarray(made), np.asarray(again))
    assert upright.size == (61, 100)


def _turned() -> Any:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def test_an_image_that_fits_keeps_its_bytes() -> None:
    data = coded(photo(32, 24), "JPEG")
    assert fitted(data, RGB) == data
    assert fitted(data, GREY) != data


def test_what_can_be_seen_through_is_put_on_white() -> None:
    clear = Image.new("RGBA", (64, 48), (200, 0, 0, 0))
    made = Image.open(io.BytesIO(fitted(coded(clear), RGB)))  # type: ignore[arg-type]
    assert made.getpixel((5, 5)) == (255, 255, 255)


def test_sixteen_bits_become_eight() -> None:
    deep = Image.fromarray(np.full((24, 32), 0x80FF, np.uint16))
    made = Image.open(io.BytesIO(fitted(coded(deep), GREY)))  # type: ignore[arg-type]
    assert made.getpixel((0, 0)) == 0x80


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no whole image"),
        (b"<html>404</html>", "no whole image"),
        (coded(photo(), "JPEG")[:900], "no whole image"),
        (coded(photo(), "PNG")[:-3000], "no whole image"),
        (coded(photo(), "GIF", save_all=True, append_images=[photo().rotate(90)]), "an animation, or has pages: 2"),
        (coded(Image.fromarray(np.zeros((8, 8), np.float32)), "TIFF"), "no whole numbers"),
    ],
)
def test_broken_files_are_told_in_a_sentence(data: bytes, said: str) -> None:
    why = fitted(data, RGB)
    assert isinstance(why, str)
    assert said in why


def test_an_image_that_claims_too_many_pixels_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert fitted(coded(photo()), RGB) == "It claims more pixels than any image that is decoded."
