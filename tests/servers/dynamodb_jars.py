"""DynamoDB Local as Maven brings it: into target/dynamodb-local, once for every version of its pom."""

from __future__ import annotations

import fcntl
import functools
import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

from .process import ServerFailed

ROOT = Path(__file__).parents[2]
POM = ROOT / "tests/dynamodb-local/pom.xml"
FOLDER = ROOT / "target/dynamodb-local"
# Seconds. Maven brings about 50 MB.
PATIENCE = 300
OLDEST_JAVA = 17


@functools.cache
def why_not() -> str:
    """What is missing for DynamoDB Local; empty if nothing is."""
    if _java_version() < OLDEST_JAVA:
        return f"there is no Java {OLDEST_JAVA} or newer"
    if not _is_complete() and shutil.which("mvn") is None:
        return "there is no Maven (mvn)"
    return ""


def version() -> str:
    """The version that the pom names."""
    namespaces = {"m": "http://maven.apache.org/POM/4.0.0"}
    named = ElementTree.parse(POM).findtext("m:dependencies/m:dependency/m:version", None, namespaces)
    if named is None:
        raise ServerFailed(f"{POM} names no version of DynamoDB Local")
    return named


def jars() -> Path:
    """The folder with the jars and the native libraries; brought if they are not there yet."""
    if not _is_complete():
        FOLDER.parent.mkdir(exist_ok=True)
        # Another test run may be at it.
        with FOLDER.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _is_complete():
                _bring()
    return FOLDER


def _is_complete() -> bool:
    # The pom is copied last.
    copy = FOLDER / POM.name
    return copy.is_file() and copy.read_bytes() == POM.read_bytes()


def _bring() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    command = ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies"]
    done = subprocess.run(
        [*command, "-DincludeScope=runtime", f"-DoutputDirectory={FOLDER}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
    )
    if done.returncode != 0:
        raise ServerFailed(f"Maven could not bring DynamoDB Local:\n{done.stdout}")
    shutil.copyfile(POM, FOLDER / POM.name)


def _java_version() -> int:
    java = shutil.which("java")
    if java is None:
        return 0
    done = subprocess.run([java, "-version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    found = re.search(r'version "(\d+)', done.stdout)
    return int(found[1]) if found else 0
