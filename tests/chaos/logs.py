"""Log lines that no fault of the suite may cause."""

from __future__ import annotations

import logging

# A journal is damaged by disks, never by kills: its unfinished end is no damage.
FORBIDDEN = ("damaged", "raised", "panick")


class Strict(logging.Handler):
    """Keeps the lines that must not be; what else is said is normal."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        text = record.getMessage()
        if any(word in text for word in FORBIDDEN):
            self.lines.append(text)

    def check(self) -> None:
        """None of them was said."""
        assert not self.lines, self.lines[:5]


def listen() -> Strict:
    """Takes all lines of TetherDB from now on."""
    logger = logging.getLogger("TetherDB")
    handler = Strict()
    # In place of others: faults cause many lines.
    logger.handlers[:] = [handler]
    return handler
