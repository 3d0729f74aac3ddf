"""The bell that wakes a sleeping thread, alone or beside its socket, so that the thread need not poll.

Other threads ring it, and so do signals, whose handlers may take no lock: they run on the same thread that sleeps.

The waiting thread clears the bell before it looks at what has changed; the ringing thread changes something before it
rings. So a bell that has been rung and not cleared need not be rung again: the waiting thread is going to look.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal


class Bell:
    """Wakes the one thread that waits for it, now or when it waits next; it lasts as long as the process."""

    def __init__(self) -> None:
        self._out, self._in = os.pipe()
        os.set_blocking(self._out, False)
        os.set_blocking(self._in, False)
        self._rung = False
        self._ready = select.poll()
        self._ready.register(self._out, select.POLLIN)

    def fileno(self) -> int:
        """Return what is readable while it rings."""
        return self._out

    @property
    def is_rung(self) -> bool:
        """Whether it has been rung, and not cleared since."""
        return self._rung

    def ring_at_signals(self) -> None:
        """Ring at every signal that has a handler in Python; called by the main thread, which waits.

        Python runs such a handler between two steps of its own. A signal that comes after the last of them would be
        slept through, were there not this, which is done at once (Python's documentation, `signal.set_wakeup_fd`).
        """
        signal.set_wakeup_fd(self._in, warn_on_full_buffer=False)

    def ring(self) -> None:
        """Wake it; a bell that has been rung already stays so."""
        if not self._rung:
            self._rung = True
            with contextlib.suppress(BlockingIOError):
                os.write(self._in, b"!")

    def wait(self, seconds: float) -> None:
        """Sleep for so many seconds, or until it is rung."""
        if self._ready.poll(seconds * 1000):
            self._put_back()

    def clear(self) -> None:
        """Clear the bell without waiting for it."""
        if self._rung:
            self._put_back()

    def _put_back(self) -> None:
        with contextlib.suppress(BlockingIOError):  # it has been rung, but not written yet
            os.read(self._out, 4096)
        self._rung = False
