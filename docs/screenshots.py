"""Takes the documentation's pictures of what a person sees: runs the watch example twice and looks at what it made.

`python docs/screenshots.py [--home FOLDER]` writes docs/images/. It needs Chromium, and about eight minutes; with the
home of an earlier call, which has a report and the terminal's lines, half a minute.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from PIL import Image
from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
CONFIG = "examples/watch/evernas.yaml"
RUNS = 2
COLUMNS = 108
COLOURS = 96
LIGHT, DARK = 1, 0
PAGES = {
    "report": ("report.html", LIGHT, (1100, 1560)),
    "report-dark": ("report.html", DARK, (1100, 1560)),
    "report-phone": ("report.html", LIGHT, (500, 1100)),
    "documentation": ("site/index.html", LIGHT, (1400, 800)),
}


def main() -> None:
    """Run what is missing, then take every picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, help="state folder to use or to make; a temporary one if not given")
    home = parser.parse_args().home
    with tempfile.TemporaryDirectory() as scratch:
        folder = (home or Path(scratch) / "home").absolute()
        said = folder / "terminal.txt"
        if not said.exists():
            lines = [_loop(folder) for _ in range(RUNS)]
            said.write_text(lines[-1])
        _terminal(said.read_text(), IMAGES / "terminal.svg")
        pages = Path(scratch) / "pages"
        _mkdocs(pages / "site")
        shutil.copy((folder / "latest" / "report.html").resolve(), pages / "report.html")
        with _served(pages) as address:
            for name, (page, scheme, size) in PAGES.items():
                _picture(f"{address}/{page}", scheme, size, IMAGES / f"{name}.png")


def _loop(home: Path) -> str:
    """What the terminal shows when the next wearer's data arrives and the loop runs."""
    python = sys.executable
    home.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "EVERNAS_HOME": str(home), "COLUMNS": str(COLUMNS)}
    deliver = [python, str(ROOT / "examples/watch/deliver.py"), "--config", CONFIG, "--home", str(home)]
    said = ""
    for command in (deliver, [python, "-m", "evernas.cli", "run", CONFIG]):
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        said += done.stdout
    return said.replace(str(home), ".evernas")


def _terminal(said: str, file: Path) -> None:
    """A terminal with these lines, as SVG."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text("$ make run", style="bold"))
    console.print(Text.from_ansi(said))
    drawn = console.export_svg(title="evernas", theme=DIMMED_MONOKAI, unique_id="terminal")
    # Rich's fonts would be fetched from elsewhere; whatever is monospaced here does as well.
    file.write_text(re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL) + "\n")


def _mkdocs(site: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(site)]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, check=True)


@contextlib.contextmanager
def _served(folder: Path) -> Iterator[str]:
    """The folder under an address of this machine's own: the documentation's search needs one."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _picture(page: str, scheme: int, size: tuple[int, int], file: Path) -> None:
    """The page in Chromium; `scheme` is what it prefers, dark (0) or light (1)."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        sys.exit("There is no Chromium: apt-get install chromium, or put chromium or google-chrome on the PATH.")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--blink-settings=preferredColorScheme={scheme}",
            f"--user-data-dir={profile}",
            f"--window-size={size[0]},{size[1]}",
            "--virtual-time-budget=5000",
            f"--screenshot={file}",
            page,
        ]
        subprocess.run(command, stderr=subprocess.DEVNULL, timeout=90, check=True)
    Image.open(file).convert("RGB").quantize(COLOURS).save(file, optimize=True)


if __name__ == "__main__":
    main()
