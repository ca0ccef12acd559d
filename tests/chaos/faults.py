"""What goes wrong on the way to a server, or with its process, for a while."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from fault_proxy import FaultProxy
    from servers.process import Server


class Fault(Protocol):
    """Something goes wrong, for so many seconds, and is mended."""

    def __call__(self, chance: random.Random, seconds: float) -> None: ...


def refused(proxy: FaultProxy) -> Fault:
    """The server is down."""

    def fault(chance: random.Random, seconds: float) -> None:
        proxy.refuse()
        proxy.drop_all(reset=chance.random() < 0.5)
        time.sleep(seconds)

    return fault


def black_hole(proxy: FaultProxy) -> Fault:
    """Connections are lost, and new ones are never answered."""

    def fault(chance: random.Random, seconds: float) -> None:
        proxy.black_hole(swallow=chance.random() < 0.5)
        proxy.drop_all(reset=True)
        time.sleep(seconds)

    return fault


def frozen(proxy: FaultProxy) -> Fault:
    """What is on its way stays there until it is mended; new connections work."""

    def fault(chance: random.Random, seconds: float) -> None:
        proxy.freeze()
        time.sleep(seconds)

    return fault


def slow(proxy: FaultProxy) -> Fault:
    """Everything takes a part of that time."""

    def fault(chance: random.Random, seconds: float) -> None:
        part = seconds * chance.choice([0.1, 0.5, 0.9])
        if chance.random() < 0.5:
            proxy.delay(to_server=part)
        else:
            proxy.delay(to_client=part)
        time.sleep(seconds)

    return fault


def cut_answers(proxy: FaultProxy) -> Fault:
    """Connections are reset in the middle of an answer, again and again."""

    def fault(chance: random.Random, seconds: float) -> None:
        for _ in range(chance.choice([1, 3, 10])):
            proxy.reset_answers(after=chance.choice([0, 5, 30, 200, 2000]))
            time.sleep(seconds / 10)

    return fault


def half_open(proxy: FaultProxy) -> Fault:
    """The server has lost its connections, and nobody is told."""

    def fault(chance: random.Random, seconds: float) -> None:
        proxy.half_open(new=chance.random() < 0.5)
        time.sleep(seconds)

    return fault


def dropped(proxy: FaultProxy) -> Fault:
    """All connections end, some times."""

    def fault(chance: random.Random, seconds: float) -> None:
        for _ in range(chance.choice([1, 3, 10])):
            proxy.drop_all(reset=chance.random() < 0.5)
            time.sleep(seconds / 10)

    return fault


def reset_new(proxy: FaultProxy) -> Fault:
    """Whoever connects is reset."""

    def fault(chance: random.Random, seconds: float) -> None:
        proxy.reset_new()
        proxy.drop_all(reset=True)
        time.sleep(seconds)

    return fault


def mended(proxy: FaultProxy, make: Callable[[FaultProxy], Fault]) -> Fault:
    """The same, and then everything passes again."""
    fault = make(proxy)

    def mending(chance: random.Random, seconds: float) -> None:
        try:
            fault(chance, seconds)
        finally:
            proxy.pass_through()

    return mending


PROXY_FAULTS = [refused, black_hole, frozen, slow, cut_answers, half_open, dropped, reset_new]


def paused(server: Server) -> Fault:
    """The process stands still."""

    def fault(chance: random.Random, seconds: float) -> None:
        server.pause()
        try:
            os.waitpid(server.pid, os.WUNTRACED)
            time.sleep(seconds)
        finally:
            server.resume()

    return fault


def killed(server: Server) -> Fault:
    """The process is killed, and started again where it was."""

    def fault(chance: random.Random, seconds: float) -> None:
        server.kill()
        time.sleep(seconds / 2)
        server.launch()
        server.wait_until_ready()

    return fault
