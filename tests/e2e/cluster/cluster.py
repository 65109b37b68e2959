"""kubectl and helm, as the trial uses them."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")
PAUSE_S = 1.0


def call(*command: str, given: str | None = None) -> str:
    """What a command printed; AssertionError with its own words if it failed."""
    done = subprocess.run(command, input=given, text=True, capture_output=True, check=False)
    assert done.returncode == 0, (
        f"{' '.join(command)[:300]} ended with {done.returncode}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    )
    return done.stdout


def kubectl(*arguments: str, given: str | None = None) -> str:
    return call("kubectl", *arguments, given=given)


def helm(*arguments: str, given: str | None = None) -> str:
    return call("helm", *arguments, given=given)


def objects(kind: str, namespace: str, selector: str) -> list[dict[str, Any]]:
    """The objects of a kind that a label selector finds."""
    found: list[dict[str, Any]] = json.loads(kubectl("-n", namespace, "get", kind, "-l", selector, "-o", "json"))[
        "items"
    ]
    return found


def apply(manifest: dict[str, Any]) -> None:
    # By standard input: what is secret in a manifest is on no command line.
    kubectl("apply", "--server-side", "-f", "-", given=json.dumps(manifest))


def refusal(manifest: dict[str, Any], *options: str) -> str:
    """What the API server says against making this; nothing is made."""
    command = ("kubectl", "create", "--dry-run=server", "-f", "-", *options)
    done = subprocess.run(command, input=json.dumps(manifest), text=True, capture_output=True, check=False)
    return done.stderr.strip() if done.returncode else ""


def may(namespace: str, what: str, *who: str) -> bool:
    """Whether somebody has a right, as "create pods"."""
    command = ("kubectl", "-n", namespace, "auth", "can-i", *what.split(), *who)
    said = subprocess.run(command, text=True, capture_output=True, check=False)
    assert said.stdout.strip() in ("yes", "no"), said.stderr
    return said.stdout.strip() == "yes"


def python_in(pod: str, namespace: str, code: str, *arguments: str) -> str:
    """What Python code prints in a pod's first container."""
    return kubectl("-n", namespace, "exec", pod, "--", "python3", "-c", code, *arguments)


@contextmanager
def forwarded(namespace: str, target: str, port: int) -> Iterator[int]:
    """A port of this machine that leads to a port of a Service or pod."""
    command = ("kubectl", "-n", namespace, "port-forward", target, f":{port}")
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            found = re.search(r"127\.0\.0\.1:(\d+) ->", said)
            assert found, f"no way to {target}: {said}{process.stdout.read() if process.poll() is not None else ''}"
            yield int(found[1])
        finally:
            process.terminate()


def wait_until(what: Callable[[], T], saying: str, patience_s: float) -> T:
    """What is waited for, once it is true; AssertionError after a time."""
    deadline = time.monotonic() + patience_s
    while not (found := what()):
        assert time.monotonic() < deadline, f"{saying} has not come within {patience_s:g} s"
        time.sleep(PAUSE_S)
    return found
