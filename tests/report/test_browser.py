"""The report in a real browser: nothing in the console, usable by keyboard, no wider than a phone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from browser import visit
from evernas.report import render_report
from evernas.result import Result


def test_console_stays_empty_under_the_page_s_own_policy(
    two_devices: Result, history: list[Result], tmp_path: Path
) -> None:
    _, console = visit(render_report(two_devices, history), tmp_path)
    assert console == []


@pytest.fixture(scope="module")
def walked(promotion: Result, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One visit in which every chart is entered by keyboard, and the new champion's mark is pointed at."""
    arch = promotion.devices[0].finalists[1].architecture.id
    script = f"""
      const charts = [...document.querySelectorAll('svg.chart')].filter((c) => c.querySelector('.mark'));
      const tip = document.getElementById('tip');
      const press = (chart, key) => chart.dispatchEvent(new KeyboardEvent('keydown', {{ key, cancelable: true }}));
      const said = charts.map((chart) => {{
        chart.focus();
        press(chart, 'ArrowRight');
        return [document.activeElement === chart, tip.hidden, tip.textContent];
      }});
      press(charts[0], 'Escape');
      const hushed = tip.hidden;
      const mark = document.querySelector('.mark[data-arch="{arch}"]');
      mark.scrollIntoView();
      const box = mark.getBoundingClientRect();
      const at = {{ clientX: box.x + box.width / 2, clientY: box.y + box.height / 2, bubbles: true }};
      mark.dispatchEvent(new PointerEvent('pointerdown', at));
      const lit = document.querySelectorAll('.near[data-arch="{arch}"]').length;
      return {{ said, hushed, arch: '{arch}', pointed: tip.textContent, lit }};
    """
    found, console = visit(render_report(promotion), tmp_path_factory.mktemp("walked"), script)
    assert console == []
    return dict(found)


def test_arrow_keys_walk_the_marks_of_every_chart_and_escape_hushes(walked: dict[str, Any]) -> None:
    assert len(walked["said"]) >= 8
    for focused, hidden, text in walked["said"]:
        assert focused is True
        assert hidden is False
        assert text
    assert walked["hushed"] is True


def test_pointing_at_the_new_champion_lights_it_in_every_chart(walked: dict[str, Any]) -> None:
    assert walked["pointed"].startswith(f"{walked['arch']} · new champion")
    assert walked["lit"] >= 3


def test_page_is_no_wider_than_a_phone(promotion: Result, history: list[Result], tmp_path: Path) -> None:
    script = """
      const frame = document.createElement('iframe');
      frame.style.cssText = 'width:360px;height:800px;border:0';
      const copy = document.documentElement.cloneNode(true);
      copy.querySelectorAll('script').forEach((s) => s.remove());
      document.body.append(frame);
      frame.contentDocument.open();
      frame.contentDocument.write('<!doctype html>' + copy.outerHTML);
      frame.contentDocument.close();
      const root = frame.contentDocument.documentElement;
      return [root.scrollWidth, root.clientWidth];
    """
    (needed, given), _ = visit(render_report(promotion, history), tmp_path, script)
    assert given <= 360
    assert needed <= given
