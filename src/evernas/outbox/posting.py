"""One signed post to a sink, to an address that was looked at first; no redirect is followed, no answer is believed.

Names of machines are asked for once, and the connection goes to the very address that was checked: a name that answers
otherwise the second time leads nowhere else.
"""

from __future__ import annotations

import base64
import http.client
import ipaddress
import socket
import ssl
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from evernas.config_outbox import SinkConfig, check_url
from evernas.errors import EvernasError, UsageError
from evernas.triggers.secrets import key_of, resolve
from evernas.triggers.signatures import signed_headers

CONTENT_TYPE = "application/cloudevents+json"
ANSWER_BYTES = 1024
# IPv4 addresses that are reached through these are the last four bytes.
NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Ranges that the standard library takes for routed: a network's own NAT64, former site-local, and IPv4 within IPv6 as
# it was once written (compatible) and as a network's own translators write it.
INSIDE = [ipaddress.ip_network(text) for text in ("64:ff9b:1::/48", "fec0::/10", "::/96", "::ffff:0:0:0/96")]


class NotDeliveredError(EvernasError):
    """The sink did not take the event; its text names neither address nor secret."""


@dataclass(frozen=True)
class Target:
    """A sink's address and keys, read from where the config says they are."""

    url: str
    private: bool
    timeout_s: float
    secret: bytes | None
    key: Ed25519PrivateKey | None

    @classmethod
    def of(cls, sink: SinkConfig) -> Target:
        """UsageError, without what is secret, for what is not there or cannot be used."""
        url = sink.url if sink.url_from is None else resolve(sink.url_from)
        assert url is not None
        try:
            check_url(url, sink.private)
        except ValueError as error:
            raise UsageError(f"The sink {sink.name}: {error}.") from None
        named = sink.secret and (sink.secret.env or str(sink.secret.file))
        secret = None if sink.secret is None else key_of(resolve(sink.secret), str(named))
        return cls(url, sink.private, sink.timeout_s, secret, None if sink.key is None else _key(sink))

    def post(self, message: str, body: bytes) -> None:
        """Post a body, signed under the id `message`; NotDeliveredError unless it is answered with 2xx."""
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        moment = int(time.time())
        headers = {"content-type": CONTENT_TYPE, **signed_headers(message, moment, body, self.secret, self.key)}
        path = parts.path or "/"
        try:
            port = parts.port or (443 if parts.scheme == "https" else 80)
            connection = self._connect(parts.hostname, port, parts.scheme == "https")
            try:
                connection.request("POST", f"{path}?{parts.query}" if parts.query else path, body, headers)
                answer = connection.getresponse()
                answer.read(ANSWER_BYTES)
            finally:
                connection.close()
        except (OSError, http.client.HTTPException, ValueError) as error:
            # ValueError is what a host, a port or a header comes to that the network's own modules do not take.
            raise NotDeliveredError(f"it does not answer ({type(error).__name__})") from None
        if not 200 <= answer.status < 300:
            more = ", and redirects are not followed" if 300 <= answer.status < 400 else ""
            raise NotDeliveredError(f"it answers {answer.status}{more}")

    def _connect(self, host: str, port: int, tls: bool) -> http.client.HTTPConnection:
        address = self._address(host, port)
        connection = http.client.HTTPConnection(host, port, timeout=self.timeout_s)
        raw = socket.create_connection((address, port), self.timeout_s)
        try:
            connection.sock = ssl.create_default_context().wrap_socket(raw, server_hostname=host) if tls else raw
        except BaseException:
            raw.close()
            raise
        return connection

    def _address(self, host: str, port: int) -> str:
        """The address that is connected to; NotDeliveredError if one of the name's leads into a private network."""
        found = [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        if not self.private and not all(is_public(address) for address in found):
            raise NotDeliveredError("its name leads to an address that is not public: set private, if it is to")
        return found[0]


def is_public(text: str) -> bool:
    """Whether the internet routes an address: neither this machine, nor a private network, nor a cloud's metadata."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in NAT64:
            inner = ipaddress.IPv4Address(address.packed[-4:])
        if inner is not None:
            return is_public(str(inner))
        if any(address in network for network in INSIDE):
            return False
    return address.is_global and not address.is_multicast


def public_key(sink: SinkConfig) -> str | None:
    """The public key by which a sink can check its posts, as Standard Webhooks writes it; None if HMAC alone signs."""
    if sink.key is None:
        return None
    return f"whpk_{base64.b64encode(_key(sink).public_key().public_bytes_raw()).decode()}"


def _key(sink: SinkConfig) -> Ed25519PrivateKey:
    assert sink.key is not None
    try:
        key = load_pem_private_key(resolve(sink.key).encode(), password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(
            f"The key of the sink {sink.name} is no Ed25519 private key in PEM without a password: make one with "
            "`openssl genpkey -algorithm ed25519`."
        )
    return key
