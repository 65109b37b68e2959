"""Steps that are done, in a bucket: outputs under their digests first, then the marker, created once.

<step>/<key>/outputs/<digest>/<name>   what the step made; never changed
<step>/<key>/done.json                 the marker
<step>/<key>/work/...                  what an attempt that was ended had come to, for the next one to go on from
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evernas.digest import digest_bytes, digest_file
from evernas.errors import EvernasError, IntegrityError
from evernas.state.bucket import Area
from evernas.state.files import write_bytes
from evernas.state.ownership import Guard
from evernas.state.stepstore import MARKER, MARKER_VERSION, Done, StepStore, marker_of
from evernas.storage import AlreadyExists, FileStorage, Storage

OUTPUTS, WORK = "outputs", "work"


@dataclass(frozen=True)
class DoneElsewhere(Done):
    """A finished step whose outputs are brought when they are asked for, and then checked."""

    outputs: Mapping[str, str]
    storage: Storage

    def file(self, name: str) -> Path:
        """The path of a file; IntegrityError for an output whose bytes are not those that the marker names."""
        path = self.folder / name
        digest = self.outputs.get(name)
        if digest is not None and not path.exists():
            try:
                self.storage.read_file(output_key(self.ref, name, digest), path, digest)
            except KeyError:
                self._undo(f"{name} is missing")
            except IntegrityError:
                self._undo(f"{name} does not have the digest that was recorded, {digest}")
        return path

    def _undo(self, fault: str) -> Any:
        """Make the step unfinished again, for the next run to make it anew; raises IntegrityError."""
        said = f"The output {self.storage}/{self.ref}/{fault}"
        try:
            self.storage.delete(f"{self.ref}/{MARKER}")
        except EvernasError as error:
            raise IntegrityError(f"{said}. Remove {self.ref}/{MARKER} and run again to make it anew. {error}") from None
        raise IntegrityError(f"{said}: run again to make it anew.")


@dataclass(frozen=True)
class BucketSteps(StepStore):
    """All steps of a project. `folder` is in the scratch folder; `notes` says which steps are not settled.

    A note is of one marker, so that a step that is made anew needs nobody to take the note away.
    """

    storage: Area
    notes: Storage

    def find(self, ref: str) -> Done | None:
        """The finished step of this name, or None. Its outputs are looked at when they are read."""
        data = self._marker(ref)
        return None if data is None else self._done(ref, data)

    def place(self, ref: str) -> str:
        """Where a person finds what a step has left, also after it failed."""
        return f"{self.storage}/{ref}/{WORK}"

    def keep(self, ref: str, name: str) -> None:
        """Publish a file of a step at work, if it was written, for an attempt after this one to find."""
        path = self.folder / ref / name
        if path.exists():
            with path.open("rb") as file:
                self.storage.write_file(f"{ref}/{WORK}/{name}", file)

    def finish(self, done: Done, outputs: list[str], guard: Guard) -> Done:
        """Publish outputs and marker; the step as it stands, which another may have finished a moment before."""
        path = self.folder / done.ref
        digests = {name: digest_file(path / name) for name in sorted(outputs)}
        guard.check()
        for name, digest in digests.items():
            with (path / name).open("rb") as file:
                self.storage.keep_file(output_key(done.ref, name, digest), file, digest)
        data = marker_of(done, digests)
        key = f"{done.ref}/{MARKER}"
        try:
            self.storage.create(key, data)
        except AlreadyExists:
            # Our own, if the answer to a first try was lost; or another's, whose outputs are as good.
            data = self._standing(key, data)
        stands = self._done(done.ref, data)
        for name, digest in digests.items():
            if stands.outputs.get(name) != digest:
                (path / name).unlink()
        write_bytes(path / MARKER, data)
        self._forget_work(done.ref)
        return stands

    def unsettle(self, ref: str, run: str, guard: Guard) -> None:
        """Note that what stands of a step is not final: this run keeps to it, every later run makes it anew."""
        data = self._marker(ref)
        if data is not None:
            note = {"version": MARKER_VERSION, "run": run, "marker": digest_bytes(data)}
            guard.check()
            self.notes.write(f"{ref}.json", json.dumps(note).encode())

    def find_for(self, ref: str, run: str) -> Done | None:
        """The finished step of this name, or None; None too if another run noted that it is not final."""
        return None if self._is_unsettled(ref, run) else self.find(ref)

    def renew(self, ref: str, run: str) -> Path:
        """The folder to make a step in, with what an ended attempt came to; empty if another run left it unsettled."""
        if self._is_unsettled(ref, run):
            # The marker last: until it has gone, the note says that the rest has to go.
            self._forget_work(ref)
            self.storage.delete(f"{ref}/{MARKER}")
            shutil.rmtree(self.folder / ref)
        path = self.workspace(ref)
        for key in self.storage.list(f"{ref}/{WORK}/"):
            # Refuses a name that would leave the folder: whoever may write there may not write here.
            self.storage.read_file(key, FileStorage(path).path(key.removeprefix(f"{ref}/{WORK}/")))
        return path

    def _marker(self, ref: str) -> bytes | None:
        """The marker of a step; None if there is none of this version."""
        path = self.folder / ref / MARKER
        if path.exists():
            return path.read_bytes()
        try:
            data = self.storage.read(f"{ref}/{MARKER}")
        except KeyError:
            return None
        if json.loads(data).get("version") != MARKER_VERSION:
            return None
        write_bytes(path, data)
        return data

    def _done(self, ref: str, data: bytes) -> DoneElsewhere:
        marker = json.loads(data)
        facts, inputs, run = marker["facts"], marker["inputs"], marker["run"]
        return DoneElsewhere(ref, self.folder / ref, facts, inputs, run, marker["outputs"], self.storage)

    def _standing(self, key: str, ours: bytes) -> bytes:
        """The marker that is there; ours in its place if it is of another version, which nobody reads."""
        data = self.storage.read(key)
        if json.loads(data).get("version") == MARKER_VERSION:
            return data
        self.storage.write(key, ours)
        return ours

    def _is_unsettled(self, ref: str, run: str) -> bool:
        try:
            note = json.loads(self.notes.read(f"{ref}.json"))
        except KeyError:
            return False
        data = self._marker(ref)
        return data is not None and note["run"] != run and note["marker"] == digest_bytes(data)

    def _forget_work(self, ref: str) -> None:
        self.storage.clear(f"{ref}/{WORK}/")


def output_key(ref: str, name: str, digest: str) -> str:
    """Where an output of a step lies."""
    return f"{ref}/{OUTPUTS}/{digest}/{name}"


def unfinished(steps: BucketSteps) -> dict[str, Path]:
    """The steps that are worked on in the scratch folder, by reference."""
    folders = (path for path in steps.folder.glob("*/*") if path.is_dir() and not (path / MARKER).exists())
    return {path.relative_to(steps.folder).as_posix(): path for path in folders}
