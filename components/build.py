"""Builds the container images: `python components/build.py [IMAGE ...]`, or `make images`.

For each image it makes a folder with all that the build may see: the wheels that constraints.txt says with their
digests, evernas's own wheel, and a bill of materials. The build itself has no network. Needs Docker, and the Python
version of the base image.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

COMPONENTS = Path(__file__).parent
ROOT = COMPONENTS.parent
CONSTRAINTS = ROOT / "constraints.txt"
sys.path[:0] = [str(COMPONENTS)]

from evernas_components.images import IMAGES, REPOSITORY, TAG, Image  # noqa: E402
from image_layers import compressed_bytes_above  # noqa: E402
from torch_for_cpu import collect_torch_without_cuda  # noqa: E402

USUAL = [name for name, image in IMAGES.items() if not image.for_few]


@dataclass(frozen=True)
class Settings:
    """What the command line says."""

    base: str
    repository: str
    tag: str
    torch: str
    torch_index: str
    runtimes: list[str]
    folder: Path
    measure: bool

    def reference(self, image: Image) -> str:
        return f"{self.repository}/{image.name}:{self.tag}"

    @property
    def tools(self) -> Path:
        """Programs of a virtual environment that is made for the build."""
        return self.folder / "tools" / "bin"

    def pip(self, *arguments: str) -> None:
        run(str(self.tools / "pip"), arguments[0], "-q", "--disable-pip-version-check", *arguments[1:])


def main() -> None:
    """Build the images that are named, else all but those for few; exit 1 if one is heavier than it may be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "images", nargs="*", metavar="IMAGE", help=f"of {', '.join(IMAGES)}; if none is named, {', '.join(USUAL)}"
    )
    parser.add_argument("--base", default=pinned_base(), help="image with Python, by digest (default: %(default)s)")
    parser.add_argument("--repository", default=REPOSITORY, help="prefix of the names (default: %(default)s)")
    parser.add_argument("--tag", default=TAG, help="tag of all images (default: %(default)s)")
    parser.add_argument("--torch", choices=("cpu", "cuda"), default="cpu", help="what train holds (default: cpu)")
    parser.add_argument(
        "--torch-index",
        default=os.environ.get("TORCH_INDEX", ""),
        help="index of torch's CPU build, https://download.pytorch.org/whl/cpu; "
        "without it the libraries that only a GPU calls are left out of PyPI's build",
    )
    parser.add_argument(
        "--with",
        action="append",
        default=[],
        dest="runtimes",
        # What is for few does not stand beside onnxruntime, which both hold.
        choices=[name for name in USUAL if "profile" in IMAGES[name].steps],
        help="a further runtime for the steps that judge networks: its extra goes into core and train",
    )
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "images", help="where wheels are put")
    parser.add_argument("--measure", action="store_true", help="compress the layers and compare with the limits")
    arguments = vars(parser.parse_args())
    names = arguments.pop("images") or USUAL
    unknown = sorted(set(names) - set(IMAGES))
    if unknown:
        parser.error(f"there is no image {unknown[0]!r}: name some of {', '.join(IMAGES)}")
    settings = Settings(**arguments)
    require_python_of(settings.base)
    make_tools(settings)
    too_heavy = [name for name in names if not build(widened(IMAGES[name], settings), settings)]
    sys.exit(f"Heavier than the limit: {', '.join(too_heavy)}." if too_heavy else 0)


def widened(image: Image, settings: Settings) -> Image:
    """The image with the further runtimes, if its steps judge networks; its limit is that of one runtime."""
    if not settings.runtimes or not {"gate", "finalists"} & set(image.steps):
        return image
    return replace(image, extras=(*image.extras, *settings.runtimes), limit_mb=None)


def make_tools(settings: Settings) -> None:
    """Make the virtual environment of the build, unless it is there."""
    if not (settings.tools / "cyclonedx-py").exists():
        run(sys.executable, "-m", "venv", "--clear", str(settings.tools.parent))
        settings.pip("install", "--constraint", str(CONSTRAINTS), "cyclonedx-bom")


def build(image: Image, settings: Settings) -> bool:
    """Build one image; False if it was measured and is heavier than it may be."""
    context = settings.folder / image.name
    shutil.rmtree(context, ignore_errors=True)
    collect(image, settings, context / "wheels")
    (context / "own").mkdir()
    if image.holds_evernas:
        settings.pip("wheel", "--no-deps", "--wheel-dir", str(context / "own"), str(ROOT))
    for folder in (context / "wheels", context / "own"):
        lock(folder)
    write_bill(image, settings, context)
    shutil.copy(COMPONENTS / "leave_out.py", context)
    reference = settings.reference(image)
    run(
        *("docker", "build", "--network", "none", "--target", image.name, "--tag", reference),
        *("--file", str(COMPONENTS / "Dockerfile")),
        *(part for name, value in labels(image, settings).items() for part in ("--build-arg", f"{name}={value}")),
        str(context),
    )
    if not settings.measure:
        print(f"{reference} is built.", flush=True)
        return True
    weight = compressed_bytes_above(settings.base, reference, settings.folder) / 1e6
    limit = "" if image.limit_mb is None else f", limit {image.limit_mb} MB"
    print(f"{reference} is built: {weight:.0f} MB above the base{limit}.", flush=True)
    return image.limit_mb is None or weight <= image.limit_mb


def collect(image: Image, settings: Settings, wheels: Path) -> None:
    """The wheels of all that an image holds, for the Python and machine that run this."""
    wanted = requirements(image.extras)
    index = ["--extra-index-url", settings.torch_index] if settings.torch == "cpu" and settings.torch_index else []
    if "train" in image.extras and settings.torch == "cpu" and not index:
        torch = next(line for line in wanted if re.match(r"torch\b", line))
        wanted = [line for line in wanted if line != torch] + collect_torch_without_cuda(torch, wheels, settings.pip)
    settings.pip("wheel", "--constraint", str(CONSTRAINTS), *index, "--wheel-dir", str(wheels), *wanted)
    for name in image.bare:
        settings.pip("wheel", "--constraint", str(CONSTRAINTS), "--no-deps", "--wheel-dir", str(wheels), name)


def requirements(extras: tuple[str, ...]) -> list[str]:
    """The requirements of some extras of this project, with its own dependencies."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: dict[str, None] = dict.fromkeys(() if extras == ("mlflow-server",) else project["dependencies"])
    waiting = list(extras)
    while waiting:
        for line in project["optional-dependencies"][waiting.pop()]:
            own = re.fullmatch(r"evernas\[(.+)]", line)
            if own:
                waiting += own[1].split(",")
            else:
                found[line] = None
    return list(found)


def lock(folder: Path) -> None:
    """Write requirements.txt: exactly the wheels of a folder, by digest."""
    lines = []
    for wheel in sorted(folder.glob("*.whl")):
        name, version = wheel.name.split("-")[:2]
        digest = hashlib.file_digest(wheel.open("rb"), "sha256").hexdigest()
        lines.append(f"{name}=={version} --hash=sha256:{digest}\n")
    (folder / "requirements.txt").write_text("".join(lines), encoding="utf-8")


def write_bill(image: Image, settings: Settings, context: Path) -> None:
    """The CycloneDX bill of materials of the image's Python packages; the base's own packages are not in it."""
    listed = context / "all.txt"
    listed.write_text(
        "".join((context / part / "requirements.txt").read_text(encoding="utf-8") for part in ("wheels", "own"))
    )
    main = ["--pyproject", str(ROOT / "pyproject.toml")] if image.holds_evernas else []
    bill = context / "sbom.cdx.json"
    command = ("cyclonedx-py", "requirements", *main, "--output-reproducible", "--output-file", str(bill), str(listed))
    run(str(settings.tools / command[0]), *command[1:])
    listed.unlink()


def labels(image: Image, settings: Settings) -> dict[str, str]:
    """The build's arguments: the base, and what the labels say."""
    version = re.search(r'__version__ = "(.+)"', (ROOT / "src/evernas/__init__.py").read_text(encoding="utf-8"))
    assert version is not None, "src/evernas/__init__.py says the version"
    changed = "-changed" if answer("git", "-C", str(ROOT), "status", "--porcelain") else ""
    return {
        "BASE": settings.base,
        "TITLE": image.title,
        "VERSION": version[1],
        "REVISION": answer("git", "-C", str(ROOT), "rev-parse", "HEAD") + changed,
        "CREATED": answer("git", "-C", str(ROOT), "log", "-1", "--format=%cI"),
        "SOURCE": os.environ.get("IMAGE_SOURCE", ""),
    }


def pinned_base() -> str:
    """The base that the Dockerfile names by digest."""
    found = re.search(r"^ARG BASE=(\S+)", (COMPONENTS / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None, "the Dockerfile pins its base"
    return found[1]


def require_python_of(base: str) -> None:
    """Exit with a sentence unless this Python has the base's version: wheels are made for the one that asks."""
    theirs = answer(
        *("docker", "run", "--rm", "--network", "none", "--entrypoint", "python3", base),
        *("-c", "import sys; print('%d.%d' % sys.version_info[:2])"),
    )
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    if theirs != ours:
        sys.exit(f"The base {base} has Python {theirs} and this is {ours}: run build.py with python{theirs}.")


def run(*command: str) -> None:
    subprocess.run(command, check=True)


def answer(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


if __name__ == "__main__":
    main()
