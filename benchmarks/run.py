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
from typing import TYPE_CHECKING, Any

import workloads
from contest import Raw
from measure import Place, measure
from remote import QUICK_ROWS, ROWS, read_items
from remote_servers import TROUBLE, Servers
from report import Row, Section, print_report
from rich.console import Console
from rich.progress import track
from works import WORKLOADS

if TYPE_CHECKING:
    from contest import Contender

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less work, fewer repetitions: about a minute")
    parser.add_argument(
        "--only", nargs="+", metavar="WORK", choices=list(WORKLOADS), help="these works alone"
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
        default=ROOT / "target/release/examples",
        help="the folder with the built examples/raw_*.rs",
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


def sections_of(names: list[str], raw: Path, servers: Servers, facts: dict[str, str]) -> list[Section]:
    """What can be measured here; what cannot is told in ``facts``."""
    missing: set[str] = set()

    def is_there(contender: Contender) -> bool:
        if isinstance(contender.run, Raw) and not (raw / contender.run.program).exists():
            missing.add(contender.run.program)
            return False
        return True

    works = [WORKLOADS[name] for name in names]
    works = [work for work in works if set(work.servers) <= servers.running.keys()]
    sections = [Section(work, [Row(c) for c in work.contenders if is_there(c)]) for work in works]
    if missing:
        examples = " ".join(f"--example {name}" for name in sorted(missing))
        facts["raw limits"] = f"some left out, not built: cargo build --release {examples}"
    return sections


def run_all(
    sections: list[Section], options: argparse.Namespace, repetitions: int, place: Place, servers: Servers
) -> list[str]:
    """Has everybody do everything; gives what failed."""
    failures: list[str] = []
    turns = [
        (section.work, row)
        for repetition in range(repetitions)
        for section in sections
        # Every other time backwards, so that nobody always comes after the same neighbour.
        for row in section.rows[:: -1 if repetition % 2 else 1]
    ]
    for work, row in track(turns, "Measuring", console=Console(stderr=True), transient=True):
        rows = remote_rows(options) if work.servers else local_rows(options)
        count = at_most(options, (work.quick if options.quick else work.count) or rows)
        emptied = [servers.running[name] for name in work.servers if work.writes]
        try:
            for server in emptied:
                server.empty()
            result = measure(work, row.contender, count, rows, place)
            if any(server.count() < result["count"] for server in emptied):
                raise RuntimeError(f"{work.title}, {row.contender.name}: not everything is on the server")
        except (RuntimeError, *TROUBLE) as error:
            failures.append(str(error))
        else:
            row.runs.append(result)
    return failures


def at_most(options: argparse.Namespace, count: int) -> int:
    return min(options.count or count, count)


def local_rows(options: argparse.Namespace) -> int:
    return at_most(options, 20_000 if options.quick else 100_000)


def remote_rows(options: argparse.Namespace) -> int:
    return at_most(options, QUICK_ROWS if options.quick else ROWS)


def main() -> int:
    options = parse()
    names: list[str] = options.only or list(WORKLOADS)
    repetitions = options.repetitions or (3 if options.quick else 9)
    options.folder.mkdir(exist_ok=True, parents=True)
    facts = machine(options.folder)
    if facts["files on"] in ("tmpfs", "ramfs") and not options.any_disk:
        print(f"{options.folder} is a RAM disk, where a disk sync costs nothing: give another --folder.")
        return 2

    begun = time.perf_counter()
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=options.folder)).resolve()
    needed = dict.fromkeys(server for name in names for server in WORKLOADS[name].servers)
    try:
        store = folder / "read"
        if any(not WORKLOADS[name].servers for name in names):
            workloads.prepare(store, local_rows(options))
        with Servers(needed, folder, read_items(remote_rows(options))) as servers:
            facts |= servers.facts
            sections = sections_of(names, options.raw, servers, facts)
            place = Place(folder / "work", store, servers.addresses, options.raw)
            failures = run_all(sections, options, repetitions, place, servers)
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
