"""PyPI's torch for Linux without the libraries that only a GPU calls, for an image that has none.

PyPI's build is linked against CUDA: it is not imported unless each library is found. Of these, the runtime and the
profiler's interface are called on every machine and are kept; the others, gigabytes, are called only once there is a
GPU, and libraries of the same names whose functions trap stand in for them. Needs gcc and readelf. Where torch's own
CPU build can be had, it is the better choice.
"""

from __future__ import annotations

import email
import re
import subprocess
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

GPU_ONLY = re.compile(r"(nvidia|cuda|triton)\b", re.IGNORECASE)
# What says which version of the runtime is meant, with extras that name the packages.
TOOLKIT = re.compile(r"cuda-toolkit\[[^]]+](==[\w.]+)")
KEPT = ("libcudart", "libcupti")
FOLDER = "nvidia/cu13/lib"
NAME, VERSION = "torch_gpu_stand_ins", "1"
# Symbols without a version say by their prefix whose they are; and of one library the version is not its name.
PREFIXES = {
    "libnccl.so": "nccl",
    "libcudnn.so": "cudnn",
    "libcufile.so": "cuFile",
    "libcurand.so": "curand",
    "libcusparseLt.so": "cusparseLt",
}
VERSION_NAMES = {"libnvshmem_host.so": "NVSHMEM"}


def collect_torch_without_cuda(torch: str, wheels: Path, pip: Callable[..., None]) -> list[str]:
    """Put torch's wheel, CUDA's runtime and the stand-ins into a folder; returns what torch needs besides."""
    constraints = Path(__file__).parents[1] / "constraints.txt"
    wheels.mkdir(parents=True, exist_ok=True)
    pip("download", "--constraint", str(constraints), "--no-deps", "--dest", str(wheels), torch)
    (wheel,) = wheels.glob("torch-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if re.fullmatch(r"torch-[^/]+\.dist-info/METADATA", name))
        needs = email.message_from_bytes(archive.read(metadata)).get_all("Requires-Dist", [])
        needs = [line for line in needs if "extra ==" not in line]
        toolkit = next((found for line in needs if (found := TOOLKIT.match(line))), None)
        if toolkit is None:
            raise SystemExit(f"{wheel.name} needs no cuda-toolkit, so it is not the build that this was made for.")
        _write_stand_ins(archive, wheels)
    pip("download", "--no-deps", "--dest", str(wheels), *_packages_kept(toolkit[1], wheels, pip))
    return [line for line in needs if not GPU_ONLY.match(line)]


def _packages_kept(version: str, wheels: Path, pip: Callable[..., None]) -> list[str]:
    """The requirements of CUDA's runtime and profiler interface, as the toolkit's own metadata says them."""
    with tempfile.TemporaryDirectory() as folder:
        pip("download", "--no-deps", "--dest", folder, f"cuda-toolkit{version}")
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            needs = email.message_from_bytes(archive.read(metadata)).get_all("Requires-Dist", [])
    return [
        line.split(";")[0].strip()
        for line in needs
        if re.match(r"nvidia-cuda-(runtime|cupti)", line) and re.search(r"extra == .(cudart|cupti).", line)
    ]


def _write_stand_ins(torch: zipfile.ZipFile, wheels: Path) -> None:
    """A wheel of libraries with the names and functions that torch's own libraries ask for."""
    with tempfile.TemporaryDirectory() as scratch:
        libraries = [
            Path(torch.extract(name, scratch))
            for name in torch.namelist()
            if re.fullmatch(r"torch/(lib/)?[^/]+\.so", name)
        ]
        asked, symbols = _asked(libraries)
        target = wheels / f"{NAME}-{VERSION}-py3-none-any.whl"
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            written = []
            for library in sorted(asked):
                archive.writestr(f"{FOLDER}/{library}", _compiled(library, symbols, Path(scratch)))
                written.append(f"{FOLDER}/{library}")
            info = f"{NAME}-{VERSION}.dist-info"
            archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {VERSION}\n")
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            records = [*written, *(f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD"))]
            archive.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in records))


def _asked(libraries: list[Path]) -> tuple[set[str], set[tuple[str, str]]]:
    """Names of the GPU's libraries that these are linked against, and all functions, with version, that they lack."""
    needed: set[str] = set()
    lacked: set[tuple[str, str]] = set()
    for path in libraries:
        needed |= set(re.findall(r"\(NEEDED\).*\[(lib(?:cu|nv|nccl)[^]]+)]", _read("-d", path)))
        lacked |= set(re.findall(r"GLOBAL\s+\w+\s+UND\s+([A-Za-z]\w*)(?:@([\w.]+))?", _read("--dyn-syms", path)))
    # The driver's own library comes with a GPU, and torch looks for it by itself.
    return {name for name in needed if not name.startswith((*KEPT, "libcuda.so"))}, lacked


def _read(what: str, library: Path) -> str:
    return subprocess.run(["readelf", "-W", what, str(library)], check=True, stdout=subprocess.PIPE, text=True).stdout


def _compiled(library: str, symbols: set[tuple[str, str]], scratch: Path) -> bytes:
    """A library of this name whose functions end the process."""
    stem = library[: library.index(".so") + 3]
    version = VERSION_NAMES.get(stem, library)
    versioned = sorted({name for name, asked in symbols if asked == version})
    prefix = PREFIXES.get(stem)
    plain = sorted({name for name, asked in symbols if not asked and prefix and name.startswith(prefix)})
    source = "".join(f"void {name}(void) {{ __builtin_trap(); }}\n" for name in versioned or plain)
    script = scratch / "versions"
    script.write_text(f"{version} {{ global: *; }};\n")
    made = scratch / library
    subprocess.run(
        [
            *("gcc", "-w", "-shared", "-nostdlib", "-O1", f"-Wl,-soname,{library}", "-o", str(made)),
            *([f"-Wl,--version-script={script}"] if versioned else []),
            *("-x", "c", "-"),
        ],
        input=source,
        text=True,
        check=True,
    )
    return made.read_bytes()
