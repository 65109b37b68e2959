"""Where each file of the state folder lies in a bucket: a prefix for all who may write there; names only.

`snapshots/` and `gate/` are written where data is taken in, `candidates/` by training, `registry/` by the gate and by
promotion. Held-out rows are read in `gate/` alone.
"""

from __future__ import annotations

# No project's name begins with an underscore.
RUNS = "_runs"
# All that is written under the state's address begins with one of these.
AREAS = ("snapshots/", "gate/", "candidates/", "registry/")
DECIDED = ("journal", "ledger", "told", "sealed", "unsettled", "champions", "releases", "erasures")
DECIDING = ("gate@", "promote@", "hold@")


def key_of(path: str) -> str:
    """The key of a file, by its path in the state folder. ValueError for one that is not shared."""
    match path.split("/"):
        case ["projects", project, "data", "shards", "gate", *rest]:
            parts = ["gate", project, "shards", *rest]
        case ["projects", project, "data", *rest]:
            parts = ["snapshots", project, *rest]
        case ["projects", project, kind, *rest] if kind in DECIDED:
            parts = ["registry", project, kind, *rest]
        case ["projects", project, "steps", "gate", *rest]:
            parts = ["registry", project, "steps", "gate", *rest]
        case ["projects", project, *rest]:
            parts = ["candidates/state", project, *rest]
        case ["runs", run, "decisions", *rest]:
            parts = ["registry", RUNS, run, "decisions", *rest]
        case ["runs", run, ("steps" | "failures") as kind, record] if record.startswith(DECIDING):
            parts = ["registry", RUNS, run, kind, record]
        case ["runs", run, *rest]:
            parts = ["candidates/state", RUNS, run, *rest]
        case _:
            raise ValueError(f"{path} is nothing that a run's steps share")
    return "/".join(parts)


def folders_of(folder: str) -> list[str]:
    """The prefixes, each ending in '/', under which lies what is in a folder of the state folder.

    Of a project's folder all but its snapshots, and of a folder within one run what is directly in it.
    """
    match folder.split("/"):
        case ["runs", _, ("steps" | "failures")]:
            names = ["x", DECIDING[0]]
        case ["runs"]:
            return [f"candidates/state/{RUNS}/", f"registry/{RUNS}/"]
        case ["projects", project]:
            return [f"candidates/state/{project}/", f"registry/{project}/"]
        case ["projects", project, "steps"]:
            return [f"candidates/state/{project}/steps/", f"registry/{project}/steps/"]
        case _:
            names = ["x"]
    return [key_of(f"{folder}/{name}").removesuffix(name) for name in names]


def prefixes_of(folder: str) -> list[str]:
    """Those prefixes, for a folder of snapshots too, under which the gate's shards lie apart."""
    match folder.split("/"):
        case ["projects", project, "data"]:
            return [f"snapshots/{project}/", f"gate/{project}/"]
        case _:
            return folders_of(folder)


def is_apart(key: str) -> bool:
    """Whether a key of the bucket is one that only the gate may read."""
    return key.startswith("gate/")
