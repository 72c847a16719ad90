"""Read row groups ahead of their use, in one daemon thread.

The thread puts what it read on a *shelf* of bounded size. While the shelf is full it prepares the
next file, a piece at a time (`GroupStream.ahead`). What it raises is raised where the row group
would have been taken. It is told to stop when nobody holds the `Prefetch` any more, and before the
interpreter ends.
"""

import threading
import weakref
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field

from cuvee.handoff.stream import GroupStream, LoadedGroup

# A stop waits for the thread to end its piece of work; one that hangs on a network is left behind.
STOP_WAIT_S = 5.0
BEHIND = "there is no row group behind the last"


@dataclass
class _Shelf:
    """What was read and not yet taken; `changed` guards all of it.

    ended: nothing more will come. error: why, where that is not the end of the stage.
    """

    depth: int
    groups: deque[LoadedGroup] = field(default_factory=deque)
    changed: threading.Condition = field(default_factory=threading.Condition)
    stopped: bool = False
    ended: bool = False
    error: BaseException | None = None


class Direct:
    """A stage's row groups from `position` on, each read when it is asked for, by who asks."""

    def __init__(self, stream: GroupStream, position: int) -> None:
        self._work = stream.groups(position)
        self.close = self._work.close

    def take(self) -> LoadedGroup:
        """Read the next row group."""
        for group in self._work:
            if group is not None:
                return group
        raise EOFError(BEHIND)


class Prefetch:
    """A stage's row groups from `position` on, up to `depth` of them read before they are taken."""

    def __init__(self, stream: GroupStream, position: int, depth: int) -> None:
        self._shelf = _Shelf(depth)
        # The thread must not hold the Prefetch, or nobody would ever be the last to.
        thread = threading.Thread(
            target=_fill, args=(self._shelf, stream, position), name="cuvee-prefetch", daemon=True
        )
        self.close = weakref.finalize(self, _stop, self._shelf, thread)
        thread.start()

    def take(self) -> LoadedGroup:
        """Wait for the next row group and return it; raise what kept the thread from it."""
        shelf = self._shelf
        with shelf.changed:
            shelf.changed.wait_for(lambda: shelf.groups or shelf.ended or shelf.stopped)
            if shelf.groups:
                group = shelf.groups.popleft()
                shelf.changed.notify_all()
                return group
            raise shelf.error or EOFError(BEHIND)


def _fill(shelf: _Shelf, stream: GroupStream, position: int) -> None:
    """Be the thread: read until the stage ends, something is wrong, or it is told to stop."""
    work = stream.groups(position)
    try:
        while _has_room(shelf, stream):
            group = next(work)
            if group is not None:
                with shelf.changed:
                    shelf.groups.append(group)
                    shelf.changed.notify_all()
                del group  # or it would be held until the next is read
    except StopIteration:
        _end(shelf, work, None)
    except BaseException as error:  # whatever it is, the loader's caller must hear of it
        _end(shelf, work, error)
    else:
        _end(shelf, work, None)


def _has_room(shelf: _Shelf, stream: GroupStream) -> bool:
    """Wait for room on the shelf, preparing the next file meanwhile; False when told to stop."""
    while len(shelf.groups) >= shelf.depth and not shelf.stopped and stream.ahead():
        pass
    with shelf.changed:
        shelf.changed.wait_for(lambda: shelf.stopped or len(shelf.groups) < shelf.depth)
        return not shelf.stopped


def _end(
    shelf: _Shelf, work: Generator[LoadedGroup | None, None, None], error: BaseException | None
) -> None:
    """Close what is open, and tell who waits."""
    work.close()
    with shelf.changed:
        shelf.error, shelf.ended = error, True
        shelf.changed.notify_all()


def _stop(shelf: _Shelf, thread: threading.Thread) -> None:
    """Tell the thread to stop, wait for it, and forget what it read."""
    with shelf.changed:
        shelf.stopped = True
        shelf.groups.clear()
        shelf.changed.notify_all()
    if thread is not threading.current_thread():
        thread.join(STOP_WAIT_S)
