"""Which container image runs which step; the laptop ignores it."""

from __future__ import annotations

import os

REPOSITORY = os.environ.get("IMAGE_REPOSITORY", "evernas")
TAG = os.environ.get("IMAGE_TAG", "dev")
CORE = f"{REPOSITORY}/python-core:{TAG}"
TRAIN = f"{REPOSITORY}/python-train:{TAG}"
RUNNER = f"{REPOSITORY}/python-runner:{TAG}"
