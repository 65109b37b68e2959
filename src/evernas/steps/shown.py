"""What a step shows in the pipeline's interface: a short Markdown, and of the last step the report; nothing decides."""

from __future__ import annotations

import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

from evernas.state.files import write_bytes
from evernas.steps.context import Context
from evernas.steps.summary import summary

PAGED = ("report", "conclude")


@dataclass(frozen=True)
class Shown:
    """Where the Markdown and the page go; None where nobody asks for one."""

    markdown: Path | None = None
    page: Path | None = None

    def begin(self) -> None:
        """Write something at once: whoever fetches these files expects them of a step that ends early too."""
        text = "This step has not ended, or had nothing to do."
        _write(self.markdown, text + "\n")
        _write(self.page, f"<!doctype html><title>evernas</title><p>{text}</p>\n")

    def fail(self) -> None:
        """Say that the step failed, and that the run's own record says why: a sentence may hold names."""
        _write(self.markdown, "This step failed. The run's log and its failure.json say why.\n")

    def end(self, context: Context, output: str) -> None:
        """Show what the step did. What goes wrong here goes into the log alone: the step is done."""
        try:
            if self.markdown is not None:
                _write(self.markdown, summary(context, output))
            if self.page is not None and context.step in PAGED:
                from evernas.steps.page import page_of

                _write(self.page, page_of(context))
        except Exception:  # noqa: BLE001 - work that is done is not lost because it cannot be shown
            print("What this step did could not be shown in the pipeline:", file=sys.stderr)
            traceback.print_exc()


def _write(path: Path | None, text: str) -> None:
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, text.encode())
    except OSError as error:
        # Nor is work refused because it could not be shown.
        print(f"{path} cannot be written ({error.strerror}): the pipeline shows nothing of this step.", file=sys.stderr)
