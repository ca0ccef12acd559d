"""Draws the chart of docs/performance.md from the figures of a run: ``chart.py FIGURES.json CHART.svg``."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The works that are shown, in two columns, each with its heading.
COLUMNS = (
    {
        "enqueue": "hand a message to the queue",
        "queued": "queue many, until all are on disk",
        "write-many": "write many in one call",
        "write": "write one, durably",
        "write-threads": "write one, durably, 16 threads",
        "journal": "queue one in a journal, durably",
    },
    {
        "read": "read one",
        "read-many": "read many in one call",
        "iterate": "iterate over all",
        "etcd-queued": "etcd: queue many, until there",
        "etcd-write": "etcd: write one",
        "etcd-read": "etcd: read one",
        "dynamodb-queued": "DynamoDB: queue many, until there",
        "dynamodb-write": "DynamoDB: write one",
        "dynamodb-read": "DynamoDB: read one",
    },
)
FASTER, SLOWER, INK, PALE = "#0f766e", "#c2703d", "#1f2328", "#d0d7de"
# In inches: a row, what is above and below the rows, a column's names and its bars, and what is beside them.
ROW, TOP, BOTTOM, NAMES, BARS, MARGIN = 0.21, 0.7, 0.85, 3.0, 3.2, 0.2
# Those that are no peers: limits, which nobody can pass, and what never reaches the disk.
NO_PEER = ("raw ", "dbm.open per write")


@dataclass(frozen=True)
class Group:
    heading: str
    # The peers, and how many times as long as TetherDB they take.
    bars: list[tuple[str, float]]


def groups(figures: dict[str, Any], headings: dict[str, str]) -> list[Group]:
    works = {work["work"]: work for work in figures["works"]}
    found = []
    for name, heading in headings.items():
        bars = [
            (contender["name"], contender["tetherdb_is_better_by"])
            for contender in works.get(name, {"contenders": []})["contenders"][1:]
            if contender["tetherdb_is_better_by"] and not contender["name"].startswith(NO_PEER)
        ]
        if bars:
            found.append(Group(heading, sorted(bars, key=lambda bar: -bar[1])))
    return found


def draw(figures: dict[str, Any], target: Path) -> bool:
    """Draws what there is; whether there was anything."""
    columns = [column for headings in COLUMNS if (column := groups(figures, headings))]
    if not columns:
        return False
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # The same figures give the same file; text is drawn as paths, since fonts differ from reader to reader.
    mpl.rcParams["svg.hashsalt"] = "tetherdb"
    rows = max(sum(len(group.bars) + 1 for group in column) for column in columns)
    height = TOP + rows * ROW + BOTTOM
    width = MARGIN + len(columns) * (NAMES + BARS + MARGIN)
    figure = Figure(figsize=(width, height), facecolor="white")
    values = [value for column in columns for group in column for _, value in group.bars]
    # Room for the number beside the longest bar.
    limits = min(0.5, min(values) * 0.8), max(values) * 5
    for at, column in enumerate(columns):
        left = MARGIN + at * (NAMES + BARS + MARGIN) + NAMES
        place = (left / width, BOTTOM / height, BARS / width, rows * ROW / height)
        draw_column(figure.add_axes(place), column, rows, limits)
    title = "TetherDB's speed, as a multiple of each peer's"
    at_left = MARGIN / width
    figure.text(at_left, 1 - 0.35 / height, title, size=15, weight="bold", color=INK, va="center")
    facts = figures["facts"]
    machine = f"{facts['machine'].split('-')[0]}, Python {facts['Python']}, {facts['date']}"
    caption = "Above 1, TetherDB is faster. 100-byte messages; servers on the same machine. "
    caption += f"{machine}. What is on disk when: docs/performance.md"
    figure.text(at_left, 0.2 / height, caption, size=9, color=INK, va="center")
    # Without a date, so that the same figures give the same file.
    metadata = {"Date": None} if target.suffix == ".svg" else {}
    figure.savefig(target, format=target.suffix[1:], dpi=100, metadata=metadata)
    return True


def draw_column(axes: Axes, column: list[Group], rows: int, limits: tuple[float, float]) -> None:
    """Groups below each other; a bar begins at 1, where both are as fast."""
    place = 0
    places, names = [], []
    for group in column:
        # From the left edge of the names on, where nothing else is.
        where = {"transform": axes.get_yaxis_transform(), "va": "center", "ha": "left"}
        axes.text(-NAMES / BARS, place, group.heading, size=10, weight="bold", color=INK, **where)
        for name, value in group.bars:
            place += 1
            places.append(place)
            names.append(name)
            axes.barh(place, value - 1, left=1, height=0.7, color=FASTER if value >= 1 else SLOWER)
            axes.text(max(value, 1) * 1.08, place, number(value), size=9, color=INK, va="center")
        place += 1
    axes.set_yticks(places, names, size=9, color=INK)
    axes.set_ylim(rows - 0.4, -0.6)
    axes.set_xscale("log")
    axes.set_xlim(*limits)
    axes.xaxis.set_major_formatter(lambda value, _: number(value))
    axes.set_xlabel("times as fast as the peer (log scale)", color=INK, size=9)
    axes.tick_params(axis="x", colors=INK, labelsize=9)
    axes.tick_params(axis="x", which="minor", length=0)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=PALE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.axvline(1, color=INK, linewidth=0.9)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)


def number(value: float) -> str:
    """Without an exponent; exactest near 1, where it decides who is faster."""
    if value >= 10:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.2g}" if value >= 2 else f"{value:.3g}"


if __name__ == "__main__":
    if not draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])):
        sys.exit("none of the works of the chart is in these figures")
