"""What a pipeline's exit handler does once a run has ended: nothing after a success, and after a failure it is told.

MLflow's run gets its status and the tag `evernas.failure`, a webhook is posted, and the project's lease is free for the
next run. Each is done though another of them cannot be.
"""

from __future__ import annotations

import json
import os
import time
import urllib.request
from collections.abc import Callable
from urllib.error import URLError

from evernas.errors import EvernasError, UsageError
from evernas.loop.failing import note_failure
from evernas.registry.tracking import mark_failed
from evernas.state import Home
from evernas.state.opening import opened
from evernas.state.runs import failure_of
from evernas.triggers.events import RUN_ENDED
from evernas.triggers.lease import leases_of
from evernas.triggers.secrets import key_of
from evernas.triggers.signatures import signed_headers

URL_VARIABLE = "EVERNAS_FAILURE_WEBHOOK"
SECRET_VARIABLE = "EVERNAS_FAILURE_WEBHOOK_SECRET"  # noqa: S105 - the name of a variable
TIMEOUT_S = 15.0
SUCCEEDED = "SUCCEEDED"
LOST = "RUNNING"
"""What KFP calls the state of a run that has ended while a step of it never said how it did: its pod went."""


def ended(*, home: str, run: str, project: str, state: str, message: str) -> str:
    """What the exit handler starts, with the state's address."""
    with opened(home) as place:
        return tell_end(place, project, run, state, message)


def tell_end(home: Home, project: str, run: str, state: str, message: str) -> str:
    """Tell of a run's end; the sentence that says what was done. EvernasError names what could not be told.

    `state` and `message` are KFP's: SUCCEEDED, FAILED, CANCELLED or LOST, which counts as FAILED, and the failed task's
    words.
    """
    if state == SUCCEEDED:
        return f"Run {run} succeeded."
    sentence = message.strip() or _without_words(state)
    state = "FAILED" if state == LOST else state
    problems, failure = [], None
    try:
        failure = failure_of(home, run)
        sentence = sentence if failure is None else str(failure["sentence"])
    except Exception as error:  # noqa: BLE001 - it is told in KFP's words then, and said below
        problems.append(f"the step's own words could not be read ({type(error).__name__}: {error})")
    tasks: list[tuple[str, Callable[[], object]]] = [
        ("the lease could not be freed", lambda: leases_of(home, project).end(run)),
        ("MLflow could not be told", lambda: _tell_mlflow(home, project, run, state, sentence)),
        ("it could not be noted for the outbox", lambda: note_failure(home, project, run, failure, state=state)),
        ("the webhook could not be posted", lambda: _post(project, run, state, sentence)),
    ]
    for what, task in tasks:
        try:
            task()
        except Exception as error:  # noqa: BLE001 - whatever it is, the others are still told, and it is said below
            problems.append(f"{what} ({type(error).__name__}: {error})")
    if problems:
        raise EvernasError(f"Run {run} ended as {state}, and {'; '.join(problems)}.")
    return f"Run {run} ended as {state}: {sentence}"


def _without_words(state: str) -> str:
    if state == LOST:
        return "A step's pod was lost before the step could say how it ended. The next run goes on from what was kept."
    return f"The run ended as {state}, and no step said why."


def _tell_mlflow(home: Home, project: str, run: str, state: str, sentence: str) -> None:
    if os.environ.get("MLFLOW_TRACKING_URI"):
        mark_failed(home, project, run, "FAILED" if state == "FAILED" else "KILLED", sentence)


def _post(project: str, run: str, state: str, sentence: str) -> None:
    """Post to the webhook, if there is one, signed as Standard Webhooks where there is a secret.

    The address may be that of a receiver's source of kind `signed`, whose form the body has too.
    """
    url, secret = os.environ.get(URL_VARIABLE), os.environ.get(SECRET_VARIABLE)
    if not url:
        return
    if not url.startswith(("https://", "http://")):
        raise UsageError(f"{URL_VARIABLE} is no web address: write https://….")
    told = {"project": project, "run": run, "state": state, "message": sentence}
    event = {"bucket": project, "key": run, "label": RUN_ENDED}
    body = json.dumps({**told, **event}).encode()
    headers = {"content-type": "application/json"}
    if secret:
        key = key_of(secret, SECRET_VARIABLE)
        headers |= signed_headers(f"{project}-{run}-ended", int(time.time()), body, key)
    request = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310 - its scheme is checked above
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):  # noqa: S310
            return
    except URLError as error:
        # Its text may repeat the address, which may hold a secret.
        raise EvernasError(f"it answers {getattr(error, 'code', 'nothing')}") from None
