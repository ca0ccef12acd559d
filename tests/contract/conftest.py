"""The backend under test, the place that a test has on it, and handles that lead there."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, cast

import pytest

from TetherDB import DB, AsyncDB, TetherDBError

from .backends import BACKENDS, Backend
from .faces import ASYNC, SYNC, AwaitedDB, LoopThread
from .place_etcd import Gateway, SmallEtcd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from servers.etcd import EtcdServer

    from .place import Place


@pytest.fixture(scope="session")
def etcd_gateway(etcd: EtcdServer) -> Iterator[Gateway]:
    """The way of another program to the shared etcd."""
    with contextlib.closing(Gateway(etcd)) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def small_etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """An etcd that refuses large requests."""
    with SmallEtcd(tmp_path_factory.mktemp("small-etcd")) as server:
        yield server


@pytest.fixture(scope="session")
def small_etcd_gateway(small_etcd: EtcdServer) -> Iterator[Gateway]:
    """The way of another program there."""
    with contextlib.closing(Gateway(small_etcd)) as gateway:
        yield gateway


@pytest.fixture(params=BACKENDS, ids=[backend.name for backend in BACKENDS])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend in turn."""
    chosen: Backend = request.param
    return chosen


@pytest.fixture
def place(backend: Backend, request: pytest.FixtureRequest) -> Iterator[Place]:
    """An empty place on the backend, which this test has to itself."""
    with contextlib.closing(backend.place(request)) as place:
        yield place


@pytest.fixture
def the_real_one(place: Place) -> None:
    """For tests of what an imitation of the backend does not show."""
    if place.stands_in:
        pytest.skip("an imitation measures sizes and keeps connections in ways of its own")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test that opens a handle runs over both faces, but for those that are marked."""
    if "face" in metafunc.fixturenames:
        only = metafunc.definition.get_closest_marker("sync_only")
        metafunc.parametrize("face", [SYNC] if only else [SYNC, ASYNC], indirect=True)


@pytest.fixture
def face(request: pytest.FixtureRequest) -> str:
    """`DB`, or `AsyncDB`."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def loop_thread() -> Iterator[LoopThread]:
    """The event loop of all `AsyncDB`s, which is another thread's than the test's."""
    with contextlib.closing(LoopThread()) as thread:
        yield thread


@pytest.fixture
def make_db(face: str, request: pytest.FixtureRequest) -> Callable[..., DB]:
    """The constructor of the face; an `AsyncDB` is made to look like a `DB`."""
    if face == SYNC:
        return DB
    loop: LoopThread = request.getfixturevalue("loop_thread")
    return lambda *args, **kwargs: cast("DB", AwaitedDB(loop, AsyncDB(*args, **kwargs)))


@pytest.fixture
def open_db(place: Place, path: Path, make_db: Callable[..., DB]) -> Iterator[Callable[..., DB]]:
    """Opens handles that lead to the place, and stops them at the end of the test.

    Keywords are sections or keys of the configuration, but for `on_error`. The queue is fast unless told
    otherwise. Where the place is on another backend, the file at `path` is there beside it.
    """
    opened: list[DB] = []

    def open_one(on_error: Callable[..., object] | None = None, **config: Any) -> DB:
        config["queue_batch"] = {"timeout": 0.02, **config.get("queue_batch", {})}
        db = make_db({"local": {"filepath": str(path)}, **place.config, **config}, on_error=on_error)
        opened.append(db)
        return db

    yield open_one
    for db in opened:
        with contextlib.suppress(TetherDBError):
            db.stop(timeout=5)


@pytest.fixture
def db(open_db: Callable[..., DB]) -> DB:
    """A handle on the place."""
    return open_db()


@pytest.fixture
def broken(place: Place, open_db: Callable[..., DB]) -> Callable[..., DB]:
    """As `open_db`; every verb fails."""
    place.break_down()
    return open_db


@pytest.fixture
def history(place: Place) -> Callable[[str], list[str | None]]:
    """Gives the texts that a key has had; `None` where it was deleted."""
    place.keep_history()
    return place.history


@pytest.fixture
def held(place: Place) -> Callable[[], int]:
    """How many files or connections handles have open."""
    place.watch()
    return place.held


@pytest.fixture
def refuse_large(place: Place) -> None:
    """The place refuses for good every text that is `LARGE`."""
    place.refuse_large()


@pytest.fixture
def outage(place: Place) -> Callable[[], AbstractContextManager[None]]:
    """A `with` block during which nothing can be written; calls are given up soon."""
    place.prepare_outage()
    return place.outage


@pytest.fixture
def stall(place: Place) -> Callable[[], AbstractContextManager[None]]:
    """A `with` block during which every call waits; afterwards it goes on."""
    place.prepare_stall()
    return place.stall
