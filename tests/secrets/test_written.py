"""A secret that stands in the config is refused by its key and never repeated; a reference to one is not refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from evernas.config import load_config
from evernas.config_secrets import written
from evernas.errors import UsageError
from tiny_project import write

PLANTED = "planted-5f1d9c3a77"
PEM = f"-----BEGIN PRIVATE KEY-----\n{PLANTED}\n-----END PRIVATE KEY-----"


def _config(path: Path, dotted: str, value: Any) -> Path:
    document = yaml.safe_load(write(path, "tiny", "nowhere").read_text())
    *above, last = dotted.split(".")
    inside = document
    for name in above:
        inside = inside.setdefault(name, {}) if not name.isdigit() else inside[int(name)]
    inside[last] = value
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("registry.journal", f"postgresql://evernas:{PLANTED}@db/evernas"),
        ("registry.journal", f"postgresql://db/evernas?password={PLANTED}"),
        ("data.source", f"s3://bucket/raw?X-Amz-Signature={PLANTED}"),
        ("triggers.database", f"postgresql://evernas:{PLANTED}@db/evernas"),
        ("triggers.sources", [{"name": "lake", "kind": "signed", "secrets": [PLANTED]}]),
        ("triggers.submit", {"to": "kfp", "kfp": {"host": "http://ml-pipeline:8888", "token": PLANTED}}),
        ("triggers.submit", {"to": "kfp", "kfp": {"host": f"http://me:{PLANTED}@ml-pipeline:8888"}}),
        ("outbox.sinks", [{"name": "ops", "url": "https://host/", "secret": PLANTED}]),
        ("outbox.sinks", [{"name": "ops", "url": "https://host/", "key": PEM}]),
        ("outbox.sinks", [{"name": "ops", "url": f"https://host/?token={PLANTED}", "secret": {"env": "S"}}]),
        ("cluster.environment", {"MLFLOW_TRACKING_PASSWORD": PLANTED}),
        ("cluster.environment", {"MLFLOW_TRACKING_URI": f"https://me:{PLANTED}@mlflow/"}),
        ("registry.verdict_keys", [PEM]),
        ("project", "AKIAABCDEFGHIJKLMNOP"),
    ],
)
def test_a_secret_in_the_config_is_refused_by_its_key_and_not_repeated(tmp_path: Path, key: str, value: Any) -> None:
    with pytest.raises(UsageError, match="secrets stand in it") as refused:
        load_config(_config(tmp_path / "evernas.yaml", key, value))
    assert key in str(refused.value)
    assert PLANTED not in str(refused.value)
    assert "AKIAABCDEFGHIJKLMNOP" not in str(refused.value)
    assert "{env: NAME}" in str(refused.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        # What a person writes who takes the name of the reference for the place of the value.
        ("triggers.sources", [{"name": "lake", "kind": "signed", "secrets": [{"env": f"{PLANTED} is it"}]}]),
        ("triggers.database", {"env": f"{PLANTED} is it"}),
        ("outbox.sinks", [{"name": "ops", "url": "https://host/", "secret": {"env": f"{PLANTED} is it"}}]),
        ("outbox.sinks", [{"name": "ops", "url": f"https://me@host/{PLANTED}", "secret": {"env": "S"}}]),
        ("triggers.sources", [{"name": "lake", "kind": "signed", "secrets": {PLANTED: 1}}]),
    ],
)
def test_a_value_in_the_wrong_place_is_refused_without_being_shown(tmp_path: Path, key: str, value: Any) -> None:
    with pytest.raises(UsageError) as refused:
        load_config(_config(tmp_path / "evernas.yaml", key, value))
    assert PLANTED not in str(refused.value)


def test_references_variables_and_what_only_looks_like_a_secret_are_none(tmp_path: Path) -> None:
    document = {
        "registry": {"journal": "postgresql://evernas:${JOURNAL_PASSWORD}@db/evernas"},
        "source": "s3://bucket/raw?endpoint=https://host:9000&region=eu",
        "triggers": {
            "sources": [{"secrets": [{"env": "LAKE_SECRET"}, {"file": "/run/secrets/next"}]}],
            "tls": {"certificate": "/tls.crt", "key": "/tls.key"},
            "submit": {"kfp": {"token": {"file": "/var/run/token"}}},
        },
        "cluster": {
            "environment": {"EVERNAS_GATE_KEY_FILE": "/keys/gate.pem", "AWS_ACCESS_KEY_ID_HINT": "none"},
            "secrets": [{"name": "gate", "keys": {"key": "EVERNAS_GATE_KEY"}, "steps": ["gate"]}],
            "core": {"tolerations": [{"key": "gpu", "value": "true"}]},
        },
        "outbox": {"sinks": [{"secret": {"env": "S"}, "key": {"file": "/k"}, "url_from": {"env": "U"}}]},
    }
    assert list(written(document)) == []


def test_keys_of_a_kubernetes_secret_are_names_of_variables() -> None:
    secrets = [{"name": "failure", "keys": {"secret": "EVERNAS_FAILURE_SECRET", "token": "EVERNAS_TOKEN"}}]
    assert not list(written({"cluster": {"secrets": secrets}}))
    assert [key for key, _ in written({"elsewhere": {"secrets": secrets}})] == [
        "elsewhere.secrets.0.keys.secret",
        "elsewhere.secrets.0.keys.token",
    ]
