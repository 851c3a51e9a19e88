"""Was this machine itself too busy to keep time? A clock that nobody disturbs but the load, beside a campaign."""

from __future__ import annotations

import threading
import time

EVERY_S, STALL_S = 0.05, 0.25
MARGIN_S = 0.5


class Machine:
    """Sleeps for EVERY_S again and again; what took STALL_S longer is a stall of the machine. Use as a context."""

    def __init__(self) -> None:
        self.stalls: list[tuple[float, float]] = []
        self._stop = threading.Event()
        self._watch = threading.Thread(target=self._run, name="machine", daemon=True)

    def __enter__(self) -> Machine:
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._watch.join(5)

    def stalled(self, from_s: float, to_s: float) -> bool:
        """Whether any stall touches this time (wall, s)."""
        return any(a - MARGIN_S < to_s and from_s < b + MARGIN_S for a, b in self.stalls)

    def _run(self) -> None:
        while not self._stop.is_set():
            before = time.time()
            time.sleep(EVERY_S)
            after = time.time()
            if after - before > EVERY_S + STALL_S:
                self.stalls.append((before, after))
