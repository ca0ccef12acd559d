"""`make bench`: all comparisons in one run, with the repetitions of all contenders interleaved.

Prints the tables, writes the figures as JSON, and draws the chart. A missed target is no failure; a contender
that fails is: exit code 1.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import chart
from contest import Raw
from measure import Place, measure
from remote import QUICK_ROWS, ROWS, read_items
from remote_servers import TROUBLE, Servers
from report import Row, Section, print_report
from rich.console import Console
from rich.progress import track
from works import GROUPS, WORKLOADS, chosen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contest import Contender, Store, Workload

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
# Of a quick run.
QUICK_REPETITIONS = 3


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"groups: {', '.join(GROUPS)}\n\nworks: {', '.join(WORKLOADS)}",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="NAME",
        default=[],
        help="these works or groups of works alone, separated by spaces or commas",
    )
    parser.add_argument(
        "--quick", action="store_true", help=f"less work, {QUICK_REPETITIONS} repetitions: a few minutes"
    )
    parser.add_argument(
        "--repetitions", type=int, help="of every work; by default 9, fewer where a work takes long"
    )
    parser.add_argument("--count", type=int, help="at most so many messages in each work, and rows to read")
    parser.add_argument(
        "--folder", type=Path, default=Path("target"), help="where the files go; not a RAM disk (target)"
    )
    parser.add_argument("--any-disk", action="store_true", help="allow a RAM disk: to try the program out")
    parser.add_argument(
        "--json",
        type=Path,
        help="where the figures go, and the chart, with the suffix .svg; by default into "
        "benchmarks/results/, as figures.json and chart.svg after a full run, else under names with the time",
    )
    parser.add_argument(
        "--raw",
        type=Path,
        default=ROOT / "target/release/examples",
        help="the folder with the built examples/raw_*.rs (target/release/examples)",
    )
    parser.add_argument("--wheel", type=Path, help="the built wheel, whose size is measured")
    options = parser.parse_args()
    try:
        options.works = chosen(options.only)
    except ValueError as error:
        parser.error(f"argument --only: {error}; --help lists all")
    return options


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
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} processors, {platform.platform()}",
        "Python": platform.python_version(),
        "files on": file_system(folder),
        "load before": load,
        "durability": "synchronous=FULL in WAL mode (SQLite), sync=True (lmdb, RocksDB): a commit is on disk",
    }


def sections_of(options: argparse.Namespace, servers: Servers, facts: dict[str, str]) -> list[Section]:
    """What can be measured here; what cannot is told in ``facts``."""
    programs: set[str] = set()
    packages: set[str] = set()

    def is_there(contender: Contender) -> bool:
        if isinstance(contender.run, Raw) and not (options.raw / contender.run.program).exists():
            programs.add(contender.run.program)
            return False
        if contender.needs and importlib.util.find_spec(contender.needs) is None:
            packages.add(contender.needs)
            return False
        return True

    works = [WORKLOADS[name] for name in options.works]
    works = [work for work in works if set(work.servers) <= servers.running.keys()]
    if options.wheel is None and WORKLOADS["wheel"] in works:
        works.remove(WORKLOADS["wheel"])
        facts["wheel"] = "left out, since --wheel does not say where it is"
    sections = [Section(work, [Row(c) for c in work.contenders if is_there(c)]) for work in works]
    if programs:
        examples = " ".join(f"--example {name}" for name in sorted(programs))
        facts["raw limits"] = f"some left out, not built: cargo build --release {examples}"
    if packages:
        facts["peers"] = f"some left out, not installed: {', '.join(sorted(packages))}"
    return sections


def fill(options: argparse.Namespace, sections: list[Section], folder: Path, facts: dict[str, str]) -> None:
    """Makes the stores that somebody works on."""
    folder.mkdir()
    # By name, so that the order is always the same.
    needed = {store.name: store for section in sections for store in section.work.stores()}
    console = Console(stderr=True)
    for name, store in needed.items():
        rows = rows_of(options, store)
        with console.status(f"Filling the store {name!r} with {rows:,} rows"):
            store.fill(folder / name, rows, store.size)
        shown = f"{name}: {rows:,} rows".replace(",", " ")
        facts["stores"] = ", ".join(filter(None, (facts.get("stores"), shown)))


def run_all(
    options: argparse.Namespace, sections: list[Section], place: Place, servers: Servers
) -> list[str]:
    """Has everybody do everything; gives what failed."""
    failures: list[str] = []
    turns = [
        (section.work, row)
        for repetition in range(repetitions(options, (section.work for section in sections)))
        for section in sections
        if repetition < repetitions(options, [section.work])
        # Every other time backwards, so that nobody always comes after the same neighbour.
        for row in section.rows[:: -1 if repetition % 2 else 1]
    ]
    for work, row in track(turns, "Measuring", console=Console(stderr=True), transient=True):
        store = work.store_of(row.contender)
        rows = rows_of(options, store) if store else remote_rows(options)
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


def repetitions(options: argparse.Namespace, works: Iterable[Workload]) -> int:
    """How often the works are done: as often as the one that is done most."""
    most = max((work.repetitions for work in works), default=0)
    return options.repetitions or (min(most, QUICK_REPETITIONS) if options.quick else most)


def at_most(options: argparse.Namespace, count: int) -> int:
    return min(options.count or count, count)


def rows_of(options: argparse.Namespace, store: Store) -> int:
    return at_most(options, store.quick if options.quick else store.rows)


def remote_rows(options: argparse.Namespace) -> int:
    return at_most(options, QUICK_ROWS if options.quick else ROWS)


def versions(sections: list[Section]) -> str:
    """Of all who took part, as they told."""
    notes = (row.runs[-1]["note"] for section in sections for row in section.rows if row.runs)
    return ", ".join(dict.fromkeys(part for note in notes for part in note.split(", ") if part))


def paths(options: argparse.Namespace) -> tuple[Path, Path]:
    """Where figures and chart go. Git keeps those of a full run, which docs/performance.md shows."""
    if options.json:
        return options.json, options.json.with_suffix(".svg")
    full = not (options.only or options.quick or options.count or options.repetitions)
    if full:
        return HERE / "results/figures.json", HERE / "results/chart.svg"
    now = HERE / time.strftime("results/%Y%m%d-%H%M%S")
    return now.with_suffix(".json"), now.with_suffix(".svg")


def main() -> int:
    options = parse()
    options.folder.mkdir(exist_ok=True, parents=True)
    facts = machine(options.folder)
    if facts["files on"] in ("tmpfs", "ramfs") and not options.any_disk:
        print(f"{options.folder} is a RAM disk, where a disk sync costs nothing: give another --folder.")
        return 2

    begun = time.perf_counter()
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=options.folder)).resolve()
    needed = dict.fromkeys(server for name in options.works for server in WORKLOADS[name].servers)
    try:
        with Servers(needed, folder, read_items(remote_rows(options))) as servers:
            facts |= servers.facts
            sections = sections_of(options, servers, facts)
            fill(options, sections, folder / "stores", facts)
            place = Place(folder / "work", folder / "stores", servers.addresses, options.raw, options.wheel)
            failures = run_all(options, sections, place, servers)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    most = repetitions(options, (section.work for section in sections))
    facts["run"] = f"up to {most} repetitions, {time.perf_counter() - begun:.0f} s"
    facts["versions"] = versions(sections)

    print_report(sections, facts)
    target, picture = paths(options)
    target.parent.mkdir(exist_ok=True, parents=True)
    figures: dict[str, Any] = {"facts": facts, "works": [section.as_json() for section in sections]}
    target.write_text(json.dumps(figures, indent=1) + "\n")
    drawn = chart.draw(figures, picture)
    print(f"Written to {target}" + (f" and {picture}" if drawn else ""))
    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
