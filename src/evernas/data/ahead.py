"""Opening the objects of a far source some at a time, before they are read; how one is opened is the source's."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO

from evernas.data.source import Source, SourceObject

# Requests at the same time, and bytes of objects that were opened and not read yet: a small object costs its server's
# answering time, a large one its bytes.
AT_ONCE = 8
AHEAD_BYTES = 64 * 2**20

Opened = Callable[[], BinaryIO]


def opened(
    source: Source, items: Sequence[SourceObject], is_read: Callable[[SourceObject], bool]
) -> Generator[tuple[SourceObject, Opened], None, None]:
    """Each item with how to get its open file, in order; those that will be read are opened ahead.

    What opening raises is raised where the file is asked for. A near source is opened only then.
    """
    if source.is_near:
        for item in items:
            yield item, lambda item=item: source.open(item)  # type: ignore[misc]
        return
    waiting: deque[tuple[SourceObject, Future[BinaryIO] | None]] = deque()
    left = iter(items)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            ahead, count, more = 0, 0, True
            while True:
                while more and (not waiting or (count < AT_ONCE and ahead < AHEAD_BYTES)):
                    following = next(left, None)
                    if following is None:
                        more = False
                        break
                    begun = pool.submit(source.open, following) if is_read(following) else None
                    waiting.append((following, begun))
                    if begun is not None:
                        ahead, count = ahead + _size(following), count + 1
                if not waiting:
                    return
                item, future = waiting.popleft()
                if future is None:
                    yield item, lambda item=item: source.open(item)  # type: ignore[misc]
                    continue
                yield item, future.result
                ahead, count = ahead - _size(item), count - 1
        finally:
            for _, future in waiting:
                if future is not None and not future.cancel():
                    _close(future)


def _size(item: SourceObject) -> int:
    """Bytes of an object, as its stamp begins with them."""
    return int(item.stamp[0])


def _close(future: Future[BinaryIO]) -> None:
    """Close a file that nobody will read; why it could not be opened matters to nobody either."""
    if future.exception() is None:
        future.result().close()
