"""Cold start and load as the report shows them."""

from __future__ import annotations

import re
from collections.abc import Callable

from evernas.report.serving import cold_start_table, load_table
from evernas.result import DeviceResult


def _said(html: object) -> str:
    text = re.sub(r"<[^>]+>", " ", str(html)).replace("\u202f", " ").replace("\u00a0", " ")
    return " ".join(text.split())


def test_cold_start_is_shown_with_its_parts_and_spread(make_device: Callable[..., DeviceResult]) -> None:
    said = _said(cold_start_table(make_device("cpu", 3, before=None, passes=True)))
    assert "median over 3 fresh processes" in said
    assert "221 ms ± 4.42 ms" in said
    assert "190 ms ± 3.80 ms" in said or "190 ms ± 3.8 ms" in said


def test_load_is_shown_by_number_of_clients(make_device: Callable[..., DeviceResult]) -> None:
    said = _said(load_table(make_device("cpu", 3, before=None, passes=True)))
    assert "1 client 2 clients" in said
    assert "1.80 k (" in said or "1.8 k (" in said


def test_a_measurement_of_before_shows_no_such_tables(make_device: Callable[..., DeviceResult]) -> None:
    device = make_device("cpu", 3, before=None, passes=True)
    older = [
        f.model_copy(
            update={"measurement": {k: v for k, v in f.measurement.items() if k not in ("cold_start", "load")}}
        )
        for f in device.finalists
    ]
    without = device.model_copy(update={"finalists": older, "champion_before": None})
    assert cold_start_table(without) is None
    assert load_table(without) is None
