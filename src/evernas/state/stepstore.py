"""Steps that are done: results kept under the digest of all that they read, with a completion marker written last."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evernas.digest import digest_file, digest_value, short
from evernas.errors import IntegrityError
from evernas.state.files import json_bytes, read_json, write_bytes, write_json
from evernas.state.ownership import Guard

MARKER = "done.json"
UNSETTLED = "unsettled.json"
MARKER_VERSION = 2


@dataclass(frozen=True)
class Done:
    """A finished step: its reference, its folder, the facts that later steps read, and the run that computed it."""

    ref: str
    folder: Path
    facts: dict[str, Any]
    inputs: dict[str, Any]
    run: str

    def file(self, name: str) -> Path:
        return self.folder / name


@dataclass(frozen=True)
class StepStore:
    """All steps of a project, each in `<step>/<key>/`."""

    folder: Path

    def ref(self, step: str, version: int, inputs: dict[str, Any]) -> str:
        """The name of the step that reads these inputs: `step/key`, the key a digest of them and the step's version."""
        return f"{step}/{short(digest_value({'step': step, 'version': version, 'inputs': inputs}))}"

    def workspace(self, ref: str) -> Path:
        """The folder of a step, made if needed: checkpoints and outputs live here before and after it is done."""
        path = self.folder / ref
        path.mkdir(parents=True, exist_ok=True)
        return path

    def find(self, ref: str) -> Done | None:
        """The finished step of this name, or None. Outputs whose digests do not check make it unfinished again."""
        path = self.folder / ref
        if not (path / MARKER).exists():
            return None
        marker = read_json(path / MARKER)
        if marker.get("version") != MARKER_VERSION:
            return None
        for name, digest in marker["outputs"].items():
            if not (path / name).is_file() or digest_file(path / name) != digest:
                return None
        return Done(ref, path, marker["facts"], marker["inputs"], marker["run"])

    def get(self, ref: str) -> Done:
        """The finished step of this name; IntegrityError if it is not there or its bytes have changed."""
        done = self.find(ref)
        if done is None:
            raise IntegrityError(
                f"The step {ref} is not done, or its files in {self.folder / ref} were changed after it was: "
                "run again to make it anew."
            )
        return done

    def place(self, ref: str) -> str:
        """Where a person finds what a step has left, also after it failed."""
        return str(self.folder / ref)

    def keep(self, ref: str, name: str) -> None:
        """Let a file of a step at work outlive this attempt at it; here, a file that was written does."""

    def finish(self, done: Done, outputs: list[str], guard: Guard) -> Done:
        """Mark a step as done: the marker holds the outputs' digests and is written last."""
        path = self.folder / done.ref
        marker = marker_of(done, {name: digest_file(path / name) for name in sorted(outputs)})
        with guard.publishing():
            write_bytes(path / MARKER, marker)
        return done

    def unsettle(self, ref: str, run: str, guard: Guard) -> None:
        """Note that what this run made of a step is not final: the run keeps to it, every later run makes it anew."""
        with guard.publishing():
            write_json(self.folder / ref / UNSETTLED, {"version": MARKER_VERSION, "run": run})

    def find_for(self, ref: str, run: str) -> Done | None:
        """The finished step of this name, or None; None too if another run noted that it is not final."""
        note = self.folder / ref / UNSETTLED
        if note.exists() and read_json(note)["run"] != run:
            return None
        return self.find(ref)

    def renew(self, ref: str, run: str) -> Path:
        """The folder to make a step in: its own, with what a kill left there; empty if another run left it unsettled.

        What is discarded is out of the way at once, so that a kill leaves all of it or nothing.
        """
        note = self.folder / ref / UNSETTLED
        if note.exists() and read_json(note)["run"] != run:
            aside = Path(tempfile.mkdtemp(dir=note.parent.parent, prefix=".discarded-"))
            note.parent.replace(aside)
            shutil.rmtree(aside)
        return self.workspace(ref)


def marker_of(done: Done, outputs: dict[str, str]) -> bytes:
    """The completion marker of a step, with its outputs' digests by name."""
    marker = {"version": MARKER_VERSION, "ref": done.ref, "run": done.run, "inputs": done.inputs, "facts": done.facts}
    return json_bytes({**marker, "outputs": outputs})
