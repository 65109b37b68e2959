"""Taking a place that nobody may have taken before, where an answer may be lost; what is put there is the caller's."""

from __future__ import annotations

import time
from collections.abc import Callable

from evernas.errors import UnknownOutcome
from evernas.storage.files import AlreadyExists

TRIES = 6
PAUSE_S = 0.2


def created(create: Callable[[], None]) -> bool:
    """Whether `create` took its place; False where it is taken, which an earlier try of our own may have done.

    `create` raises AlreadyExists for a taken place, and UnknownOutcome where no answer came: then it is called again
    after a pause, and the last UnknownOutcome is raised. Who has the place only what lies there tells: put a token in.
    """
    for attempt in range(TRIES):
        try:
            create()
            return True
        except AlreadyExists:
            return False
        except UnknownOutcome:
            if attempt == TRIES - 1:
                raise
            time.sleep(PAUSE_S * 2**attempt)
    raise AssertionError("the last try returns or raises")
