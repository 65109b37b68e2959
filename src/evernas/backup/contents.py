"""What of a project's state belongs into a backup, read from a folder or a bucket alike."""

from __future__ import annotations

from collections.abc import Iterator

from evernas.bundle import load_bundle
from evernas.config import Config
from evernas.digest import short
from evernas.errors import EvernasError
from evernas.registry.entries import Entry
from evernas.registry.models import NowhereError, fetch
from evernas.registry.opening import open_slots
from evernas.registry.slots import Slots
from evernas.state import Home
from evernas.state.runs import completed_runs
from evernas.state.sharing import fetched_folder, storage_of
from evernas.storage import Storage

# Written once, or by decisions alone: these are read twice, so that the backup holds one moment.
DECIDED = ("ledger", "told", "sealed", "releases", "erasures")
# Written while a run works; each file stands for itself.
LOOSE = ("rechecks", "costs", "notices", "monitor", "ended")
OF_RUN = ("run.json", "result.json", "snapshot.json", "stopped.json")


class Contents:
    """The state of one project, as names and bytes."""

    def __init__(self, config: Config, home: Home) -> None:
        self.project = config.project
        self.home = home
        self.slots: Slots = open_slots(config.registry.journal, home, config.project)
        # Earlier champions, by digest, whose network cannot be had whole; and of these, those that are nowhere at all.
        self.missing: list[str] = []
        self.gone: list[str] = []

    def settled(self) -> Iterator[tuple[str, bytes]]:
        """What must be of one moment: journal, ledger, champions, manifests, and what runs have left."""
        yield from self.journal()
        for name in DECIDED:
            yield from self._folder(name)
        yield from self._manifests()
        yield from self._runs()
        consumed = storage_of(self.home, self.home.project(self.project), kept=False)
        if consumed.exists("consumed.json"):
            yield "consumed.json", consumed.read("consumed.json")

    def journal(self) -> Iterator[tuple[str, bytes]]:
        """The journal's entries as they are kept."""
        for device, number in self._numbers():
            yield f"journal/{device}/{number:06d}.json", self.slots.read(device, number)

    def bundles(self) -> Iterator[tuple[str, bytes]]:
        """Every network that was a champion. IntegrityError if one that stands is nowhere; others are noted."""
        entries = [Entry.from_bytes(self.slots.read(d, n), d, n) for d, n in self._numbers()]
        heads = {(entry.device, self.slots.newest(entry.device)) for entry in entries}
        standing = {entry.bundle for entry in entries if (entry.device, entry.number) in heads}
        self.missing, self.gone = [], []
        for digest in sorted({entry.bundle for entry in entries}):
            try:
                bundle = load_bundle(fetch(self.home, self.project, digest), expected=digest)
            except EvernasError as error:
                if digest in standing:
                    raise
                self.missing.append(digest)
                if isinstance(error, NowhereError):
                    self.gone.append(digest)
                continue
            for name in bundle.files:
                yield f"bundles/{short(digest)}/{name}", (bundle.path / name).read_bytes()

    def loose(self) -> Iterator[tuple[str, bytes]]:
        """What changes while a run works."""
        for name in LOOSE:
            yield from self._folder(name)

    def storage(self, name: str) -> Storage:
        """A folder of the project's state as keys."""
        return storage_of(self.home, self.home.project(self.project) / name, kept=False)

    def _numbers(self) -> list[tuple[str, int]]:
        return [(d, n) for d in self.slots.devices() for n in range(1, self.slots.newest(d) + 1)]

    def _folder(self, name: str) -> Iterator[tuple[str, bytes]]:
        storage = self.storage(name)
        for key in storage.list():
            try:
                yield f"{name}/{key}", storage.read(key)
            except KeyError:
                # A notice that was sent on since it was listed.
                continue

    def _manifests(self) -> Iterator[tuple[str, bytes]]:
        storage = storage_of(self.home, self.home.snapshots(self.project), kept=False)
        for key in storage.list("manifests/"):
            yield f"data/{key}", storage.read(key)

    def _runs(self) -> Iterator[tuple[str, bytes]]:
        for run in completed_runs(self.home, self.project):
            storage = storage_of(self.home, self.home.run(run), kept=False)
            for name in OF_RUN:
                if storage.exists(name):
                    yield f"runs/{run}/{name}", storage.read(name)
            decisions = fetched_folder(self.home, self.home.run(run) / "decisions")
            for path in sorted(decisions.glob("*.json")):
                yield f"runs/{run}/decisions/{path.name}", path.read_bytes()
