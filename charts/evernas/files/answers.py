"""What `helm test` asks from a pod of the release; ends with 1 and a sentence for each answer that is wrong."""

import contextlib
import os
import socket
import ssl
import sys
import time
import urllib.error
import urllib.request

PATIENCE_S = float(os.environ.get("PATIENCE_S", "90"))
problems = []
deadline = time.monotonic() + PATIENCE_S
# The certificate is for the name under which the world calls, not for the Service's.
unchecked = ssl._create_unverified_context()  # noqa: S323


def status(url, body=None):
    """The answer's code; 0 if there is none."""
    try:
        with urllib.request.urlopen(url, body, timeout=10, context=unchecked) as answer:  # noqa: S310
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def expect(what, url, wanted, body=None):
    """Ask until the answer is as it should be, as long as there is patience."""
    while (found := status(url, body)) not in wanted and time.monotonic() < deadline:
        time.sleep(2)
    print(what, found)
    if found not in wanted:
        problems.append(f"{what}: {url} answers {found or 'nothing'}, not {wanted[0]}.")


if receiver := os.environ.get("RECEIVER"):
    expect("receiver is ready", f"{receiver}/readyz", [200])
    expect("receiver refuses an unknown source", f"{receiver}/v1/events/none-of-ours", [404], b"{}")
if mlflow := os.environ.get("MLFLOW"):
    # Not /health, which answers under every name.
    expect(
        "MLflow answers under its Service's name",
        f"{mlflow}/api/2.0/mlflow/experiments/get?experiment_id=0",
        [200, 401],
    )
if closed := os.environ.get("CLOSED"):
    host, _, port = closed.partition(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=5):
        problems.append(f"{closed} is reached, though no network policy names it: does the cluster enforce them?")
    print("what is not named is not reached", closed)
sys.exit("\n".join(problems) if problems else 0)
