"""Configurations of the queue, chosen at random: tiny and huge, patient and hasty."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from pathlib import Path

SYNCS = ["always", "interval", "never"]


def queue_config(chance: random.Random, journal: Path | None = None) -> dict[str, Any]:
    """The section `queue_batch`. What is given up is up to the suite."""
    config: dict[str, Any] = {
        "size": chance.choice([1, 2, 10, 25, 128, 1000]),
        "timeout": chance.choice([0.0, 0.005, 0.05, 600.0]),
        "max_pending": chance.choice([5, 300, 100_000, 100_000]),
        "max_pending_bytes": chance.choice([200_000, 64 << 20, 64 << 20]),
        "exit_timeout": 60,
        "retry": {"initial": 0.02, "max": 0.2},
    }
    if journal is not None:
        config |= {"journal": str(journal), "journal_sync": chance.choice(SYNCS)}
    return config


def is_tiny(config: dict[str, Any]) -> bool:
    """Whether not all that is given up may be kept."""
    small = config["max_pending"] < 100_000 or config["max_pending_bytes"] < 64 << 20
    return small and "journal" not in config
