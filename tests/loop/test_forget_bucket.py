"""An erasure where the state lies in a bucket that keeps versions: no version of any object tells of it."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from registry_servers import BUCKET, s3

from erasable import WHO, Place, place
from evernas.digest import digest_file
from evernas.errors import OwnershipError, UsageError
from evernas.loop.forget import forget
from evernas.state import Home
from evernas.state.layout import key_of
from evernas.state.opening import opened
from evernas.state.runs import Head
from evernas.state.sharing import erasures_of, steps_of
from evernas.steps.forgotten import KEY_VARIABLE, forgotten_of
from evernas.steps.leased import renewing
from evernas.storage.s3 import S3Address, connect
from evernas.triggers.lease import Lease, leases_of

__all__ = ["place"]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3() as port:
        yield f"s3://{BUCKET}/team?endpoint=http://127.0.0.1:{port}&region=us-east-1"


@pytest.fixture
def client(server: str) -> Any:
    made = connect(S3Address.parse(server))
    made.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    return made


def _put(client: Any, place: Place) -> None:
    """The state folder as steps leave it in a bucket; what was deleted there or written over, versions still have."""
    root, project = place.home.path, place.config.project

    def put(path: str, data: bytes) -> None:
        client.put_object(Bucket=BUCKET, Key=f"team/{key_of(path)}", Body=data)

    for file in sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink()):
        path = file.relative_to(root).as_posix()
        if path.startswith(f"projects/{project}/steps/") and file.name != "done.json":
            ref = "/".join(path.split("/")[3:5])
            put(f"projects/{project}/steps/{ref}/outputs/{digest_file(file)}/{file.name}", file.read_bytes())
        elif path.startswith(("projects/", "runs/")):
            if file.name in ("head.json", "result.json"):
                put(path, b"earlier, of " + WHO.encode())
            put(path, file.read_bytes())
            if "/shards/gate/" in path:
                rows = io.BytesIO()
                pq.write_table(pq.read_table(file).drop_columns(["payload"]), rows, write_page_checksum=True)
                put(path.replace("/shards/", "/rows/"), rows.getvalue())
    gone = f"projects/{project}/data/shards/train/{'0' * 64}.parquet"
    put(gone, place.payloads[0])
    client.delete_object(Bucket=BUCKET, Key=f"team/{key_of(gone)}")


def _versions(client: Any) -> dict[tuple[str, str], bytes]:
    """All that the bucket has of any object, ever."""
    found = {}
    for page in client.get_paginator("list_object_versions").paginate(Bucket=BUCKET):
        for item in page.get("Versions", []):
            got = client.get_object(Bucket=BUCKET, Key=item["Key"], VersionId=item["VersionId"])
            found[item["Key"], item["VersionId"]] = got["Body"].read()
    return found


def test_no_version_of_any_object_tells_of_what_was_erased(
    place: Place, server: str, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _put(client, place)
    traces = place.traces
    assert sum(any(trace in data for trace in traces) for data in _versions(client).values()) > 12
    with opened(server) as home:
        monkeypatch.delenv(KEY_VARIABLE, raising=False)
        with pytest.raises(UsageError, match="must not hold the key of its erasures"):
            forget(place.config, home, WHO, None, "asked")
        monkeypatch.setenv(KEY_VARIABLE, "5a" * 32)
        assert leases_of(home, place.config.project).claim("a-run") is not None
        with pytest.raises(OwnershipError, match="A run of watch is at work"):
            forget(place.config, home, WHO, None, "asked")
        leases_of(home, place.config.project).end("a-run")
        (erased,) = forget(place.config, home, WHO, None, "asked")
    assert erased.record["rows"] == 4
    for (key, _), data in _versions(client).items():
        assert not [trace for trace in traces if trace in data or trace in key.encode()], key
    _goes_on(server, place)


def test_a_long_erasure_renews_its_lease(
    place: Place, server: str, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _put(client, place)
    monkeypatch.setenv(KEY_VARIABLE, "5a" * 32)
    held, renew = list[str](), Lease.renew

    def renewed(lease: Lease) -> None:
        held.append(lease.holder)
        renew(lease)

    monkeypatch.setattr(Lease, "renew", renewed)
    monkeypatch.setattr("evernas.loop.forget.renewing", partial(renewing, every_s=0.01))
    with opened(server) as home:
        forget(place.config, home, WHO, None, "asked")
        assert held
        assert held[0].startswith("erasure-")
        assert leases_of(home, place.config.project).is_free()


def _goes_on(server: str, place: Place) -> None:
    """What the next run finds there."""
    with opened(server) as home:
        assert isinstance(home, Home)
        head = Head.read(home, place.config.project)
        assert head is not None
        supernet = steps_of(home, place.config.project).get(head.supernet)
        assert supernet.file("supernet.safetensors").read_bytes() == b"run-1"
        forgotten = forgotten_of(home, place.config.project)
        assert forgotten is not None
        assert forgotten.hides("domain", WHO)
        assert WHO not in json.dumps(erasures_of(home, place.config.project).all())
