"""The figures of a run, as a table and as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from contest import Contender, Target, Workload

LEAST_WIDTH = 160


@dataclass
class Row:
    """One contender's measurements."""

    contender: Contender
    runs: list[dict[str, Any]] = field(default_factory=list)

    def middle(self, name: str = "value") -> float | None:
        values = [run[name] for run in self.runs if run.get(name) is not None]
        return median(values) if values else None

    def per_message(self, name: str) -> float | None:
        values = [run[name] / run["count"] for run in self.runs if run.get(name) is not None]
        return median(values) if values else None


@dataclass
class Section:
    """One work: TetherDB first, then the others (on a large file: TetherDB on it, too)."""

    work: Workload
    rows: list[Row]

    def ratio(self, row: Row, *, cpu: bool = False) -> float | None:
        """How many times the value of TetherDB this one's is: above 1, TetherDB is better."""
        if cpu:
            mine, other = (each.per_message("cpu_seconds") for each in (self.rows[0], row))
        else:
            mine, other = self.rows[0].middle(), row.middle()
        return other / mine if mine and other else None

    def verdict(self, target: Target) -> tuple[str, str, bool | None]:
        """What is aimed at, what was measured, and whether it is met."""
        if target.rivals:
            sign = "≤" if target.at_most else "≥"
            aim = f"{sign} {target.factor:g} x {target.label or target.rivals[0]}"
            if target.cpu:
                aim += ", in CPU"
            ratios = {
                row.contender.name: ratio
                for row in self.rows
                if row.contender.name in target.rivals
                and (ratio := self.ratio(row, cpu=target.cpu)) is not None
            }
            if not ratios:
                return aim, "not measured", None
            best = min(ratios, key=ratios.__getitem__)
            measured = f"{factor(ratios[best])} x"
            if len(target.rivals) > 1:
                measured += f" ({best.removeprefix(target.label).lstrip(', ')})"
            met = ratios[best] <= target.factor if target.at_most else ratios[best] >= target.factor
            return aim, measured, met
        value = self.rows[0].middle()
        if value is None:
            return f"≤ {shown(target.factor, self.work.unit)}", "not measured", None
        return (
            f"≤ {shown(target.factor, self.work.unit)}",
            shown(value, self.work.unit),
            value <= target.factor,
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "work": self.work.name,
            "title": self.work.title,
            "unit": self.work.unit,
            "contenders": [
                {
                    "name": row.contender.name,
                    "durability": row.contender.durability,
                    "median": row.middle(),
                    "tetherdb_is_better_by": self.ratio(row),
                    "cpu_seconds_per_message": row.per_message("cpu_seconds"),
                    "peak_bytes": row.middle("peak_bytes"),
                    "runs": row.runs,
                }
                for row in self.rows
            ],
            "targets": [
                dict(zip(("target", "measured", "met"), self.verdict(target), strict=True))
                for target in self.work.targets
            ],
        }


def shown(value: float | None, unit: str) -> str:
    """A value as people read it."""
    if value is None:
        return ""
    if unit in ("MiB", "MB"):
        return f"{value:.1f} {unit}"
    if unit == "x payload":
        return f"{value:.2f} x"
    if unit.startswith("%"):
        return f"{value:.2f} {unit}"
    for factor, name in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if value * factor >= 1:
            return f"{value * factor:.3g} {name}"
    return f"{value * 1e9:.0f} ns"


def factor(value: float) -> str:
    """A ratio, in three digits."""
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}".replace(",", " ")


def rate(value: float | None, unit: str) -> str:
    if unit != "message" or not value:
        return ""
    return f"{1 / value:,.0f}".replace(",", " ")


def spread(row: Row, unit: str) -> str:
    values = [run["value"] for run in row.runs]
    return f"{shown(min(values), unit)} to {shown(max(values), unit)}" if values else ""


def print_report(sections: list[Section], facts: dict[str, str]) -> None:
    console = Console()
    if console.width < LEAST_WIDTH and not console.is_terminal:
        console = Console(width=LEAST_WIDTH)
    for name, fact in facts.items():
        console.print(f"[dim]{name}:[/] {fact}", highlight=False)
    console.print(_figures(sections))
    console.print(_targets(sections))


def _figures(sections: list[Section]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title="Figures (median of the repetitions)", title_justify="left")
    table.add_column("work, contender", no_wrap=True)
    table.add_column("durability", no_wrap=True)
    for name in (
        "a message",
        "spread",
        "messages/s",
        "TetherDB\nbetter by",
        "CPU\na message",
        "peak\nmemory",
    ):
        table.add_column(name, justify="right", no_wrap=True)
    for section in sections:
        unit = section.work.unit
        table.add_row(f"[bold]{section.work.title}[/]")
        for row in section.rows:
            ratio = section.ratio(row)
            peak = row.middle("peak_bytes")
            first = row is section.rows[0]
            table.add_row(
                f"  {row.contender.name}",
                row.contender.durability,
                shown(row.middle(), unit),
                spread(row, unit),
                rate(row.middle(), unit),
                "" if first or ratio is None else f"{factor(ratio)} x",
                shown(row.per_message("cpu_seconds"), "message"),
                "" if peak is None else f"{peak / 2**20:.1f} MiB",
                style="cyan" if first else None,
                end_section=row is section.rows[-1],
            )
    return table


def _targets(sections: list[Section]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title="Targets", title_justify="left")
    for name in ("work", "target", "measured", ""):
        table.add_column(name, no_wrap=True)
    for section in sections:
        for target in section.work.targets:
            aim, measured, met = section.verdict(target)
            mark = {True: "[green]met[/]", False: "[red]missed[/]", None: "[yellow]unknown[/]"}[met]
            table.add_row(section.work.title, aim, measured, mark)
    return table
