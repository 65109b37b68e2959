"""Where the files of a bundle are: in the state folder, and where the state lies in a bucket, in two places of it.

Candidates lie where training writes. What is promoted is copied to where only promotion writes: training can neither
take it away nor write over it.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path

from evernas.bundle import MANIFEST, Bundle, files_of, load_bundle
from evernas.digest import digest_file, short
from evernas.errors import IntegrityError
from evernas.state.files import write_bytes
from evernas.state.home import Home
from evernas.state.sharing import storage_of
from evernas.storage import Refused, Storage


def bundle_folder(home: Home, project: str, digest: str) -> Path:
    """The folder of a bundle, brought from the bucket if it has it whole; there is none where nobody has."""
    folder = home.bundles(project) / short(digest)
    if home.bucket is None or folder.exists():
        return folder
    if not _bring(storage_of(home, home.bundles(project), kept=False), digest, folder):
        # Training has no right to read there, and takes what MLflow has.
        with contextlib.suppress(Refused):
            _bring(storage_of(home, home.champions(project), kept=False), digest, folder)
    return folder


def share_bundle(home: Home, project: str, bundle: Bundle) -> None:
    """Let other machines have a bundle."""
    if home.bucket is not None:
        _send(storage_of(home, home.bundles(project), kept=False), bundle)


def copy_champion(home: Home, project: str, bundle: Bundle) -> None:
    """Copy a bundle that is about to be champion to where only promotion writes."""
    if home.bucket is not None:
        _send(storage_of(home, home.champions(project), kept=False), bundle)


def _send(storage: Storage, bundle: Bundle) -> None:
    # The manifest last: what has one is whole.
    for file in sorted(bundle.path.iterdir(), key=lambda path: (path.name == MANIFEST, path.name)):
        with file.open("rb") as opened:
            storage.keep_file(f"{short(bundle.digest)}/{file.name}", opened, digest_file(file))


def _bring(storage: Storage, digest: str, folder: Path) -> bool:
    """Whether the bundle was there, with the very bytes that its digest names."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".writing-") as scratch:
        # A folder that is named like a digest must bear its own: so damage is found.
        made = Path(scratch) / folder.name
        try:
            # The manifest first: without it nothing is whole.
            manifest = storage.read(f"{folder.name}/{MANIFEST}")
            write_bytes(made / MANIFEST, manifest)
            for name in files_of(json.loads(manifest)):
                storage.read_file(f"{folder.name}/{name}", made / name)
            load_bundle(made, expected=digest)
        except (KeyError, ValueError, TypeError, IntegrityError):
            return False
        # Another thread may have brought it meanwhile.
        with contextlib.suppress(OSError):
            made.rename(folder)
    return True
