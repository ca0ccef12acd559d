"""Links that show a file's name, as is right on a forge, show the title of the page on the site."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Any

from docutils import nodes

if TYPE_CHECKING:
    from sphinx.application import Sphinx

FILE = re.compile(r"[\w./-]+\.md")


def show_titles(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put titles in the place of names, in one page."""
    pages = {app.builder.get_target_uri(page): page for page in app.env.titles}
    here = posixpath.dirname(app.builder.get_target_uri(docname))
    for link in doctree.findall(nodes.reference):
        if not link.get("internal") or not FILE.fullmatch(link.astext()):
            continue
        target = str(link.get("refuri", "")).partition("#")[0]
        page = pages.get(posixpath.normpath(posixpath.join(here, target)))
        if page is not None:
            link.clear()
            link += [child.deepcopy() for child in app.env.titles[page].children]


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("doctree-resolved", show_titles)
    return {"version": "1", "parallel_read_safe": True}
