"""`make bench-guard`: counts the instructions that a message costs, and compares them with the baseline.

Times depend on the machine and on who else is busy there; instructions hardly do. callgrind counts them while
``guard_works.py`` does a work with n messages, and with 2n: the difference has no start-up in it.

Only what runs in our own module is judged, without SQLite, which is linked into it: a new SQLite, Python or
libc is not our regression. Their share is shown all the same, since we decide how often they are called.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    # By work, then by whose they are.
    Figures = Mapping[str, Mapping[str, float]]

HERE = Path(__file__).resolve().parent
BASELINE = HERE / "guard.json"
MODULE = "_tetherdb"
# From so much more on, the guard fails; from so much less on, the baseline is out of date.
LIMIT = 0.10


class Unable(Exception):
    """Nothing can be said of the code: something is missing, and this tells what to do."""


class Spot(NamedTuple):
    """Where instructions were executed: the object file, the source file of the function, and its name."""

    object: str
    file: str
    function: str


# The keys of a line with a name. Those of one kind share the numbers that stand for names.
KINDS = {"ob": "ob", "cob": "ob", "fn": "fn", "cfn": "fn"} | dict.fromkeys(
    ("fl", "fi", "fe", "cfi", "cfl"), "fl"
)


def read_callgrind(lines: Iterable[str]) -> Counter[Spot]:
    """The instructions that each function executed itself, without those of what it called."""
    costs: Counter[Spot] = Counter()
    names: dict[tuple[str, str], str] = {}
    here = dict.fromkeys(("ob", "fl", "fn"), "???")
    positions = 1
    after_call = False
    for line in lines:
        head, _, name = line.rstrip("\n").partition("=")
        if kind := KINDS.get(head):
            # Written out once, as "(7) name"; from then on "(7)" stands for it.
            if name.startswith("("):
                number, _, given = name[1:].partition(")")
                name = names.setdefault((kind, number), given.strip()) or "???"
            # A callee's name, or that of a file that something inlined is from, is not where we are.
            if head == kind:
                here[kind] = name
        elif head == "calls":
            after_call = True
        elif line.startswith("positions:"):
            positions = len(line.split()) - 1
        elif line[:1].isdigit() or line[:1] in ("+", "-", "*"):
            # The line after a call is the callee's cost, which has lines of its own.
            cost = [] if after_call else line.split()[positions:]
            costs[Spot(here["ob"], here["fl"], here["fn"])] += int(cost[0]) if cost else 0
            after_call = False
    return costs


def owner(spot: Spot) -> str:
    """Whose a function is. SQLite's are known by their file, since half of their names do not tell."""
    if not Path(spot.object).name.startswith(f"{MODULE}."):
        return "elsewhere"
    return "sqlite" if Path(spot.file).name == "sqlite3.c" else "own"


def by_owner(costs: Mapping[Spot, float]) -> dict[str, float]:
    sums = {"own": 0.0, "sqlite": 0.0, "elsewhere": 0.0}
    for spot, cost in costs.items():
        sums[owner(spot)] += cost
    return {name: round(cost, 1) for name, cost in sums.items()}


def most_costly(costs: Mapping[Spot, float]) -> list[str]:
    own = Counter({spot.function: cost for spot, cost in costs.items() if owner(spot) == "own"})
    return [f"{cost:10.1f}  {function}" for function, cost in own.most_common(10)]


def valgrind() -> str:
    found = shutil.which("valgrind")
    if not found:
        text = "valgrind is missing. Get it from your system's packages, such as `apt-get install valgrind`."
        raise Unable(text)
    return found


def module() -> Path:
    """The module that is counted: the one that this interpreter imports."""
    try:
        spec = importlib.util.find_spec(f"TetherDB.{MODULE}")
    except ImportError:
        spec = None
    if not spec or not spec.origin:
        raise Unable("this Python has no TetherDB. `make bench-guard` builds it, and says where it is.")
    return Path(spec.origin)


def run(work: str, count: int, of: int) -> Counter[Spot]:
    """The instructions of one process."""
    with tempfile.TemporaryDirectory(prefix="tetherdb-guard-") as folder:
        out = Path(folder) / "callgrind.out"
        command = [valgrind(), "--tool=callgrind", f"--callgrind-out-file={out}", "--quiet", sys.executable]
        command += [str(HERE / "guard_works.py"), work, str(count), str(of), folder]
        # With other hashes, a key of a dict is found in more or fewer steps.
        environment = os.environ | {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode != 0 or not out.exists():
            raise Unable(f"{work} failed under valgrind:\n{done.stdout}{done.stderr}")
        with out.open() as lines:
            return read_callgrind(lines)


def measure(work: str, count: int) -> dict[Spot, float]:
    """What one message of the work costs, and where."""
    once, twice = run(work, count, 2 * count), run(work, 2 * count, 2 * count)
    # Every work opens a file, so SQLite has run; if it cannot be told apart, neither can we.
    if not any(owner(spot) == "sqlite" for spot in twice):
        raise Unable(f"{module()} has no symbols, or none of SQLite. `make bench-guard` builds it with both.")
    return {spot: (twice[spot] - once[spot]) / count for spot in twice}


def conditions() -> dict[str, str]:
    """What the figures depend on besides our code."""
    compiler = re.search(rb"rustc version ([^()]+\([^()]+\))", module().read_bytes())
    return {
        "rustc": compiler[1].decode() if compiler else "unknown",
        "target": f"{sys.platform} {platform.machine()}",
        "profile": "release, with symbols and line tables",
        "Python": platform.python_version(),
        "valgrind": subprocess.check_output([valgrind(), "--version"], text=True).strip(),
    }


def compare(baseline: Figures, now: Figures) -> tuple[list[str], list[str], list[str]]:
    """The lines of the table; which works have become worse, and which better."""
    if lonely := sorted(baseline.keys() ^ now.keys()):
        text = "in the baseline, or measured, but not both. `--update` writes a new baseline."
        raise Unable(f"{', '.join(lonely)}: {text}")
    table = [
        f"{'instructions a message':24}{'baseline':>9}{'now':>9}{'change':>9}{'SQLite':>9}{'elsewhere':>11}"
    ]
    worse, better = [], []
    for work, costs in now.items():
        before, after = baseline[work]["own"], costs["own"]
        change = after / before - 1
        rest = f"{costs['sqlite']:9.0f}{costs['elsewhere']:11.0f}"
        table.append(f"{work:24}{before:9.0f}{after:9.0f}{change:+9.1%}{rest}")
        if change >= LIMIT:
            worse.append(work)
        elif change <= -LIMIT:
            better.append(work)
    return table, worse, better


def report(known: Mapping[str, Figures], facts: Mapping[str, str], now: Figures) -> list[str]:
    """Prints how things stand and what to do; gives the works that have become worse."""
    table, worse, better = compare(known["works"], now)
    print("\n".join(table))
    for name, value in facts.items():
        if value != (before := known["taken with"].get(name)):
            print(f"The baseline was taken with {name} {before}; this is {value}.")
    if better:
        print(f"\nBetter by 10 % or more: {', '.join(better)}. `--update` keeps it; commit guard.json.")
    if worse:
        print(f"\nWorse by 10 % or more: {', '.join(worse)}. See where it goes: below, and `make flame`.")
        print("Where the cost is meant, `--update` writes a new baseline; commit guard.json and say why.")
    return worse


def main() -> int:
    from guard_works import WORKS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="WORK", choices=list(WORKS), help="these works alone")
    parser.add_argument("--update", action="store_true", help="make these figures the baseline")
    parser.add_argument(
        "--functions", action="store_true", help="show the most costly functions of each work"
    )
    given = parser.parse_args()
    wanted = [work for work in WORKS if not given.only or work in given.only]

    facts = conditions()
    costs = {}
    for work in wanted:
        print(f"counting {work} ...", file=sys.stderr, flush=True)
        costs[work] = measure(work, WORKS[work].count)
    now = {work: by_owner(costs[work]) for work in wanted}
    known = json.loads(BASELINE.read_text()) if BASELINE.exists() else {"taken with": {}, "works": {}}
    if given.update:
        # Those that were not measured stay, so that one of them can be written anew.
        works = {work: now.get(work) or known["works"].get(work) for work in WORKS}
        known = {"taken with": facts, "works": {work: row for work, row in works.items() if row}}
        BASELINE.write_text(json.dumps(known, indent=2) + "\n")
    if given.only:
        known["works"] = {work: row for work, row in known["works"].items() if work in wanted}
    worse = report(known, facts, now)
    for work in wanted if given.functions else worse:
        print(f"\n{work}: the instructions of our own functions", *most_costly(costs[work]), sep="\n")
    return 1 if worse else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Unable as why:
        print(f"bench-guard: {why}", file=sys.stderr)
        sys.exit(2)
