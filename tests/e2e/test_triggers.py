"""The whole path for real: an object lands in S3, its event reaches `evernas serve`, and the watch pipeline decides.

The object's notification goes by S3 and SQS, of a server that speaks both. Ingest reads the folder that the same file
is delivered to: it lists for itself, and takes nothing from the event.
"""

from __future__ import annotations

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


def _bucket_that_tells_a_queue(endpoint: str) -> tuple[Any, str]:
    import boto3
    from botocore.config import Config

    patient = Config(retries={"max_attempts": 10, "mode": "standard"})
    s3, sqs = (boto3.client(name, endpoint_url=endpoint, config=patient) for name in ("s3", "sqs"))
    s3.create_bucket(Bucket="raw", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    queue = sqs.create_queue(QueueName="changes")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    s3.put_bucket_notification_configuration(
        Bucket="raw",
        NotificationConfiguration={"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]},
    )
    return s3, queue


def test_new_object_in_s3_leads_to_one_run_that_decides(undisturbed: Place, amazon: str, tmp_path: Path) -> None:
    s3, queue = _bucket_that_tells_a_queue(amazon)
    place = undisturbed.copy(tmp_path / "home")
    port = serving.free_port()
    source = {"name": "lake", "kind": "sqs", "queue": queue, "region": "eu-central-1", "endpoint": amazon}
    triggers = serving.triggers_config(sources=[source], port=port, debounce={"quiet_s": 1.0, "max_wait_s": 10.0})
    config = tmp_path / "evernas.yaml"
    config.write_text(yaml.safe_dump({**yaml.safe_load(place.config.read_text()), "triggers": triggers}))
    environment = {**place.environment, **KEYS}
    server = serving.Server(config, place.home, port, environment, tmp_path / "serve.log").start()
    try:
        before = place.runs()
        place.deliver()
        arrived = max((place.home / "incoming" / "watch").glob("*.parquet"), key=lambda path: path.stat().st_mtime)
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
    leases = list((place.home / "projects" / "watch" / "lease").rglob("*.renewed"))
    assert leases, "the run held the project's lease, and released it"
