"""`make bench`: all comparisons in one run, with the repetitions of all contenders interleaved."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import workloads
from measure import measure
from report import Row, Section, print_report
from rich.console import Console
from rich.progress import track

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less work, fewer repetitions: under a minute")
    parser.add_argument(
        "--only", nargs="+", metavar="WORK", choices=list(workloads.WORKLOADS), help="these works alone"
    )
    parser.add_argument("--repetitions", type=int, help="default 9, or 3 with --quick")
    parser.add_argument("--count", type=int, help="at most so many messages in each work")
    parser.add_argument(
        "--folder", type=Path, default=Path("target"), help="where the files go; not a RAM disk"
    )
    parser.add_argument("--any-disk", action="store_true", help="allow a RAM disk: to try the program out")
    parser.add_argument("--json", type=Path, help="where the figures go; default benchmarks/results/")
    parser.add_argument(
        "--raw",
        type=Path,
        default=ROOT / "target/release/examples/raw_sqlite",
        help="the built examples/raw_sqlite.rs",
    )
    return parser.parse_args()


def file_system(folder: Path) -> str:
    """The kind of disk the files are on, as far as the system says."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return "unknown"
    folder = folder.resolve()
    over = [(len(mount[1]), mount[2]) for mount in mounts if folder.is_relative_to(mount[1])]
    return max(over)[1]


def machine(folder: Path) -> dict[str, str]:
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    if os.getloadavg()[0] > 0.5:
        load += " (others are busy: expect a wide spread, and ratios that mean little)"
    return {
        "machine": f"{os.cpu_count()} processors, {platform.platform()}",
        "Python": platform.python_version(),
        "files on": file_system(folder),
        "load before": load,
        "durability": "synchronous=FULL in WAL mode (SQLite), sync=True (lmdb): a commit is on disk",
    }


def main() -> int:
    options = parse()
    works = [workloads.WORKLOADS[name] for name in options.only or workloads.WORKLOADS]
    repetitions = options.repetitions or (3 if options.quick else 9)
    most = options.count or sys.maxsize
    rows = min(most, 20_000 if options.quick else 100_000)
    options.folder.mkdir(exist_ok=True, parents=True)
    facts = machine(options.folder)
    if facts["files on"] in ("tmpfs", "ramfs") and not options.any_disk:
        print(f"{options.folder} is a RAM disk, where a disk sync costs nothing: give another --folder.")
        return 2
    if not options.raw.exists():
        facts["raw limit"] = (
            f"left out: {options.raw.name} is not built (cargo build --release --example raw_sqlite)"
        )

    sections = [
        Section(work, [Row(c) for c in work.contenders if callable(c.run) or options.raw.exists()])
        for work in works
    ]
    failures: list[str] = []
    begun = time.perf_counter()
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=options.folder)).resolve()
    try:
        store = folder / "read"
        workloads.prepare(store, rows)
        turns = [
            (section, row)
            for repetition in range(repetitions)
            for section in sections
            # Every other time backwards, so that nobody always comes after the same neighbour.
            for row in section.rows[:: -1 if repetition % 2 else 1]
        ]
        for section, row in track(turns, "Measuring", console=Console(stderr=True), transient=True):
            work = section.work
            count = min(most, (work.quick if options.quick else work.count) or rows)
            try:
                row.runs.append(
                    measure(work, row.contender, count, rows, folder / "work", store, options.raw)
                )
            except RuntimeError as error:
                failures.append(str(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    facts["run"] = f"{repetitions} repetitions, {time.perf_counter() - begun:.0f} s"
    for row in (row for section in sections for row in section.rows):
        note = row.runs[-1]["note"] if row.runs else ""
        if note:
            versions = facts.setdefault("versions", "")
            if note not in versions.split(", "):
                facts["versions"] = f"{versions}, {note}".lstrip(", ")

    print_report(sections, facts)
    target = options.json or HERE / "results" / time.strftime("%Y%m%d-%H%M%S.json")
    target.parent.mkdir(exist_ok=True, parents=True)
    figures: dict[str, Any] = {"facts": facts, "works": [section.as_json() for section in sections]}
    target.write_text(json.dumps(figures, indent=1) + "\n")
    print(f"Written to {target}")
    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
