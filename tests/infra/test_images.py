"""Every image that is built has a repository to be pushed to."""

from __future__ import annotations

import re
from pathlib import Path

from evernas_components.images import IMAGES

VARIABLES = Path(__file__).parents[2] / "infra" / "modules" / "platform" / "variables.tf"


def test_each_image_has_a_repository_and_no_other_has() -> None:
    (declared,) = re.findall(r'variable "image_repositories" \{[^}]*default\s*=\s*\[([^\]]*)\]', VARIABLES.read_text())
    assert sorted(re.findall(r'"([^"]+)"', declared)) == sorted(IMAGES)
