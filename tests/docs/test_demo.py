"""examples/demo.py does the main job, and says so when something differs."""

from __future__ import annotations

import importlib.util
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "examples" / "demo.py"


@pytest.fixture(name="demo")
def load_demo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tetherdb_demo", DEMO)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(name="sources")
def make_sources(tmp_path: Path) -> Path:
    folder = tmp_path / "sources"
    (folder / "package").mkdir(parents=True)
    (folder / "site-packages").mkdir()
    (folder / "site-packages" / "foreign.py").write_text("x = 1\n")
    (folder / "empty.py").write_text("")
    (folder / "broken.py").write_text("def broken(:\n")
    (folder / "package" / "ünïcode.py").write_text("class A:\n    pass\n\n\nasync def b(): ...\n", "utf-8")
    (folder / "notes.txt").write_text("no source\n")
    return folder


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(DEMO), *arguments]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=110)


def test_it_catalogues_a_folder(sources: Path) -> None:
    ran = run("--folder", str(sources))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stderr == ""
    assert "README.md" in ran.stdout
    assert "3 records found through" in ran.stdout
    assert "All as documented: 3 records" in ran.stdout


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    ran = run("--folder", str(tmp_path))
    assert ran.returncode == 1
    assert "there are no source files in" in ran.stderr


def test_it_describes_sources(demo: ModuleType, sources: Path) -> None:
    names = [path.relative_to(sources).as_posix() for path in demo.source_files(sources)]
    assert names == ["broken.py", "empty.py", "package/ünïcode.py"]
    record = demo.describe(sources / "package" / "ünïcode.py", "name")
    assert (record["classes"], record["functions"], record["lines"]) == (["A"], ["b"], 5)
    assert demo.describe(sources / "broken.py", "name")["unreadable"] == "SyntaxError"


@pytest.mark.parametrize(
    "tamper",
    [
        "DELETE FROM Dict WHERE key = CAST('stdlib:empty.py' AS BLOB)",
        "UPDATE Dict SET value = CAST('{}' AS BLOB) WHERE key = CAST('stdlib:empty.py' AS BLOB)",
        "INSERT INTO Dict VALUES (CAST('stdlib:more' AS BLOB), CAST('' AS BLOB))",
    ],
)
def test_whatever_differs_is_noticed(tamper: str, demo: ModuleType, sources: Path, tmp_path: Path) -> None:
    records: dict[str, Any] = {}
    for path in demo.source_files(sources):
        name = path.relative_to(sources).as_posix()
        records[name] = demo.describe(path, name)
    database = tmp_path / "database"
    db = demo.DB({"local": {"filepath": str(database)}})
    demo.store(db, records)
    db.write_message("python", demo.platform.python_version(), bucket=demo.OTHER_BUCKET)
    demo.list_again(db, records)
    demo.read_again(db, records, sources)
    db.stop()
    demo.find_from_second_process(database, records)

    # Closed above: two copies of SQLite in one process must not have the same file open.
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(tamper)
        connection.commit()
    with pytest.raises(demo.Differs):
        demo.find_from_second_process(database, records)
    with pytest.raises(demo.Differs):
        demo.list_again(db, records)
    db.stop()


def test_the_second_process_needs_no_tetherdb_verbs(demo: ModuleType, tmp_path: Path) -> None:
    database = tmp_path / "database"
    with demo.DB({"local": {"filepath": str(database)}}) as db:
        db.write_message("key", {"a": 1}, bucket="b")
        db.flush()
        ran = run("--second-process", str(database))
    found = json.loads(ran.stdout)
    assert found.pop("how")
    assert found == {"b:key": '{"a": 1}'}
