"""The site: every page is reached, links and anchors hold, and the reference has all that is public."""

from __future__ import annotations

import html.parser
import inspect
import re
import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

import TetherDB
import TetherDB.types

from .doc_pages import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("sphinx", reason="the site is built with Sphinx")


@pytest.fixture(scope="module", name="site")
def build_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages, built as `make docs` does it; whatever is wrong is an error there."""
    folder = tmp_path_factory.mktemp("site")
    ran = build(ROOT, folder)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    return folder


def build(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-c", str(source / "docs")]
    command += ["-d", str(target / ".doctrees"), "-b", "html", str(source), str(target)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=150)


class Page(html.parser.HTMLParser):
    """The links and anchors of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if identity := found.get("id"):
            self.anchors.add(identity)
        if tag in ("a", "link") and (link := found.get("href")):
            (self.links if tag == "a" else self.loaded).append(link)
        if tag in ("script", "img") and (link := found.get("src")):
            self.loaded.append(link)


def test_every_link_leads_to_a_page_and_an_anchor(site: Path) -> None:
    pages = {path: Page(path) for path in site.rglob("*.html")}
    assert len(pages) > 20
    broken: list[str] = []
    for path, page in pages.items():
        for link in [*page.links, *page.loaded]:
            if link.startswith(("https://", "mailto:", "data:")):
                continue
            target, _, anchor = link.partition("#")
            there = (path.parent / unquote(target.partition("?")[0])).resolve() if target else path
            if not there.is_file() or (anchor and there in pages and anchor not in pages[there].anchors):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert broken == []


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    for path in site.rglob("*.html"):
        elsewhere = [link for link in Page(path).loaded if link.startswith(("http:", "https:", "//"))]
        assert elsewhere == [], path.name


def test_who_opens_the_folder_is_led_to_the_pages(site: Path) -> None:
    assert "docs/index.html" in (site / "index.html").read_text(encoding="utf-8")


def test_the_search_knows_the_pages_and_needs_no_server(site: Path) -> None:
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    for word in ("docs/queue", "README", "docs/reference/db", '"backpressur"', "write_queue_messag"):
        assert word in index, word


def test_the_reference_has_all_that_is_public(site: Path) -> None:
    anchors: set[str] = set()
    for path in (site / "docs" / "reference").glob("*.html"):
        anchors |= Page(path).anchors
    expected = {f"TetherDB.{name}" for name in TetherDB.__all__ if name != "__version__"}
    expected |= {f"TetherDB.types.{name}" for name in TetherDB.types.__all__}
    for owner in (TetherDB.DB, TetherDB.AsyncDB, TetherDB.Receipt):
        expected |= {f"TetherDB.{owner.__name__}.{name}" for name in dir(owner) if not name.startswith("_")}
    expected |= {"TetherDB.MessageIterator", "TetherDB.MessageMapping", "TetherDB.opentelemetry.instrument"}
    expected |= {"pytest_tetherdb.tetherdb", "pytest_tetherdb.tetherdb_config"}
    expected |= {"TetherDB.DeliveryError.failed", "TetherDB.BackendError.retryable"}
    assert expected - anchors == set()


def words(path: Path) -> str:
    """What a page says, without its tags, its spaces evened."""
    text = re.sub(r"<[^>]+>", " ", path.read_text(encoding="utf-8"))
    return " ".join(html.unescape(text).split())


def test_it_says_what_the_docstrings_say(site: Path) -> None:
    page = words(site / "docs" / "reference" / "db.html").replace("*", "")
    page = re.sub(r"\s", "", page)
    for name in dir(TetherDB.DB):
        if name.startswith("_"):
            continue
        document = inspect.getdoc(getattr(TetherDB.DB, name))
        assert document is not None
        first = document.partition("\n\n")[0]
        assert re.sub(r"\s", "", first) in page, name
    # All three forms, one below the other.
    assert page.count("write_queue_message(key:str,value:Storable,") == 3


def test_aliases_are_written_out(site: Path) -> None:
    page = words(site / "docs" / "reference" / "exceptions.html").replace(" ", "")
    assert "failed:list[tuple[str,str|dict[str,Any],str,BaseException]]" in page
    types = words(site / "docs" / "reference" / "types.html").replace(" ", "")
    assert re.search(r"classConfig\W*ATypedDict", types)


@pytest.mark.parametrize(
    ("page", "complaint"),
    [
        ("See [there](nowhere.md).", "nowhere.md"),
        ("See [there](other.md#no-such-heading).", "no-such-heading"),
        ("```{stub} TetherDB._tetherdb\n:names: NoSuchName\n```", "NoSuchName"),
        ("```json\n{no json\n```", "Lexing"),
    ],
)
def test_what_is_wrong_ends_the_build(page: str, complaint: str, tmp_path: Path) -> None:
    source = tmp_path / "project"
    (source / "docs").mkdir(parents=True)
    for name in ("docs/conf.py", "docs/extensions", "docs/static"):
        (source / name).symlink_to(ROOT / name)
    (source / "docs" / "index.md").write_text("# All\n\n```{toctree}\nother\n```\n\n" + page + "\n")
    (source / "docs" / "other.md").write_text("# Other\n")
    ran = build(source, tmp_path / "site")
    assert ran.returncode != 0
    assert complaint in ran.stderr


def test_a_link_shows_the_title_of_its_page(site: Path) -> None:
    for path in (site / "README.html", *(site / "docs").glob("*.html")):
        shown = re.findall(r'<a class="reference internal"[^>]*>(.*?)</a>', path.read_text(encoding="utf-8"))
        assert [text for text in shown if re.search(r"\.md\b", text)] == [], path.name
