"""Ctrl-C and SIGTERM as a question the loop asks, instead of a blow anywhere."""

import signal
import threading


class Interrupt:
    """While active, the first SIGINT or SIGTERM only sets `requested`.

    An exception thrown in the middle of an update would lose the state, whose buffers
    have been donated. A second signal acts at once. Outside the main thread, where
    Python allows no handlers, nothing changes.
    """

    def __init__(self):
        self.requested = False
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "Interrupt":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._request)
        return self

    def __exit__(self, *exception: object) -> None:
        self._restore()

    def _request(self, number: int, frame: object) -> None:
        del number, frame
        self.requested = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._previous = {}
