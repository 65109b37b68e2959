"""A bucket of many objects of which a few are new: how many requests a run makes, on moto's S3 server."""

from __future__ import annotations

import io
import logging
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

BUCKET, PREFIX, ACCOUNT = "evernas", "incoming", "123456789012"
CONFIG = {
    "source": "unused",
    "signal": {"channels": ["x", "y"], "length": 16, "stride": 16},
    "labels": ["walk", "run"],
    "splits": {"gate": ["g"], "search": ["s"]},
}


def measure_objects(objects: int, new: int, store: Path) -> dict[str, float]:
    """Take in so many objects, then again with some that are new, and a third time with none.

    The server runs in a thread of this process, so the seconds are of both; the requests are counted at the client.
    """
    from moto.s3.models import s3_backends
    from moto.server import ThreadedMotoServer

    from evernas.config import DataConfig
    from evernas.data import ingest
    from evernas.data.bucket import BucketSource
    from evernas.storage.s3 import S3Address, connect

    os.environ.update(AWS_ACCESS_KEY_ID="evernas", AWS_SECRET_ACCESS_KEY="evernas", AWS_EC2_METADATA_DISABLED="true")
    # It would print a line for every request.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        address = S3Address(BUCKET, PREFIX, f"http://{host}:{port}", "us-east-1")
        client, asked = connect(address), Counter[str]()
        client.create_bucket(Bucket=BUCKET)
        client.meta.events.register("before-send.s3", lambda event_name, **_: asked.update([event_name.split(".")[-1]]))
        held = s3_backends[ACCOUNT]["aws"]

        def put(first: int, last: int) -> None:
            for number in range(first, last):
                held.put_object(BUCKET, f"{PREFIX}/{number:06d}.parquet", _recording(number))

        config, parent = DataConfig.model_validate(CONFIG), None
        found: dict[str, float] = {}
        for name, first, last in (("first", 0, objects), ("second", objects, objects + new), ("third", 0, 0)):
            put(first, last)
            asked.clear()
            begin = time.perf_counter()
            parent = ingest(BucketSource(address, store, client), store, config, parent).id
            found |= {
                f"{name}_seconds": time.perf_counter() - begin,
                f"{name}_lists": asked["ListObjectsV2"],
                f"{name}_gets": asked["GetObject"],
                f"{name}_others": asked.total() - asked["ListObjectsV2"] - asked["GetObject"],
            }
    finally:
        server.stop()
    return found


def _recording(number: int) -> bytes:
    payload: Any = np.random.default_rng(number).normal(size=(1, 2, 16)).astype(np.float32).tolist()
    columns = {"id": [f"r{number}"], "domain": [("g", "s", "t")[number % 3]], "label": ["walk"], "payload": payload}
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()
