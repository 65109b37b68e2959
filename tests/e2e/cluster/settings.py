"""What the place says of itself, by the environment, and the names of all that a trial makes there."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

REQUIRED = {
    "KUBECONFIG": "the file by which kubectl and helm reach the cluster",
    "KFP_HOST": "the address of KFP's API, as this machine reaches it",
    "S3_ENDPOINT": "the S3 server of KFP's launcher, under an address that this machine and pods reach",
    "S3_ACCESS_KEY": "its access key",
    "S3_SECRET_KEY": "its secret key",
    "POSTGRES_URL": "a PostgreSQL server under an address that this machine and pods reach, with the right to make "
    "databases",
    "IMAGE_REPOSITORY": "what stands before /core, /train, /runner and /mlflow in the images' names",
    "IMAGE_TAG": "their tag",
}
REGION = "us-east-1"
# The label of every namespace and Secret that a trial makes; its value is the trial's number.
LABEL = "evernas.dev/e2e"


@dataclass(frozen=True)
class Settings:
    """Where the trial takes place."""

    kfp_host: str
    s3_endpoint: str
    s3_access_key: str
    s3_secret_key: str
    postgres_url: str
    image_repository: str
    image_tag: str
    # Those of whoever decides, where the place has such; they may do all in the trial's bucket.
    promoter_access_key: str = ""
    promoter_secret_key: str = ""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Settings:
        """The settings of an environment; ValueError names what it lacks."""
        lacking = [f"{name}, {what}" for name, what in REQUIRED.items() if not environment.get(name)]
        if lacking:
            raise ValueError("The environment lacks " + "; ".join(lacking) + ".")
        given = [environment.get(f"S3_PROMOTER_{name}_KEY", "") for name in ("ACCESS", "SECRET")]
        if any(given) and not all(given):
            raise ValueError("S3_PROMOTER_ACCESS_KEY and S3_PROMOTER_SECRET_KEY belong together: give both or neither.")
        return cls(*(environment[name] for name in REQUIRED if name != "KUBECONFIG"), *given)

    @property
    def separate(self) -> bool:
        """Whether runs and decisions have keys of their own."""
        return bool(self.promoter_access_key)

    @property
    def s3_keys(self) -> dict[str, str]:
        """The object store's keys of runs, as environment."""
        return {"AWS_ACCESS_KEY_ID": self.s3_access_key, "AWS_SECRET_ACCESS_KEY": self.s3_secret_key}

    @property
    def promoter_keys(self) -> dict[str, str]:
        """Those of decisions; the same where the place has no other."""
        if not self.separate:
            return self.s3_keys
        return {"AWS_ACCESS_KEY_ID": self.promoter_access_key, "AWS_SECRET_ACCESS_KEY": self.promoter_secret_key}

    def image(self, name: str) -> dict[str, str]:
        return {"repository": f"{self.image_repository}/{name}", "tag": self.image_tag}


@dataclass(frozen=True)
class Names:
    """The names of all that one trial makes, from its number."""

    number: str

    @classmethod
    def fresh(cls) -> Names:
        return cls(secrets.token_hex(3))

    @property
    def project(self) -> str:
        return f"e2e-{self.number}"

    @property
    def namespace(self) -> str:
        return f"evernas-e2e-{self.number}"

    @property
    def bucket(self) -> str:
        return f"evernas-e2e-{self.number}"

    @property
    def account(self) -> str:
        """The service account of runs."""
        return f"{self.project}-training"

    @property
    def receiver(self) -> str:
        """The service account of the receiver."""
        return f"{self.project}-receiver"

    @property
    def promoters(self) -> str:
        """The group of Kubernetes that may start promotions."""
        return f"{self.project}-promoters"

    @property
    def pipeline(self) -> str:
        return f"{self.project}-evernas"

    @property
    def model(self) -> str:
        return f"evernas-{self.project}"

    def database(self, what: str) -> str:
        return f"evernas_e2e_{self.number}_{what}"

    def secret(self, what: str) -> str:
        """A Secret in the namespace of runs."""
        return f"{self.project}-{what}"


def destination(url: str) -> dict[str, Any]:
    """Where a server outside of the cluster is, as a network policy names it: its addresses and its port."""
    parts = urlsplit(url)
    assert parts.hostname is not None, f"{url} names a host"
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 5432)
    found = sorted({info[4][0] for info in socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)})
    return {
        "to": [{"ipBlock": {"cidr": f"{address}/{128 if ':' in str(address) else 32}"}} for address in found],
        "port": port,
    }


def settings() -> Settings:
    return Settings.of(os.environ)
