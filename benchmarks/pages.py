"""Puts the figures of the reference run into docs/performance.md: ``pages.py``, after ``make bench``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from report import factor, rate, shown

HERE = Path(__file__).resolve().parent
FIGURES = HERE / "results" / "figures.json"
PAGE = HERE.parent / "docs" / "performance.md"
MARKS = ("<!-- {} from benchmarks/results/figures.json, by benchmarks/pages.py -->", "<!-- end of {} -->")


def targets(figures: dict[str, Any]) -> list[str]:
    lines = ["| work | target | measured | |", "|---|---|---|---|"]
    for work in figures["works"]:
        for target in work["targets"]:
            mark = {True: "met", False: "**missed**", None: "not measured"}[target["met"]]
            lines.append(f"| {work['title']} | {target['target']} | {target['measured']} | {mark} |")
    return lines


def table(figures: dict[str, Any]) -> list[str]:
    lines = [
        "| work, contender | durability | a message | least to most | messages/s | TetherDB better by "
        "| CPU a message | peak memory |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for work in figures["works"]:
        lines.append(f"| **{work['title']}** (`{work['work']}`) | | | | | | | |")
        for at, row in enumerate(work["contenders"]):
            ratio, peak = row["tetherdb_is_better_by"], row["peak_bytes"]
            values = [run["value"] for run in row["runs"]]
            cells = (
                row["name"],
                row["durability"],
                shown(row["median"], work["unit"]),
                f"{shown(min(values), work['unit'])} to {shown(max(values), work['unit'])}",
                rate(row["median"], work["unit"]),
                f"{factor(ratio)} x" if at and ratio is not None else "",
                shown(row["cpu_seconds_per_message"], "message"),
                "" if peak is None else f"{peak / 2**20:.1f} MiB",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def facts(figures: dict[str, Any]) -> list[str]:
    return [f"- {name}: {fact}" for name, fact in figures["facts"].items()]


def filled(page: str, figures: dict[str, Any]) -> str:
    """The page with the figures between their marks."""
    for name, lines in (("facts", facts(figures)), ("targets", targets(figures)), ("table", table(figures))):
        begin, end = (mark.format(name) for mark in MARKS)
        before, rest = page.split(begin)
        after = rest.split(end)[1]
        page = "\n".join([f"{before}{begin}", *lines, f"{end}{after}"])
    return page


def main() -> None:
    PAGE.write_text(filled(PAGE.read_text(), json.loads(FIGURES.read_text())))
    print(f"Written to {PAGE}")


if __name__ == "__main__":
    main()
