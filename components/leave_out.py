"""Leaves out of an image what is never called there: run in the build, on the image's packages.

botocore describes some 400 services of AWS, 15 MB when compressed; evernas speaks with these.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

# Objects and queues, and the ways to get credentials.
SERVICES = {"s3", "sqs", "sts", "sso", "sso-oidc", "signin"}


def main(environment: Path) -> None:
    """Remove the descriptions of other services from the botocore of a virtual environment, if it has one."""
    for folder in environment.glob("lib/python*/site-packages/botocore/data/*/"):
        if folder.is_dir() and folder.name not in SERVICES:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
