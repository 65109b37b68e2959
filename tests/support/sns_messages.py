"""Messages as Amazon SNS signs them, under a key and a certificate of our own."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from evernas.triggers.sns import SIGNED

TOPIC = "arn:aws:sns:eu-central-1:123456789012:raw"
HOST = "https://sns.eu-central-1.amazonaws.com"
CERTIFICATE = f"{HOST}/SimpleNotificationService-0123abcd.pem"


class Amazon:
    """A key with its certificate, and a record of what was fetched."""

    def __init__(self) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import rsa

        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sns.amazonaws.com")])
        now = datetime.now(UTC)
        made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(self.key.public_key())
        made = made.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
        self.certificate = made.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        self.fetched: list[str] = []

    def fetch(self, address: str) -> bytes:
        self.fetched.append(address)
        return self.certificate

    def message(self, kind: str = "Notification", **changes: Any) -> dict[str, Any]:
        """A message that is signed after the changes are made."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        item = {"bucket": {"name": "raw"}, "object": {"key": "watch/a", "sequencer": "1"}}
        record = {"eventName": "ObjectCreated:Put", "s3": item}
        message = {
            "Type": kind,
            "MessageId": "m1",
            "TopicArn": TOPIC,
            "Message": json.dumps({"Records": [record]}),
            "Timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "SignatureVersion": "2",
            "SigningCertURL": CERTIFICATE,
        }
        if kind == "SubscriptionConfirmation":
            message |= {"Token": "t0ken&Action=Evil", "SubscribeURL": f"{HOST}/?Action=ConfirmSubscription&Token=t"}
        message |= changes
        content = "".join(f"{n}\n{message[n]}\n" for n in SIGNED.get(kind, ()) if n in message)
        signature = self.key.sign(content.encode(), padding.PKCS1v15(), hashes.SHA256())
        return {"Signature": base64.b64encode(signature).decode(), **message}
