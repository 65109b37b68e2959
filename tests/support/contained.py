"""The loop with each step in a container of its own: kfp.local's DockerRunner, a state folder, and a network that leads
to MLflow alone.

python contained.py CONFIG HOME RUN NETWORK MLFLOW: one run, as the user of the images, on a read-only root.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from evernas_components.images import IMAGES

USER = "65532:65532"
PORT = 5000
HOW = (
    "The loop runs in containers where Docker and the images are: install Docker (apt-get install docker.io), start "
    "it, and make images (without a registry: make image-base images BASE=localhost/base:1; docs/images.md)."
)
CONFINED = [
    *("--user", USER, "--read-only", "--tmpfs", "/tmp:mode=1777"),
    *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
]
CLAIM = """
import sys
from pathlib import Path
from evernas.state import Home
from evernas.state.ownership import claim
print(claim(Home(Path(sys.argv[1])), 0, print).environment()["EVERNAS_FENCE"])
"""
HAND_OVER = """
import os, sys
for folder, _, names in os.walk(sys.argv[1]):
    for path in (folder, *(os.path.join(folder, name) for name in names)):
        os.chown(path, 65532, 65532)
"""


def docker(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, f"docker {' '.join(arguments)}\n{done.stdout}{done.stderr}"
    return done


def require_images(*names: str) -> None:
    """Skip unless Docker answers and has these images."""
    if shutil.which("docker") is None or docker("info", check=False).returncode:
        pytest.skip(f"There is no Docker here. {HOW}")
    wanted = [IMAGES[name].reference for name in names]
    missing = [image for image in wanted if docker("image", "inspect", image, check=False).returncode]
    if missing:
        pytest.skip(f"There is no image {', '.join(missing)}. {HOW}")


def python_in(
    image: str, code: str, *arguments: str, options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run Python code in an image as a step is run, without any network."""
    command = ["run", "--rm", "--network", "none", *CONFINED, *options, IMAGES[image].reference]
    return docker(*command, "python3", "-c", code, *arguments, check=False)


@dataclass(frozen=True)
class Server:
    """An MLflow server on a network that leads nowhere else."""

    network: str
    container: str

    def ask(self, path: str) -> dict[str, object]:
        """What it answers to a GET of its API, asked from within."""
        code = (
            "import sys, urllib.request as u;"
            f"print(u.urlopen(u.Request('http://127.0.0.1:{PORT}/api/2.0/mlflow/' + sys.argv[1])).read().decode())"
        )
        answer: dict[str, object] = json.loads(docker("exec", self.container, "python3", "-c", code, path).stdout)
        return answer


@contextmanager
def mlflow_server() -> Iterator[Server]:
    """MLflow from its image; removed with its network at the end."""
    name = f"evernas-{uuid.uuid4().hex[:8]}"
    docker("network", "create", "--internal", name)
    try:
        docker(
            *("run", "--detach", "--name", name, "--network", name, "--network-alias", "mlflow", *CONFINED),
            *("--tmpfs", "/data:mode=1777", IMAGES["mlflow"].reference),
            *("mlflow", "server", "--host", "0.0.0.0", "--port", str(PORT), "--workers", "1"),
            *("--backend-store-uri", "sqlite:////data/mlflow.db", "--artifacts-destination", "/data/artifacts"),
            *("--allowed-hosts", f"mlflow:{PORT},127.0.0.1:{PORT}"),
        )
        server = Server(name, name)
        deadline = time.monotonic() + 300
        while docker("exec", name, "python3", "-c", _health(), check=False).returncode:
            assert time.monotonic() < deadline, docker("logs", name, check=False).stderr
            time.sleep(1)
        yield server
    finally:
        docker("rm", "--force", name, check=False)
        docker("network", "rm", name, check=False)


def _health() -> str:
    return f"import urllib.request as u; u.urlopen('http://127.0.0.1:{PORT}/health')"


def hand_over(home: Path) -> None:
    """Give a state folder to the images' user."""
    as_root = ["run", "--rm", "--network", "none", "--user", "0", "--volume", f"{home}:{home}"]
    docker(*as_root, IMAGES["core"].reference, "python3", "-c", HAND_OVER, str(home))


def run_loop(config: Path, home: Path, run: str, server: Server) -> subprocess.CompletedProcess[str]:
    """One run of the loop's pipeline."""
    command = [sys.executable, __file__, str(config), str(home), run, server.network, f"http://mlflow:{PORT}"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def main(config: str, home: str, run: str, network: str, mlflow: str) -> None:
    import os

    from docker.types import Mount
    from kfp import local

    from evernas.config import load_config
    from evernas_pipelines.definition import build_pipeline

    parsed = load_config(Path(config))
    fence = python_in("core", CLAIM, home, options=("--volume", f"{home}:{home}"))
    assert fence.returncode == 0, fence.stderr
    # What kfp.local makes for a step's outputs, the step's user writes to.
    os.umask(0)
    root = tempfile.mkdtemp()
    Path(root).chmod(0o777)
    runner = local.DockerRunner(
        user=USER,
        read_only=True,
        tmpfs={"/tmp": "mode=1777"},
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        network=network,
        mounts=[Mount(home, home, type="bind")],
        environment={"EVERNAS_HOME": home, "EVERNAS_FENCE": fence.stdout.strip(), "MLFLOW_TRACKING_URI": mlflow},
    )
    local.init(runner, pipeline_root=root, raise_on_error=True)
    document = json.dumps(parsed.model_dump(mode="json"), sort_keys=True)
    build_pipeline(parsed)(home=home, run=run, config=document)
    shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
