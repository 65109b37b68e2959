"""Amazon SNS: its signature (version 2), the certificate it is checked with, and the confirmation of a subscription.

Certificate and confirmation are fetched from the SNS host of the topic's region alone, by https, without redirects;
the topic must be on the source's list.
"""

from __future__ import annotations

import base64
import binascii
import re
import urllib.request
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from evernas.config_triggers import TOPIC
from evernas.triggers.events import RefusedError, mapping, text

Fetch = Callable[[str], bytes]
CERTIFICATE_PATH = re.compile(r"^/SimpleNotificationService-[0-9A-Za-z]{1,128}\.pem$")
NOTIFICATION, CONFIRMATION = "Notification", "SubscriptionConfirmation"
FETCH_S = 5.0
LARGEST = 65_536
MOST_CERTIFICATES = 8
SIGNED = {
    NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    CONFIRMATION: ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}


class Sns:
    """Verifies the messages of a list of topics. Certificates are kept by address, a few of them."""

    def __init__(self, topics: list[str], fetch: Fetch | None = None) -> None:
        self._topics = frozenset(topics)
        self._fetch = fetch or fetch_without_redirects
        self._certificates: dict[str, Any] = {}

    def verify(self, document: Any, now: float, max_age_s: float) -> dict[str, Any]:
        """The message, if one of our topics signed it; RefusedError 401 or 403 if not. May fetch a certificate."""
        message = mapping(document, "The body")
        topic = text(message, "TopicArn")
        if topic not in self._topics:
            raise RefusedError(403, "TopicArn is not on the list of this source.")
        kind = text(message, "Type")
        if kind not in SIGNED:
            raise RefusedError(400, f"Type is not one of {', '.join(SIGNED)}.")
        if message.get("SignatureVersion") != "2":
            raise RefusedError(401, "SignatureVersion is not 2: set the topic's attribute SignatureVersion to 2.")
        host = host_of(topic)
        if kind == CONFIRMATION:
            _on(host, text(message, "SubscribeURL"), "SubscribeURL")
        address = _on(host, text(message, "SigningCertURL"), "SigningCertURL")
        if not CERTIFICATE_PATH.fullmatch(urlsplit(address).path) or urlsplit(address).query:
            raise RefusedError(403, "SigningCertURL is not the address of an SNS certificate.")
        self._check(self._certificate(address), message, kind)
        age = now - _moment(text(message, "Timestamp"))
        if abs(age) > max_age_s:
            raise RefusedError(401, f"The message is {age:.0f} s old; at most {max_age_s:g} s are accepted.")
        return message

    def confirm(self, message: dict[str, Any]) -> None:
        """Confirm a verified message's subscription, at an address that we make; OSError if SNS does not answer."""
        topic = text(message, "TopicArn")
        query = urlencode({"Action": "ConfirmSubscription", "TopicArn": topic, "Token": text(message, "Token")})
        self._fetch(f"https://{host_of(topic)}/?{query}")

    def _certificate(self, address: str) -> Any:
        from cryptography import x509

        if address not in self._certificates:
            try:
                certificate = x509.load_pem_x509_certificate(self._fetch(address))
            except (OSError, ValueError):
                raise RefusedError(503, "The certificate of SNS cannot be fetched now: send again.") from None
            if len(self._certificates) >= MOST_CERTIFICATES:
                self._certificates.clear()
            self._certificates[address] = certificate
        return self._certificates[address]

    def _check(self, certificate: Any, message: dict[str, Any], kind: str) -> None:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        content = "".join(
            f"{name}\n{text(message, name)}\n" for name in SIGNED[kind] if name != "Subject" or "Subject" in message
        )
        try:
            signature = base64.b64decode(text(message, "Signature"), validate=True)
            certificate.public_key().verify(
                signature, content.encode("utf-8", "surrogatepass"), padding.PKCS1v15(), hashes.SHA256()
            )
        except (InvalidSignature, binascii.Error, ValueError):
            raise RefusedError(401, "The signature does not fit the message.") from None


def host_of(topic: str) -> str:
    """The SNS host of a topic's region."""
    found = TOPIC.fullmatch(topic)
    assert found is not None, "topics are checked when the config is read"
    return f"sns.{found[2]}.amazonaws.com" + (".cn" if found[1] == "aws-cn" else "")


def fetch_without_redirects(address: str) -> bytes:
    """The bytes at an https address; OSError for anything but an answer of 200 from that very address."""
    assert address.startswith("https://")

    class Refuse(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *arguments: object) -> None:
            raise OSError("SNS redirects, which it never does")

    # No proxies from the environment: what is verified must come from the host itself.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), Refuse)
    with opener.open(address, timeout=FETCH_S) as answer:
        data: bytes = answer.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise OSError(f"the answer is larger than {LARGEST} bytes")
    return data


def _on(host: str, address: str, name: str) -> str:
    """An address, if it is https on this very host; RefusedError 403 otherwise."""
    try:
        parts = urlsplit(address)
        fits = parts.scheme == "https" and parts.netloc == host
    except ValueError:
        fits = False
    if not fits or "\\" in address or not address.isprintable():
        raise RefusedError(403, f"{name} is not https on {host}.")
    return address


def _moment(value: str) -> float:
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError("no time zone")
        return moment.timestamp()
    except (ValueError, OverflowError):
        raise RefusedError(400, "Timestamp is no moment in ISO 8601 with a time zone.") from None
