"""Projects that share a journal's address, a state folder and a device's name have journals of their own."""

from __future__ import annotations

from pathlib import Path

from evernas.registry.entries import Entry
from evernas.registry.journal import Journal
from evernas.registry.opening import open_slots
from evernas.state import Home


def _entry(bundle: str, number: int, device: str = "laptop") -> Entry:
    return Entry(number, device, bundle, None, "run", "v", "models:/x/1", "2026-01-01T00:00:00+00:00", bundle)


def test_two_projects_on_one_address_see_nothing_of_each_other(url: str | None, project: str, tmp_path: Path) -> None:
    """One's name begins as the other's does."""
    home = Home(tmp_path / "home")
    one, two = (Journal(open_slots(url, home, name)) for name in (project, f"{project}-2"))
    one.claim(_entry("a" * 64, 1))
    assert (one.devices(), two.devices()) == (["laptop"], [])
    assert two.head("laptop") is None
    two.claim(_entry("b" * 64, 1))
    one.claim(_entry("c" * 64, 2))
    two.claim(_entry("d" * 64, 1, "phone"))
    assert (one.head_number("laptop"), two.head_number("laptop")) == (2, 1)
    assert one.read("laptop", 1).bundle == "a" * 64
    assert two.read("laptop", 1).bundle == "b" * 64
    assert (one.devices(), two.devices()) == (["laptop"], ["laptop", "phone"])


def test_places_of_a_backup_are_filled_and_never_changed(url: str | None, project: str, tmp_path: Path) -> None:
    import pytest

    from evernas.errors import IntegrityError

    slots = open_slots(url, Home(tmp_path / "home"), project)
    entries = {("laptop", n): _entry(f"{n:064x}", n).to_bytes() for n in range(1, 5)}
    slots.fill(entries)
    slots.fill(entries)
    assert [slots.read("laptop", n) for n in range(1, 5)] == list(entries.values())
    with pytest.raises(IntegrityError, match="is another one"):
        slots.fill({("laptop", 2): b'{"other": 1}', ("laptop", 5): b"{}"})
    assert slots.read("laptop", 2) == entries["laptop", 2]
