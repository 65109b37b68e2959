"""How heavy an image is: its layers above the base, compressed as a registry keeps them."""

from __future__ import annotations

import json
import subprocess
import tarfile
import tempfile
import zlib
from pathlib import Path
from typing import IO

BLOCK = 1 << 20
GZIP = 31  # zlib's name for its gzip format


def compressed_bytes_above(base: str, image: str, scratch: Path) -> int:
    """Bytes of the layers that an image adds to its base, with gzip; `scratch` is a folder for the unpacked image."""
    skipped = len(_layers(base))
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        archive = Path(folder) / "image.tar"
        subprocess.run(["docker", "save", "--output", str(archive), image], check=True)
        with tarfile.open(archive) as saved:
            manifest = json.load(_member(saved, "manifest.json"))[0]
            return sum(_compressed(_member(saved, name)) for name in manifest["Layers"][skipped:])


def _layers(image: str) -> list[str]:
    command = ["docker", "image", "inspect", "--format", "{{json .RootFS.Layers}}", image]
    layers: list[str] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return layers


def _member(saved: tarfile.TarFile, name: str) -> IO[bytes]:
    file = saved.extractfile(name)
    assert file is not None, f"{name} is a file in what docker save writes"
    return file


def _compressed(layer: IO[bytes]) -> int:
    """The size of a layer with gzip; of one that is compressed already, its size."""
    packer, size, first = zlib.compressobj(wbits=GZIP), 0, True
    while block := layer.read(BLOCK):
        if first and block[:2] == b"\x1f\x8b":
            return layer.seek(0, 2)
        first = False
        size += len(packer.compress(block))
    return size + len(packer.flush())
