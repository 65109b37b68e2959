"""The report in a real browser: nothing in the console, usable by keyboard, no wider than a phone."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from evernas.report import render_report
from evernas.result import Result

HOW = "No Chromium here, so the page is not opened: apt-get install chromium, or put chromium or google-chrome on PATH."


def visit(page: str, folder: Path, script: str | None = None, width: int = 1200) -> tuple[Any, list[str]]:
    """What the script's function returns in the page, and the console; only without the page's policy can one be added."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip(HOW)
    if script is not None:
        page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
        page = page.replace(
            "</body>", f"<script>document.title = JSON.stringify((() => {{ {script} }})());</script></body>"
        )
    file = folder / "page.html"
    file.write_text(page, encoding="utf-8")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        done = subprocess.run(
            [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
             f"--user-data-dir={profile}", f"--window-size={width},900", "--enable-logging=stderr", "--dump-dom", file.as_uri()],
            capture_output=True, text=True, timeout=90, check=True,
        )  # fmt: skip
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)
    assert title is not None
    return json.loads(html.unescape(title[1])) if script is not None else None, console


def test_console_stays_empty_under_the_page_s_own_policy(
    two_devices: Result, history: list[Result], tmp_path: Path
) -> None:
    _, console = visit(render_report(two_devices, history), tmp_path)
    assert console == []


def test_arrow_keys_walk_the_marks_and_escape_hushes(promotion: Result, tmp_path: Path) -> None:
    script = """
      const charts = [...document.querySelectorAll('svg.chart')].filter((c) => c.querySelector('.mark'));
      const tip = document.getElementById('tip');
      const press = (chart, key) => chart.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));
      const said = charts.map((chart) => { chart.focus(); press(chart, 'ArrowRight'); return [document.activeElement === chart, tip.hidden, tip.textContent]; });
      press(charts[0], 'Escape');
      return { said, hidden: tip.hidden };
    """  # fmt: skip
    found, console = visit(render_report(promotion), tmp_path, script)
    assert console == []
    assert found["hidden"] is True
    assert len(found["said"]) >= 8
    for focused, hidden, text in found["said"]:
        assert focused is True
        assert hidden is False
        assert text


def test_pointing_at_the_new_champion_lights_it_in_every_chart(promotion: Result, tmp_path: Path) -> None:
    arch = promotion.devices[0].finalists[1].architecture.id
    script = f"""
      const mark = document.querySelector('.mark[data-arch="{arch}"]');
      mark.scrollIntoView();
      const box = mark.getBoundingClientRect();
      mark.dispatchEvent(new PointerEvent('pointerdown', {{ clientX: box.x + box.width / 2, clientY: box.y + box.height / 2, bubbles: true }}));
      return [document.getElementById('tip').textContent, document.querySelectorAll('.near[data-arch="{arch}"]').length];
    """
    (text, lit), _ = visit(render_report(promotion), tmp_path, script)
    assert text.startswith(f"{arch} · new champion")
    assert lit >= 3


@pytest.mark.parametrize("name", ["promotion", "nothing_new"])
def test_page_is_no_wider_than_a_phone(
    name: str, history: list[Result], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    page = render_report(request.getfixturevalue(name), history)
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
    (needed, given), _ = visit(page, tmp_path, script)
    assert given == 360
    assert needed <= given
