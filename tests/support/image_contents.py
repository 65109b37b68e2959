"""What the images hold, told from the packages that are installed here: distributions, and import names they lack."""

from __future__ import annotations

import json
import os
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
sys.path[:0] = [path for path in (str(ROOT / "components"),) if path not in sys.path]

import build as images_build  # noqa: E402
from evernas_components.images import IMAGES, Image  # noqa: E402

ONLY = Path(__file__).parent / "only"


def distributions_of(image: Image) -> frozenset[str]:
    """Canonical names of all distributions that an image holds, evernas aside."""
    waiting = [Requirement(line) for line in images_build.requirements(image.extras)]
    found = {canonicalize_name(name) for name in image.bare}
    asked: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        wanted = waiting.pop()
        name, extras = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if (name, extras) in asked:
            continue
        asked.add((name, extras))
        found.add(name)
        for line in _requires(name):
            needed = Requirement(line)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in (*extras, "")):
                waiting.append(needed)
    return frozenset(found)


def refused_by(image: Image) -> list[str]:
    """Import names that are installed here and that the image lacks."""
    held = distributions_of(image) | {"evernas"}
    return sorted(
        name for name, owners in _owners().items() if not {canonicalize_name(owner) for owner in owners} & held
    )


def only_what_images_hold(folder: Path) -> dict[str, str]:
    """An environment in which each step imports only what its image holds."""
    path = folder / "refused.json"
    path.write_text(json.dumps({step: refused_by(image) for image in _with_steps() for step in image.steps}))
    before = os.environ.get("PYTHONPATH")
    return {"ONLY_REFUSED": str(path), "PYTHONPATH": os.pathsep.join([str(ONLY), *([before] if before else [])])}


def _with_steps() -> list[Image]:
    """The images on one machine with ONNX Runtime: the other runners have the same steps."""
    return [image for image in IMAGES.values() if image.steps and not image.name.startswith("runner-")]


@cache
def _owners() -> dict[str, list[str]]:
    return dict(packages_distributions())


@cache
def _requires(name: str) -> list[str]:
    try:
        return requires(name) or []
    except PackageNotFoundError:
        return []
