"""All works by their names: first those on files, then those across a network."""

from __future__ import annotations

import remote
import workloads

WORKLOADS = {work.name: work for work in (*workloads.contenders(), *remote.contenders())}
