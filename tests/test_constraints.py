"""What is installed beside evernas serves every Python that evernas names."""

from __future__ import annotations

from importlib.metadata import distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"


def test_what_is_pinned_serves_the_oldest_python_that_evernas_names() -> None:
    """Debian 12 has Python 3.11.2: a pin that asks for a later patch of it can be installed there by nobody."""
    oldest = next(iter(SpecifierSet(distribution("evernas").metadata["Requires-Python"]))).version
    pinned = {Requirement(line).name.lower() for line in CONSTRAINTS.read_text().splitlines() if "==" in line}
    found = [each for each in distributions() if each.metadata["Name"].lower() in pinned]
    assert len(found) > 150
    refusing = [
        f"{each.metadata['Name']} {each.version} needs Python {asked}"
        for each in found
        if (asked := each.metadata.get("Requires-Python")) and not SpecifierSet(asked).contains(f"{oldest}.0")
    ]
    assert refusing == []
