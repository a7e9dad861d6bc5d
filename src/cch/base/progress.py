"""Progress lines of long work: done/total, rate, time left."""

from __future__ import annotations

import logging
import time


class Progress:
    """Report progress to the log (and so to the terminal) every few seconds.

    Args:
        label: the work, e.g. ``"mnistm-a20 student"``.
        total: the number of units in all, or 0 if unknown.
        unit: plural name of the unit, e.g. ``"epochs"``.
        every: seconds between lines; the first and the last unit are always reported.
        scale: counts per unit shown, e.g. 1000 for bytes shown as ``"kB"``.
    """

    def __init__(
        self, label: str, total: int, unit: str, every: float = 5.0, scale: int = 1
    ) -> None:
        self.label, self.total, self.unit, self.every = label, total, unit, every
        self.scale = scale
        self.done = 0
        self._start = time.monotonic()
        self._last = -float("inf")
        self._log = logging.getLogger("cch.base.progress")

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count ``count`` more units as done and report every few seconds."""
        self.done += count
        now = time.monotonic()
        if now - self._last >= self.every or (self.total and self.done >= self.total):
            self._last = now
            self._log.info("%s", self.line(now - self._start, note))

    def line(self, elapsed: float, note: str = "") -> str:
        """Return the progress line after ``elapsed`` seconds."""
        rate = self.done / elapsed if elapsed > 0 else 0.0
        done, total = (-(-count // self.scale) for count in (self.done, self.total))
        parts = [f"{self.label}: {done}/{total or '?'} {self.unit}"]
        if rate:
            parts.append(f"{rate / self.scale:.3g} {self.unit}/s")
            if self.total:
                parts.append(f"{clock((self.total - self.done) / rate)} left")
        if note:
            parts.append(note)
        return ", ".join(parts)


def clock(seconds: float) -> str:
    """Return a duration as ``h:mm:ss`` or ``m:ss``."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
