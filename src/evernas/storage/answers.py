"""What an S3 server answers with, and how botocore says that it did not."""

from __future__ import annotations

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.parsers import ResponseParserError

FORBIDDEN, NOT_FOUND, CONFLICT, TAKEN = 403, 404, 409, 412
# A server says by these that it has no such request, or knows no such condition.
LACKING = (405, 501)
FAILURES = (BotoCoreError, ClientError, ResponseParserError)
# What a body breaks off with.
BROKEN_BODIES = (IncompleteReadError, ResponseStreamingError, ReadTimeoutError)


def status_of(error: Exception) -> int | None:
    """The HTTP status that the server answered with; None if no answer came."""
    answer = getattr(error, "response", None) or {}
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return None if status is None else int(status)
