"""`TetherDB.opentelemetry`: the accounts of the queue as metrics, with the SDK of OpenTelemetry."""

from __future__ import annotations

import gc
import time
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Metric, Sum

from TetherDB import DB, DeliveryError, FlushTimeout, __version__
from TetherDB.opentelemetry import instrument

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]

COUNTERS = {
    "tetherdb.queue.accepted": "{message}",
    "tetherdb.queue.delivered": "{message}",
    "tetherdb.queue.failed": "{message}",
    "tetherdb.queue.retried": "{message}",
    "tetherdb.queue.delivery.time": "s",
}
PENDING = "tetherdb.queue.pending"


class Telemetry:
    """A provider, and what it would export now."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self.provider = MeterProvider(metric_readers=[self._reader])

    def metrics(self) -> list[Metric]:
        data = self._reader.get_metrics_data()
        if data is None:
            return []
        found: list[Metric] = []
        for resource in data.resource_metrics:
            for scope in resource.scope_metrics:
                assert (scope.scope.name, scope.scope.version) == ("TetherDB", __version__)
                found += scope.metrics
        return found

    def values(self, backend: str = "local") -> dict[str, float]:
        """The value of each metric, by the end of its name."""
        found: dict[str, float] = {}
        for metric in self.metrics():
            for point in metric.data.data_points:
                assert point.attributes is not None
                if dict(point.attributes) == {"backend": backend}:
                    name = metric.name.removeprefix("tetherdb.queue.")
                    assert name not in found
                    found[name] = getattr(point, "value")  # noqa: B009 (sums and gauges have one)
        return found


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    made = Telemetry()
    yield made
    made.provider.shutdown()


def test_each_metric_has_a_name_a_unit_and_a_kind(open_db: Callable[..., DB], telemetry: Telemetry) -> None:
    db = open_db()
    instrument(db, meter_provider=telemetry.provider)
    metrics = {metric.name: metric for metric in telemetry.metrics()}
    assert {name: metric.unit for name, metric in metrics.items()} == {**COUNTERS, PENDING: "{message}"}
    for name, metric in metrics.items():
        assert metric.description
        assert isinstance(metric.data, Sum)
        assert metric.data.is_monotonic == (name != PENDING)


def test_the_values_are_those_of_the_accounts(open_db: Callable[..., DB], telemetry: Telemetry) -> None:
    db = open_db(queue_batch={"timeout": 60})
    instrument(db, meter_provider=telemetry.provider)
    begin = time.monotonic()
    for number in range(3):
        db.write_queue_message(str(number), "v")
    expected = {"accepted": 3, "delivered": 0, "failed": 0, "retried": 0, "pending": 3, "delivery.time": 0}
    assert telemetry.values() == expected
    db.flush()
    most = 3 * (time.monotonic() - begin)
    values = telemetry.values()
    assert 0 < values.pop("delivery.time") <= most
    assert values == {"accepted": 3, "delivered": 3, "failed": 0, "retried": 0, "pending": 0}
    db.write_message("direct", "v")
    db.stop()
    assert telemetry.values() == {**telemetry.values(), "accepted": 3, "delivered": 3}


def test_each_configured_backend_has_its_own_values(open_db: Callable[..., DB], telemetry: Telemetry) -> None:
    db = open_db(etcd={}, dynamodb={"table_name": "t", "region": "eu-central-1"})
    instrument(db, meter_provider=telemetry.provider)
    db.write_queue_message("k", "v")
    db.flush()
    assert telemetry.values()["delivered"] == 1
    assert telemetry.values("etcd")["delivered"] == 0
    assert telemetry.values("dynamodb")["delivered"] == 0


@pytest.mark.usefixtures("refuse_bad")
def test_a_message_given_up_again_counts_again(open_db: Callable[..., DB], telemetry: Telemetry) -> None:
    db = open_db(logging="none")
    instrument(db, meter_provider=telemetry.provider)
    db.write_queue_message("bad", "v")
    for round_ in (1, 2, 3):
        with pytest.raises(DeliveryError):
            db.flush()
        values = telemetry.values()
        assert (values["failed"], values["accepted"], values["pending"]) == (round_, round_, 0)
        assert values["delivered"] == values["delivery.time"] == 0
        # A counter must not go back, although the account does.
        assert db.retry_failed() == 1
        assert telemetry.values()["failed"] >= round_
    with pytest.raises(DeliveryError):
        db.stop()


def test_what_goes_again_is_counted(
    open_db: Callable[..., DB],
    path: Path,
    telemetry: Telemetry,
    eventually: Callable[[Callable[[], object]], None],
) -> None:
    missing = path / "missing" / "file"
    db = open_db(
        local={"filepath": str(missing)},
        logging="none",
        queue_batch={"retry": {"initial": 0.01, "max": 0.01}},
    )
    instrument(db, meter_provider=telemetry.provider)
    db.write_queue_message("k", "v")
    eventually(lambda: telemetry.values()["retried"] > 1)
    missing.parent.mkdir(parents=True)
    db.flush()
    assert telemetry.values()["delivered"] == 1


def test_what_is_left_in_the_journal_takes_nothing_back(path: Path, telemetry: Telemetry) -> None:
    missing = path / "missing" / "file"
    path.mkdir()
    db = DB(
        {
            "local": {"filepath": str(missing)},
            "logging": "none",
            "queue_batch": {"timeout": 0.02, "journal": str(path / "journal")},
        }
    )
    instrument(db, meter_provider=telemetry.provider)
    db.write_queue_message("k", "v")
    with pytest.raises(FlushTimeout):
        db.stop(timeout=0.05)
    assert db.stats()["local"]["accepted"] == 0
    values = telemetry.values()
    assert (values["accepted"], values["pending"]) == (1, 0)
    missing.parent.mkdir()
    db.start()
    db.flush()
    # Taken from the journal is taken once more.
    values = telemetry.values()
    assert (values["accepted"], values["delivered"], values["failed"]) == (2, 1, 0)
    db.stop()


def test_several_handles_are_added_up(tmp_path: Path, telemetry: Telemetry) -> None:
    handles = [DB({"local": {"filepath": str(tmp_path / name)}}) for name in "abc"]
    for db in handles:
        instrument(db, meter_provider=telemetry.provider)
        db.write_queue_message("k", "v")
        db.stop()
    assert telemetry.values()["delivered"] == 3
    assert sorted(metric.name for metric in telemetry.metrics()) == sorted([*COUNTERS, PENDING])


def test_doing_it_again_changes_nothing(open_db: Callable[..., DB], telemetry: Telemetry) -> None:
    db = open_db()
    for _ in range(3):
        instrument(db, meter_provider=telemetry.provider)
    db.write_queue_message("k", "v")
    db.flush()
    assert telemetry.values()["delivered"] == 1
    assert len(telemetry.metrics()) == len(COUNTERS) + 1


def test_each_provider_gets_its_own(open_db: Callable[..., DB], telemetry: Telemetry) -> None:
    other = Telemetry()
    db = open_db()
    instrument(db, meter_provider=telemetry.provider)
    assert other.values() == {}
    instrument(db, meter_provider=other.provider)
    db.write_queue_message("k", "v")
    db.flush()
    assert telemetry.values()["delivered"] == other.values()["delivered"] == 1
    other.provider.shutdown()


def test_a_handle_is_not_kept_alive_and_its_counts_stay(path: Path, telemetry: Telemetry) -> None:
    db = DB({"local": {"filepath": str(path)}})
    instrument(db, meter_provider=telemetry.provider)
    db.write_queue_message("k", "v")
    db.stop()
    before = telemetry.values()
    assert before["delivered"] == 1
    alive = weakref.ref(db)
    del db
    gc.collect()
    assert alive() is None
    assert telemetry.values() == before


def test_a_handle_that_is_gone_has_nothing_pending(path: Path, telemetry: Telemetry) -> None:
    db = DB({"local": {"filepath": str(path)}, "queue_batch": {"timeout": 60}})
    instrument(db, meter_provider=telemetry.provider)
    db.write_queue_message("k", "v")
    assert telemetry.values()["pending"] == 1
    del db
    gc.collect()
    values = telemetry.values()
    assert (values["accepted"], values["pending"]) == (1, 0)


def test_a_provider_is_not_kept_alive(open_db: Callable[..., DB]) -> None:
    made = Telemetry()
    db = open_db()
    instrument(db, meter_provider=made.provider)
    made.provider.shutdown()
    alive = weakref.ref(made.provider)
    del made
    gc.collect()
    assert alive() is None


def test_a_handle_around_a_db_is_taken(open_db: Callable[..., DB], telemetry: Telemetry) -> None:
    class Wrapper:
        def __init__(self, db: DB) -> None:
            self._db = db

    db = open_db()
    instrument(Wrapper(db), meter_provider=telemetry.provider)
    db.write_queue_message("k", "v")
    db.flush()
    assert telemetry.values()["delivered"] == 1


@pytest.mark.parametrize(
    ("wrong", "kind"), [(None, "NoneType"), ("localdb", "str"), (5, "int"), (DB, "the class DB")], ids=str
)
def test_anything_else_is_a_type_error(wrong: Any, kind: str) -> None:
    with pytest.raises(TypeError) as caught:
        instrument(wrong)
    assert str(caught.value) == f"db must be a DB or an AsyncDB, got {kind}."


@pytest.mark.parametrize("name", ["number", "class", "meter"])
def test_a_provider_of_another_type_is_a_type_error(
    open_db: Callable[..., DB], telemetry: Telemetry, name: str
) -> None:
    wrong, kind = {
        "number": (5, "int"),
        "class": (MeterProvider, "the class MeterProvider"),
        "meter": (telemetry.provider.get_meter("m"), "Meter"),
    }[name]
    given: Any = wrong
    with pytest.raises(TypeError) as caught:
        instrument(open_db(), meter_provider=given)
    assert str(caught.value) == (
        f"meter_provider must be a MeterProvider, got {kind}. Pass one of opentelemetry.sdk.metrics, or "
        "leave it out for the global one."
    )


def test_a_stopped_handle_is_taken_since_it_opens_again(
    open_db: Callable[..., DB], telemetry: Telemetry
) -> None:
    db = open_db()
    db.stop()
    instrument(db, meter_provider=telemetry.provider)
    assert telemetry.values()["accepted"] == 0
    db.write_queue_message("k", "v")
    db.flush()
    assert telemetry.values()["delivered"] == 1


GLOBAL = """
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from TetherDB import DB
from TetherDB.opentelemetry import instrument

reader = InMemoryMetricReader()
provider = MeterProvider(metric_readers=[reader])
handles = [DB({"local": {"filepath": name}}) for name in "abcd"]
instrument(handles[0])
instrument(handles[1])
metrics.set_meter_provider(provider)
instrument(handles[2])
instrument(handles[3], meter_provider=provider)
for db in handles:
    db.write_queue_message("k", "v")
    db.stop()
(resource,) = reader.get_metrics_data().resource_metrics
(scope,) = resource.scope_metrics
values = {}
for metric in scope.metrics:
    for point in metric.data.data_points:
        values.setdefault(metric.name, []).append(point.value)
print(values["tetherdb.queue.delivered"])
"""


def test_the_global_provider_may_be_set_later(run_python: Run) -> None:
    done = run_python(GLOBAL)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[4]\n", "")


def test_without_the_api_importing_it_says_what_to_install(run_python: Run) -> None:
    program = "import sys\nsys.modules['opentelemetry'] = None\nimport TetherDB.opentelemetry"
    done = run_python(program)
    assert done.returncode == 1
    assert "Install it with pip install opentelemetry-api." in done.stderr.splitlines()[-1]


def test_importing_the_package_does_not_import_it(run_python: Run) -> None:
    program = "import sys, TetherDB\nTetherDB.DB()\nassert 'opentelemetry' not in sys.modules"
    done = run_python(program)
    assert (done.returncode, done.stderr) == (0, "")
