"""Several works at the same moment, each in a thread of its own."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def in_threads(*works: Callable[[], object]) -> list[Any]:
    """Runs them at the same moment; gives what each gave, or raises what one of them raised."""
    gate = threading.Barrier(len(works))
    outcomes: list[Any] = [None] * len(works)
    errors: list[BaseException] = []

    def run(at: int, work: Callable[[], object]) -> None:
        gate.wait()
        try:
            outcomes[at] = work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(at, work)) for at, work in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return outcomes
