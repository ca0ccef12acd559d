"""What the pages say fits the package: names, parameters, links."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any, cast

import pytest

import TetherDB
from TetherDB import DB, ConfigError

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
VERBS = [name for name in dir(DB) if not name.startswith("_")]
EXCEPTIONS = [
    name
    for name in TetherDB.__all__
    if isinstance(getattr(TetherDB, name), type) and issubclass(getattr(TetherDB, name), Exception)
]


def paths(value: Any, path: str = "") -> list[str]:
    """The keys of a configuration, by path."""
    if not isinstance(value, dict):
        return [path]
    section = cast("dict[str, Any]", value)
    return [leaf for key in section for leaf in paths(section[key], f"{path}.{key}".lstrip("."))]


@pytest.mark.parametrize("verb", VERBS)
def test_the_readme_gives_the_signature_of_each_verb(verb: str) -> None:
    signature = str(inspect.signature(getattr(DB, verb)))
    signature = re.sub(r"^\((\$?self|/)(, /)?(, )?", "(", signature).replace("'", '"')
    assert f"`{verb}{signature}`" in README


def test_the_readme_gives_the_signature_of_the_constructor() -> None:
    assert "`DB(config=None, config_file=None, *, on_error=None)`" in README


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_each_exception_is_documented(name: str) -> None:
    row = re.search(rf"^\| `{name}` \|([^|]*)\|", README, re.MULTILINE)
    assert row is not None
    exception = getattr(TetherDB, name)
    bases = {base.__name__ for base in exception.__bases__} - {"TetherDBError"}
    assert set(re.findall(r"`(\w+)`", row[1])) == bases
    assert f"`{name}`" in (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")


def test_every_exported_name_is_in_the_readme() -> None:
    missing = [name for name in TetherDB.__all__ if name not in README and name != "__version__"]
    assert missing == []


def test_every_key_of_the_configuration_is_documented() -> None:
    config = json.loads((ROOT / "config.example.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    for path in paths(config):
        section, _, key = path.partition(".")
        assert f"`{key or section}`" in page, path
        assert f"`{path}`" in README, path


@pytest.mark.parametrize("section", ["dynamodb", "etcd"])
def test_every_key_of_a_remote_section_is_documented(section: str) -> None:
    # The engine names all that it knows where nothing is like a key.
    with pytest.raises(ConfigError) as told:
        DB({section: {"x" * 40: 1}})
    known = re.search(r"Known here: (.*)\.", str(told.value))
    assert known is not None
    keys = known[1].split(", ")
    assert len(keys) >= 7
    pages = [ROOT / "docs" / "configuration.md", ROOT / "docs" / f"{section}.md"]
    for key in keys:
        assert f"`{section}.{key}`" in README, key
        for page in pages:
            assert f"`{key}`" in page.read_text(encoding="utf-8"), (page.name, key)


def test_the_accounts_are_documented() -> None:
    (accounts,) = DB().stats().values()
    for name in accounts:
        assert f"`{name}`" in README, name


def anchors(text: str) -> set[str]:
    """The anchors that a page's headings get."""
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", outside, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))
    for link in links:
        if link.startswith("https://"):
            continue
        target, _, anchor = link.partition("#")
        linked = (page.parent / target) if target else page
        assert linked.is_file(), link
        if anchor:
            assert anchor in anchors(linked.read_text(encoding="utf-8")), link


def test_the_version_is_in_the_changelog() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{TetherDB.__version__}]" in changelog


def test_the_readme_is_read_in_three_minutes() -> None:
    """What stands above the programs and tables: some 250 words a minute, its code and tables aside."""
    above, found, _ = README.partition("\n## The same on each backend\n")
    assert found
    text = re.sub(r"^```.*?^```$", "", above, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^\|.*$", "", text, flags=re.MULTILINE)
    assert len(text.split()) <= 750
    assert len(above.splitlines()) <= 200
