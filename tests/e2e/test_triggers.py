"""The whole path for real: an object lands in S3, its event reaches `evernas serve`, and the watch pipeline decides.

The object's notification goes by S3 and SQS, of a server that speaks both. Ingest reads the bucket: it lists for
itself, and takes nothing from the event. The run is a fork of a process that has imported everything.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import serving
from place import Place
from warm import Warm
from warm_python import lent

pytestmark = pytest.mark.e2e
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "eu-central-1"}
PATIENCE_S = 600


@pytest.fixture
def amazon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a server that speaks S3 and SQS."""
    pytest.importorskip("moto")
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    port = serving.free_port()
    with (tmp_path / "moto.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-p", str(port)], stdout=log, stderr=log, env={**os.environ, **KEYS}
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _bucket(endpoint: str, held: list[Path]) -> Any:
    """A client, and a bucket that holds these files under watch/."""
    import boto3
    from botocore.config import Config

    s3 = boto3.client("s3", endpoint_url=endpoint, config=Config(retries={"max_attempts": 10, "mode": "standard"}))
    s3.create_bucket(Bucket="raw", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    for path in held:
        s3.upload_file(str(path), "raw", f"watch/{path.name}")
    return s3


def _queue_that_is_told(endpoint: str, s3: Any) -> str:
    """A queue that hears of the bucket's new objects from now on."""
    import boto3

    sqs = boto3.client("sqs", endpoint_url=endpoint)
    queue: str = sqs.create_queue(QueueName="changes")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    s3.put_bucket_notification_configuration(
        Bucket="raw",
        NotificationConfiguration={"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]},
    )
    return queue


def test_new_object_in_s3_leads_to_one_run_that_decides(
    undisturbed: Place, warm: Warm, amazon: str, tmp_path: Path
) -> None:
    place = undisturbed.copy(tmp_path / "home", warm)
    incoming = place.home / "incoming" / "watch"
    held = sorted(incoming.glob("*.parquet"))
    s3 = _bucket(amazon, held)
    queue = _queue_that_is_told(amazon, s3)
    before = place.runs()
    place.deliver()
    (arrived,) = set(incoming.glob("*.parquet")) - set(held)
    port = serving.free_port()
    lake = {"name": "lake", "kind": "sqs", "queue": queue, "region": "eu-central-1", "endpoint": amazon}
    document = yaml.safe_load(place.config.read_text())
    document["data"]["source"] = f"s3://raw/watch?endpoint={amazon}&region=eu-central-1"
    document["triggers"] = serving.triggers_config(
        sources=[lake], port=port, debounce={"quiet_s": 1.0, "max_wait_s": 10.0}
    )
    config = tmp_path / "evernas.yaml"
    config.write_text(yaml.safe_dump(document))
    server = serving.Server(config, place.home, port, {**place.environment, **KEYS}, tmp_path / "serve.log")
    with lent(warm, tmp_path) as interpreter:
        server.command = [str(interpreter), *server.command[1:]]
        server.start()
        try:
            s3.upload_file(str(arrived), "raw", "elsewhere/unmatched.parquet")
            s3.upload_file(str(arrived), "raw", f"watch/{arrived.name}")
            states = "SELECT key, state FROM events ORDER BY key"
            expected = [("elsewhere/unmatched.parquet", "ignored"), (f"watch/{arrived.name}", "done")]
            serving.wait_until(lambda: server.rows(states) == expected, PATIENCE_S)
        finally:
            server.stop()
    (new,) = set(place.runs()) - set(before)
    result = place.result(new)
    assert result["outcome"] in ("promoted", "held")
    assert result["snapshot"]["parent"] == undisturbed.result()["snapshot"]["id"], "the new file was taken in"
    (device,) = result["devices"]
    assert device["verdict"]["reasons"]
    pinned = json.loads((place.home / "runs" / new / "run.json").read_text())
    assert pinned["source"] == document["data"]["source"]
    leases = list((place.home / "projects" / "watch" / "lease").rglob("*.renewed"))
    assert leases, "the run held the project's lease, and released it"
