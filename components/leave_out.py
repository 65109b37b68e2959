"""Leaves out of an image what Python never reaches there: run in the build, on the image's packages."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

# botocore describes some 400 services of AWS; evernas speaks with objects and queues, and those that give credentials.
SERVICES = {"s3", "sqs", "sts", "sso", "sso-oidc", "signin"}
LEFT_OUT = (
    # Tests of packages, which nothing else of them imports. Not numpy's: numpy.testing does.
    "pandas/tests",
    "scipy/**/tests",
    "pyarrow/tests",
    "onnx/backend/test",
    # The runtime for programs in C; Python's module has it inside.
    "onnxruntime/capi/libonnxruntime.so.*",
    # Arrow's network protocol. Its foreign query plans stay: all of its modules are linked with them.
    "pyarrow/*flight*",
)


def main(environment: Path) -> None:
    """Remove from a virtual environment what is left out of every image, where it is there."""
    for packages in environment.glob("lib/python*/site-packages"):
        services = (path for path in packages.glob("botocore/data/*/") if path.name not in SERVICES and path.is_dir())
        for path in [*services, *(found for pattern in LEFT_OUT for found in packages.glob(pattern))]:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
