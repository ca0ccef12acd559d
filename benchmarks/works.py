"""All works by their names: those on files, those of the journal, then those across a network."""

from __future__ import annotations

import durable
import remote
import workloads

WORKLOADS = {
    work.name: work for work in (*workloads.contenders(), *durable.contenders(), *remote.contenders())
}
