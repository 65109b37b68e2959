"""Makes MLflow's users and what each may do; again changes nothing but their passwords. Ends with 1 and a sentence.

Training writes its experiment, and no registered model. Promotion writes the same experiment, one of its own where the
artifacts of versions lie, and the project's registered model.
"""

import base64
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

UNKNOWN = 401
PATIENCE_S = float(os.environ.get("PATIENCE_S", "240"))
MLFLOW, PROJECT = os.environ["MLFLOW"], os.environ["PROJECT"]
EXPERIMENT, PROMOTIONS, MODEL = f"evernas-{PROJECT}", f"evernas-{PROJECT}-promotions", f"evernas-{PROJECT}"
HEADERS = {
    "authorization": "Basic "
    + base64.b64encode(
        f"{os.environ['MLFLOW_AUTH_ADMIN_USERNAME']}:{os.environ['MLFLOW_AUTH_ADMIN_PASSWORD']}".encode()
    ).decode(),
    "content-type": "application/json",
}


def ask(method, path, document=None, known=()):
    """The answer's document; None for an error that is known. Others end the program."""
    body = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(f"{MLFLOW}/api/{path}", body, HEADERS, method=method)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")
        if any(code in said for code in known):
            return None
        if error.code == UNKNOWN:
            sys.exit(
                "MLflow does not know its administrator by the Secret's name and password: change the password in "
                "MLflow first, then in the Secret; MLflow takes the Secret's only while it has no such user."
            )
        sys.exit(f"MLflow answers {error.code} to {method} {path}: {said[:300]}")


def wait():
    """Wait until the server answers."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            with urllib.request.urlopen(f"{MLFLOW}/health", timeout=5):  # noqa: S310
                return
        except OSError as error:
            if time.monotonic() > deadline:
                sys.exit(f"{MLFLOW} does not answer within {PATIENCE_S:g} s: {error}")
            time.sleep(1)


def experiment(name):
    """The id of an experiment, made if there is none."""
    path = f"2.0/mlflow/experiments/get-by-name?experiment_name={urllib.parse.quote(name)}"
    found = ask("GET", path, known=["RESOURCE_DOES_NOT_EXIST"])
    if found is not None:
        return found["experiment"]["experiment_id"]
    ask("POST", "2.0/mlflow/experiments/create", {"name": name}, known=["RESOURCE_ALREADY_EXISTS"])
    return ask("GET", path)["experiment"]["experiment_id"]


def user(prefix):
    """A user whose name and password the environment has, made if there is none; the name."""
    name, password = os.environ[f"{prefix}_USERNAME"], os.environ[f"{prefix}_PASSWORD"]
    given = {"username": name, "password": password}
    if ask("POST", "2.0/mlflow/users/create", given, known=["RESOURCE_ALREADY_EXISTS"]) is None:
        ask("PATCH", "2.0/mlflow/users/update-password", given)
    return name


def grant(name, kind, which, permission):
    """Give a right that the user has not; another one on the same goes."""
    asked = {"username": name, "resource_type": kind, "resource_id": which}
    path = "3.0/mlflow/users/permissions"
    if ask("GET", f"{path}/get?{urllib.parse.urlencode(asked)}")["permission"] == permission:
        return
    if ask("POST", f"{path}/grant", {**asked, "permission": permission}, known=["RESOURCE_ALREADY_EXISTS"]) is None:
        ask("POST", f"{path}/revoke", asked)
        ask("POST", f"{path}/grant", {**asked, "permission": permission})


def refuse_one_for_several():
    """End the program where two of the users have one name: the second password would take the place of the first."""
    names = {}
    for who in ("MLFLOW_AUTH_ADMIN", "TRAINING", "PROMOTER"):
        name = os.environ[f"{who}_USERNAME"]
        if name in names:
            sys.exit(f"{names[name]} and {who} have the same MLflow user, {name}: give each its own.")
        names[name] = who


refuse_one_for_several()
wait()
runs, promotions = experiment(EXPERIMENT), experiment(PROMOTIONS)
ask(
    "POST",
    "2.0/mlflow/registered-models/create",
    {"name": MODEL, "description": "Champions of evernas; the journal says which is in production."},
    known=["RESOURCE_ALREADY_EXISTS"],
)
training, promoter = user("TRAINING"), user("PROMOTER")
grant(training, "experiment", runs, "EDIT")
# Not to be made either: what MLflow is asked to make is nobody's yet. Champions lie for training in its own bucket.
grant(training, "registered_model", "*", "DENY")
grant(promoter, "experiment", runs, "EDIT")
grant(promoter, "experiment", promotions, "EDIT")
grant(promoter, "registered_model", MODEL, "EDIT")
print(f"{training} writes {EXPERIMENT}; {promoter} too, and {PROMOTIONS} and the model {MODEL}.")
