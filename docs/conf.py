"""The site of the documentation: ``make docs``.

Its root is the project's folder, so that the README and the other pages beside it are pages of the site, and
a link between two pages is the same here and on a forge. Nothing is fetched: not while it is built, nor when
it is read.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "extensions"))

project = "TetherDB"
author = "the TetherDB contributors"
copyright = author  # noqa: A001 (so Sphinx wants it)
release = version = tomllib.loads((HERE.parent / "Cargo.toml").read_text(encoding="utf-8"))["package"][
    "version"
]

extensions = ["myst_parser", "page_titles", "sphinx_copybutton", "stub_reference"]
root_doc = "docs/index"
include_patterns = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "benchmarks/README.md",
    "docs/**.md",
]
# Not to be looked into: large, and nothing of it is a page.
exclude_patterns = ["target", ".venv*", "dist", ".git", "**/node_modules", "tests", "src"]

# The anchors of headings, as forges make them.
myst_heading_anchors = 4
myst_enable_extensions = ["deflist"]

# Every name in a signature leads somewhere, but for Python's own, which would need the network.
nitpicky = True
nitpick_ignore = [
    ("py:class", name)
    for name in (
        "TetherDB.types.AnyTypedDict",
        "D",
        "Default",
        "MutableMapping",
        "P",
        "PathLike",
        "SupportsKeysAndGetItem",
        "TracebackType",
        "metrics.MeterProvider",
    )
]
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
add_module_names = False
toc_object_entries_show_parents = "hide"

# Quotes in a docstring are code.
smartquotes = False

html_theme = "furo"
html_title = f"TetherDB {release}"
html_static_path = ["static"]
html_css_files = ["tetherdb.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "friendly"
pygments_dark_style = "github-dark"

# A copied dialogue is what a reader would type.
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"

FIRST_PAGE = """<!doctype html>
<meta charset="utf-8">
<title>TetherDB</title>
<meta http-equiv="refresh" content="0; url=docs/index.html">
<a href="docs/index.html">TetherDB's documentation</a>
"""


def write_first_page(app: Sphinx, failure: Exception | None) -> None:
    """The pages lie in folders as they do in the project; whoever opens the site's own folder is sent on."""
    if failure is None and app.builder.format == "html":
        (Path(app.outdir) / "index.html").write_text(FIRST_PAGE, encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("build-finished", write_first_page)
