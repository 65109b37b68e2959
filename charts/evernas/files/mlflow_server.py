"""Starts MLflow's server, with users and after its database's migration where that is asked for, and becomes it.

The database's address is on no command line, which everybody on the node can read.
"""

import os
import sys
from pathlib import Path

database = os.environ["MLFLOW_BACKEND_STORE_URI"]
command = ["mlflow", "server"]
if path := os.environ.get("MLFLOW_AUTH_CONFIG_PATH"):
    Path(path).touch(mode=0o600)
    # A percent sign would begin a reference of the format.
    Path(path).write_text(
        f"""[mlflow]
# Whoever was granted nothing may see nothing and make nothing.
default_permission = NO_PERMISSIONS
database_uri = {database.replace("%", "%%")}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
# By the server's worker, so that not each request pays for the slow comparison of a password.
auth_cache_ttl_seconds = 60
"""
    )
    command += ["--app-name", "basic-auth"]
if os.environ.get("MLFLOW_UPGRADE_DATABASE") == "true":
    from mlflow.db import commands

    # Changes nothing where the tables are of this version already.
    commands.main(["upgrade", database], standalone_mode=False)
os.execvp("mlflow", [*command, *sys.argv[1:]])  # noqa: S606
