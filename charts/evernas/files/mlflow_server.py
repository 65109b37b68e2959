"""Starts MLflow's server with users: writes its configuration, which holds the database's address, and becomes it."""

import os
import sys
from pathlib import Path

path = Path(os.environ["MLFLOW_AUTH_CONFIG_PATH"])
path.touch(mode=0o600)
# A percent sign would begin a reference of the format.
database = os.environ["MLFLOW_BACKEND_STORE_URI"].replace("%", "%%")
path.write_text(
    f"""[mlflow]
# Whoever was granted nothing may see nothing and make nothing.
default_permission = NO_PERMISSIONS
database_uri = {database}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
# By the server's worker, so that not each request pays for the slow comparison of a password.
auth_cache_ttl_seconds = 60
"""
)
os.execvp("mlflow", ["mlflow", "server", "--app-name", "basic-auth", *sys.argv[1:]])  # noqa: S606
