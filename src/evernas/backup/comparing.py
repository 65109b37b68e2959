"""Comparing a state with an earlier backup of it: what was decided then stands for ever, byte for byte."""

from __future__ import annotations

from evernas.backup.container import Backup
from evernas.backup.contents import DECIDED, Contents
from evernas.config import Config
from evernas.digest import digest_bytes, short
from evernas.errors import IntegrityError, UsageError
from evernas.state import Home

# What is only ever added to. Releases and erasures may be taken back by a person.
STANDING = ("journal", *DECIDED[:3], "bundles", "data")


def compare(config: Config, home: Home, backup: Backup) -> int:
    """How much is as it was; IntegrityError names what is not."""
    if backup.index["project"] != config.project:
        raise UsageError(f"The backup is of {backup.index['project']}, and the config of {config.project}.")
    contents = Contents(config, home)
    wanted = {name: digest for name, digest in backup.index["members"].items() if name.partition("/")[0] in STANDING}
    found = {name: digest_bytes(data) for name, data in (*contents.settled(), *contents.bundles())}
    wrong = [name for name, digest in wanted.items() if found.get(name) != digest]
    # Networks of earlier champions may go; one that is there and is another may not.
    gone = {f"bundles/{short(digest)}" for digest in contents.gone}
    wrong = [name for name in wrong if name.rpartition("/")[0] not in gone]
    # Snapshots that nothing reaches any more may have been collected.
    wrong = [name for name in wrong if not (name.startswith("data/") and name not in found)]
    if wrong:
        raise IntegrityError(
            f"{', '.join(wrong[:5])}{' and more' if len(wrong) > 5 else ''} of {config.project} changed or went since "
            f"{backup.index['made_at']}: the state is damaged or was tampered with; restore it from the backup."
        )
    return sum(found.get(name) == digest for name, digest in wanted.items())
