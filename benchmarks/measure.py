"""One measurement is one fresh process: its peak memory and its processor time are its own.

As a program, this is that process: ``measure.py WORK CONTENDER TASK`` does the task and prints what it took.
"""

from __future__ import annotations

import gc
import json
import resource
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contest import SMALL, Raw
from works import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contest import Contender, Workload

LONGEST = 120.0


@dataclass
class Task:
    """One contender's work, and what it took."""

    count: int
    # Of the store, or on the server; and the size of a value, as JSON text.
    rows: int
    size: int
    folder: Path
    # The folder with what is there before the clock starts.
    store: Path
    # Where the servers are, by their names.
    addresses: dict[str, str]
    wheel: Path | None
    seconds: float = 0.0
    cpu_seconds: float | None = None
    peak_bytes: float | None = 0
    # What is compared, where that is not the time per message.
    value: float | None = None
    note: str = ""

    @contextmanager
    def timed(self) -> Iterator[None]:
        """The part that counts."""
        gc.collect()
        gc.freeze()  # what was prepared is not the contender's to collect
        reset_peak()
        memory = memory_in_use()
        cpu = processor_time()
        begun = time.perf_counter()
        yield
        self.seconds = time.perf_counter() - begun
        self.cpu_seconds = processor_time() - cpu
        self.peak_bytes = max(0, peak_memory() - memory)


def processor_time() -> float:
    """User and system time of this process, all its threads included."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def reset_peak() -> None:
    """Sets the peak back to what is in use now. (``ru_maxrss`` starts with the parent's peak.)"""
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")


def memory_in_use() -> int:
    return _status("VmRSS") if sys.platform == "linux" else peak_memory()


def peak_memory() -> int:
    if sys.platform == "linux":
        return _status("VmHWM")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


@dataclass(frozen=True)
class Place:
    """Where a run has its things."""

    # Empty for each measurement.
    folder: Path
    # The filled stores, a folder each.
    stores: Path
    addresses: dict[str, str]
    # The folder of the raw programs.
    raw: Path
    wheel: Path | None

    def store(self, work: Workload, contender: Contender) -> Path:
        store = work.store_of(contender)
        return self.stores / store.name if store else self.folder


def measure(work: Workload, contender: Contender, count: int, rows: int, place: Place) -> dict[str, Any]:
    """Has a fresh process do the work; gives what it took, with ``value`` being what is compared."""
    shutil.rmtree(place.folder, ignore_errors=True)
    place.folder.mkdir()
    warm(place.store(work, contender))
    count = max(1, round(count * contender.share))
    run = contender.run
    if isinstance(run, Raw):
        command = raw_command(work, contender, run, count, rows, place)
    else:
        task = {
            "count": count,
            "rows": rows,
            "size": work.size,
            "folder": str(place.folder),
            "store": str(place.store(work, contender)),
            "addresses": place.addresses,
            "wheel": place.wheel and str(place.wheel),
        }
        command = [sys.executable, __file__, work.name, contender.name, json.dumps(task)]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST)
    except subprocess.TimeoutExpired as late:
        raise RuntimeError(f"{work.title}, {contender.name}: not done after {LONGEST:g} s") from late
    shutil.rmtree(place.folder, ignore_errors=True)
    if answer.returncode or answer.stderr:
        what = f"exit code {answer.returncode}\n{answer.stderr.strip()}"
        raise RuntimeError(f"{work.title}, {contender.name}: {what}")
    result = json.loads(answer.stdout)
    if result.get("value") is None:
        result["value"] = result["seconds"] / result["count"]
    return result


def warm(store: Path) -> None:
    """Reads what is there, so that the system has it in memory: some take back what has not been used."""
    for file in store.rglob("*"):
        if file.is_file():
            with file.open("rb") as content:
                while content.read(1 << 20):
                    pass


def raw_command(
    work: Workload, contender: Contender, run: Raw, count: int, rows: int, place: Place
) -> list[str]:
    command = [str(place.raw / run.program), run.work, str(count)]
    if run.server:
        return [*command, str(rows), place.addresses[run.server], *run.more]
    command.append(str(place.store(work, contender) / "store"))
    return command if work.size == SMALL else [*command, str(work.size)]


def main() -> None:
    name, contender_name, told = sys.argv[1:]
    contender = next(c for c in WORKLOADS[name].contenders if c.name == contender_name)
    given = json.loads(told)
    paths = {name: Path(given[name]) for name in ("folder", "store", "wheel") if given[name]}
    task = Task(**(given | paths))
    assert not isinstance(contender.run, Raw)
    contender.run(task)
    fields = ("count", "seconds", "cpu_seconds", "peak_bytes", "value", "note")
    print(json.dumps({name: getattr(task, name) for name in fields}))


if __name__ == "__main__":
    main()
