"""Where the records of one test are, and how another program finds and disturbs them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from TetherDB import TetherDBError

# Seconds within which an impatient handle gives up a call to a place that does not answer.
IMPATIENT = 0.5
# Seconds that no test ever waits.
PATIENT = 100.0
# No place that refuses what is large takes more bytes than this in a text.
SMALL = 2_000
LARGE = "x" * 2 * SMALL


class Place(ABC):
    """A place is empty at first. What is prepared is prepared before a handle is opened."""

    name: str
    """The section of the configuration, and the backend."""
    refusal: type[TetherDBError]
    """The error of what is refused."""
    refusal_says: str
    """A word of its text."""

    def __init__(self, section: dict[str, Any]) -> None:
        self.section: dict[str, Any] = section

    @property
    def config(self) -> dict[str, Any]:
        """What of a configuration leads here."""
        return {self.name: dict(self.section)}

    @property
    def stands_in(self) -> bool:
        """Whether it imitates the backend, and measures and connects in ways of its own."""
        return False

    @property
    @abstractmethod
    def opening_line(self) -> str:
        """What is logged when a handle is opened."""

    @abstractmethod
    def close(self) -> None:
        """At the end of the test."""

    # Another program.

    @abstractmethod
    def everything(self) -> dict[str, str]:
        """All records, by stored keys."""

    @abstractmethod
    def put(self, key: str, text: str) -> None:
        """Writes a record."""

    @abstractmethod
    def put_unreadable(self, key: str, what: Any) -> None:
        """Writes a record that is no text: what the row of the backend calls so."""

    @abstractmethod
    def put_foreign_key(self) -> None:
        """Writes a record whose key is not UTF-8."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Deletes a record."""

    # What every write leaves.

    @abstractmethod
    def keep_history(self) -> None:
        """Prepares for `history`."""

    @abstractmethod
    def history(self, key: str) -> list[str | None]:
        """The texts that a key has had, one after the other; `None` where it was deleted."""

    # What handles hold.

    @abstractmethod
    def watch(self) -> None:
        """Prepares for `held`."""

    @abstractmethod
    def held(self) -> int:
        """How many files or connections handles have open here."""

    # Trouble.

    @abstractmethod
    def refuse_large(self) -> None:
        """Prepares the place such that it refuses for good every text that is `LARGE`."""

    @abstractmethod
    def take_large(self) -> None:
        """It refuses them no longer."""

    @abstractmethod
    def break_down(self) -> None:
        """Prepares the place such that no verb can use it, and says so at once."""

    @abstractmethod
    def prepare_outage(self) -> None:
        """Prepares for `outage`; handles give up soon."""

    @abstractmethod
    def outage(self) -> AbstractContextManager[None]:
        """Meanwhile nothing can be written, whoever tries gets no answer, and none of it is done later."""

    @abstractmethod
    def prepare_stall(self) -> None:
        """Prepares for `stall`; handles are patient."""

    @abstractmethod
    def stall(self) -> AbstractContextManager[None]:
        """Meanwhile every call waits; afterwards it goes on."""
