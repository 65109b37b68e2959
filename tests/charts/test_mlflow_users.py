"""What MLflow's own server lets the users do that the chart makes: training moves no alias, promotion does."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import serving

FILES = Path(__file__).parents[2] / "charts" / "evernas" / "files"
MODEL = "evernas-watch"
PASSWORDS = {user: f"the-password-of-{user}" for user in ("admin", "training", "promoter")}
# What the chart's start script becomes, with one worker in this process's stead of uvicorn's.
SERVER = """
import os, runpy, sys
os.execvp = lambda *given: None
runpy.run_path(sys.argv[1])
os.environ["_MLFLOW_SERVER_FILE_STORE"] = os.environ["MLFLOW_BACKEND_STORE_URI"]
os.environ["_MLFLOW_SERVER_SERVE_ARTIFACTS"] = "true"
os.environ["_MLFLOW_SERVER_ARTIFACT_DESTINATION"] = sys.argv[3]
os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"] = "mlflow-artifacts:/"
from mlflow.server import auth
from werkzeug.serving import make_server
make_server("127.0.0.1", int(sys.argv[2]), auth.create_app(), threaded=True).serve_forever()
"""


class Mlflow:
    """A server with users, and the environment in which the chart makes them."""

    def __init__(self, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{(port := serving.free_port())}"
        self.environment = {
            **os.environ,
            "MLFLOW": self.url,
            "PROJECT": "watch",
            "MLFLOW_AUTH_ADMIN_USERNAME": "admin",
            "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORDS["admin"],
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "0" * 32,
            "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
            "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder / 'mlflow.db'}",
            **{f"{user.upper()}_USERNAME": user for user in ("training", "promoter")},
            **{f"{user.upper()}_PASSWORD": PASSWORDS[user] for user in ("training", "promoter")},
        }
        command = [sys.executable, "-c", SERVER, str(FILES / "mlflow_server.py"), str(port), str(folder / "artifacts")]
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)

    def make_users(self, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(FILES / "mlflow_users.py")]
        return subprocess.run(command, env={**self.environment, **environment}, text=True, capture_output=True)

    def ask(self, user: str, method: str, path: str, **document: Any) -> int:
        """The answer's status; `told` is what was answered last."""
        login = base64.b64encode(f"{user}:{PASSWORDS[user]}".encode()).decode()
        headers = {"content-type": "application/json", "authorization": f"Basic {login}"}
        body = json.dumps(document).encode() if document else None
        request = urllib.request.Request(f"{self.url}/api/2.0/mlflow/{path}", body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                self.told = json.loads(answer.read())
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mlflow]:
    pytest.importorskip("flask_wtf", reason="MLflow's users need a package: pip install 'mlflow[auth]'")
    folder = tmp_path_factory.mktemp("mlflow")
    server = Mlflow(folder)
    made = server.make_users()
    try:
        assert made.returncode == 0, made.stderr + (folder / "log").read_text()
        again = server.make_users()
        assert again.returncode == 0, again.stderr
        yield server
    finally:
        server.process.kill()
        server.process.wait()


def experiment(name: str) -> str:
    return f"experiments/get-by-name?experiment_name={name}"


def test_training_writes_its_experiment_and_no_registered_model(mlflow: Mlflow) -> None:
    alias = {"name": MODEL, "alias": "champion-laptop", "version": "1"}
    assert mlflow.ask("training", "GET", experiment(MODEL)) == 200
    assert mlflow.ask("training", "GET", experiment(f"{MODEL}-promotions")) == 403
    assert mlflow.ask("training", "POST", "runs/create", experiment_id="1", start_time=1) == 200
    assert mlflow.ask("training", "POST", "runs/create", experiment_id="2", start_time=1) == 403
    assert mlflow.ask("training", "POST", "registered-models/alias", **alias) == 403
    assert mlflow.ask("training", "POST", "registered-models/create", name="another") == 403
    assert mlflow.ask("training", "POST", "model-versions/create", name=MODEL, source="mlflow-artifacts:/1/x") == 403


def test_promotion_registers_and_moves_the_alias(mlflow: Mlflow) -> None:
    for number in ("1", "2"):
        assert mlflow.ask("promoter", "POST", "runs/create", experiment_id=number, start_time=1) == 200
    run = mlflow.told["run"]["info"]
    version = {"name": MODEL, "run_id": run["run_id"], "source": f"{run['artifact_uri']}/model"}
    assert mlflow.ask("promoter", "POST", "model-versions/create", **version) == 200
    assert mlflow.ask("promoter", "POST", "registered-models/alias", name=MODEL, alias="a", version="1") == 200
    # The library asks to make it each time, and takes this for an answer.
    assert mlflow.ask("promoter", "POST", "registered-models/create", name=MODEL) == 400


def test_password_that_was_changed_in_its_secret_is_taken_up(mlflow: Mlflow) -> None:
    made = mlflow.make_users(TRAINING_PASSWORD="another-password-of-training")
    assert made.returncode == 0, made.stderr
    assert mlflow.ask("training", "GET", experiment(MODEL)) == 401
    assert mlflow.make_users().returncode == 0


def test_administrators_password_is_changed_in_mlflow_first_and_then_in_its_secret(mlflow: Mlflow) -> None:
    new = "another-password-of-admin"
    refused = mlflow.make_users(MLFLOW_AUTH_ADMIN_PASSWORD=new)
    assert refused.returncode == 1
    assert "change the password in MLflow first, then in the Secret" in refused.stderr
    change = {"username": "admin", "current_password": PASSWORDS["admin"], "password": new}
    assert mlflow.ask("admin", "PATCH", "users/update-password", **change) == 200
    made = mlflow.make_users(MLFLOW_AUTH_ADMIN_PASSWORD=new)
    assert made.returncode == 0, made.stderr
    mlflow.environment["MLFLOW_AUTH_ADMIN_PASSWORD"] = PASSWORDS["admin"] = new


@pytest.mark.parametrize(
    ("taken", "who"), [("promoter", "TRAINING"), ("training", "PROMOTER"), ("admin", "TRAINING"), ("admin", "PROMOTER")]
)
def test_one_user_for_two_is_refused_and_no_password_is_changed(mlflow: Mlflow, taken: str, who: str) -> None:
    made = mlflow.make_users(**{f"{who}_USERNAME": taken, f"{who}_PASSWORD": "another-password-of-theirs"})
    assert made.returncode == 1
    assert "give each its own" in made.stderr
    assert mlflow.ask(taken, "GET", experiment(MODEL)) == 200
