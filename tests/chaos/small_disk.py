"""A small disk, and what fills it."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import random
    from collections.abc import Generator
    from pathlib import Path


@contextmanager
def small_disk(at: Path, size: str = "24m") -> Generator[Path]:
    """A file system in memory."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk")
    at.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(at)]
    mounted = subprocess.run(mount, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted: {mounted.stderr.strip()}")
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


class Ballast:
    """A file that takes all the room there is."""

    def __init__(self, disk: Path) -> None:
        self._path = disk / "ballast"

    def fill(self) -> None:
        """The disk is full, down to the last page."""
        with self._path.open("ab", buffering=0) as file:
            for chunk in (1 << 20, 1 << 12):
                self._write(file.fileno(), bytes(chunk))

    def _write(self, file: int, data: bytes) -> None:
        try:
            while os.write(file, data):
                pass
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise

    def give(self, size: int) -> None:
        """Some bytes are free again."""
        left = self._path.stat().st_size - size
        os.truncate(self._path, max(0, left))

    def free(self) -> None:
        """All is free again."""
        self._path.unlink(missing_ok=True)

    def trouble(self, chance: random.Random, seconds: float) -> None:
        """Full for so long, and now and then there is room for a little."""
        for _ in range(chance.choice([1, 1, 4, 10])):
            self.fill()
            time.sleep(seconds / 4)
            if chance.random() < 0.5:
                self.give(chance.choice([1, 4096, 20_000, 100_000]))
                time.sleep(seconds / 8)
