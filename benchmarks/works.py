"""All works by their names: on files, large files, the journal, across a network, and from coroutines."""

from __future__ import annotations

import coroutines
import durable
import footprint
import remote
import scale
import workloads

ROOMS = (workloads, scale, durable, footprint, remote, coroutines)
WORKLOADS = {work.name: work for room in ROOMS for work in room.contenders()}
# What can be said instead of the names.
GROUPS = {
    group: [work.name for work in WORKLOADS.values() if group in work.groups]
    for group in dict.fromkeys(group for work in WORKLOADS.values() for group in work.groups)
}


def chosen(words: list[str]) -> list[str]:
    """The works that are named, one by one or as groups, separated by spaces or commas; all, if none is."""
    asked = [word for each in words for word in each.split(",") if word]
    unknown = [word for word in asked if word not in GROUPS and word not in WORKLOADS]
    if unknown:
        raise ValueError(f"no work and no group of works is called {unknown[0]!r}")
    wanted = {name for word in asked for name in GROUPS.get(word, [word])}
    return [name for name in WORKLOADS if not asked or name in wanted]
