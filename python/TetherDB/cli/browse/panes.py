"""The parts of the window: places, keys, the value, and how queue and journal are doing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.highlight import highlight
from textual.widgets import Input, Static

from TetherDB.cli.browse import pretty
from TetherDB.cli.browse.places import Found, Place, bucket_of
from TetherDB.cli.browse.queues import ACCOUNTS
from TetherDB.cli.browse.rows import Rows
from TetherDB.cli.output import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from TetherDB.cli.browse.listing import Listing


def short(text: str, width: int) -> str:
    """A text in so many cells, with … where it is cut."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(0, width - 1)).rstrip() + "…"


class PlaceRows(Rows):
    """The backends, and below each what was found in it."""

    def __init__(self) -> None:
        """Shows nothing yet."""
        super().__init__(id="places")
        self.places: list[Place] = []
        self.chosen: Place | None = None
        self._found: Mapping[str, Found] = {}

    def show(self, found: Mapping[str, Found]) -> None:
        """What is known by now. The cursor stays on its place."""
        under = self.places[self.cursor] if self.cursor < len(self.places) else None
        self._found = found
        self.places = [place for backend in found.values() for place in backend.places()]
        self.set_count(len(self.places))
        if under in self.places:
            self.cursor = self.places.index(under)
        self.clamp()

    def text(self, row: int, width: int) -> Text:
        """A name, and at the right how many keys."""
        place = self.places[row]
        found = self._found[place.backend]
        if place.bucket is None:
            name, count = place.backend, self._state(found)
        else:
            name = f"  {printable(place.bucket) or '(no bucket)'}"
            count = f"{found.counts.get(place.bucket, 0):,}"
        room = width - cell_len(count) - 3
        name = short(name, max(room, 4))
        mark = "▸" if place == self.chosen else " "
        line = Text(f"{mark}{name}", no_wrap=True, end="")
        if place == self.chosen:
            line.stylize(self.get_component_rich_style("rows--chosen", partial=True))
        elif place.bucket is None:
            line.stylize("bold")
        line.append(" " * max(1, width - 2 - cell_len(name) - cell_len(count)))
        bad = place.bucket is None and found.error is not None
        line.append(count, self.get_component_rich_style("rows--bad" if bad else "rows--dim", partial=True))
        return line

    @staticmethod
    def _state(found: Found) -> str:
        if found.error is not None:
            return "failed"
        more = {"scanning": "…", "stopped": "+"}.get(found.state, "")
        return "s: scan" if found.state == "unknown" else f"{found.keys:,}{more}"


class KeyRows(Rows):
    """The keys of what was chosen."""

    def __init__(self) -> None:
        """Shows nothing yet."""
        super().__init__(id="keys")
        self.listing: Listing | None = None

    def show(self, listing: Listing) -> None:
        """What is loaded by now."""
        if listing is not self.listing:
            self.listing = listing
            self.cursor = 0
            self.scroll_to(y=0, animate=False, immediate=True)
        self.set_count(listing.rows)

    def key(self) -> str | None:
        """The stored key under the cursor."""
        return self.listing.key(self.cursor) if self.listing else None

    def text(self, row: int, width: int) -> Text:
        """A key; without its bucket, where that was chosen."""
        key = self.listing.key(row) if self.listing else None
        if self.listing is None or key is None:
            return Text(" …", no_wrap=True, end="")
        shown = self.listing.place.shown(key)
        # Nobody sees more of a long one.
        name = short(printable(shown[: width * 2]), width - 2)
        line = Text(f" {name}", no_wrap=True, end="")
        bucket = bucket_of(key)
        if bucket and shown == key:
            line.stylize(
                self.get_component_rich_style("rows--dim", partial=True), 1, len(printable(bucket)) + 2
            )
        return line


class KeyPane(Vertical):
    """Search, keys, and how many."""

    def compose(self) -> ComposeResult:
        """Its parts."""
        yield Input(placeholder="/ to search", id="search", compact=True, select_on_focus=False)
        yield Static("", id="key-problem", classes="problem", markup=False)
        yield KeyRows()
        yield Static("", id="key-count", classes="remark", markup=False)

    def on_mount(self) -> None:
        """Its title."""
        self.border_title = "keys"

    def problem(self, text: str | None) -> None:
        """Why there are no keys; None: there are."""
        shown = self.query_one("#key-problem", Static)
        shown.display = text is not None
        shown.update(text or "")

    def remark(self, text: str) -> None:
        """How many, and whether it goes on."""
        self.query_one("#key-count", Static).update(text)


class ValuePane(Vertical):
    """One record."""

    def compose(self) -> ComposeResult:
        """Its parts."""
        yield Static("", id="about", markup=False)
        with VerticalScroll(id="value-scroll"):
            yield Static("", id="value", markup=False)

    def on_mount(self) -> None:
        """Its title."""
        self.border_title = "value"

    def nothing(self, text: str = "", *, bad: bool = False) -> None:
        """There is no value, for this reason."""
        about = self.query_one("#about", Static)
        about.update("")
        about.display = False
        body = self.query_one("#value", Static)
        body.set_class(bad, "problem")
        body.update(text)

    def show(self, place: Place, key: str, text: str, shown: pretty.Shown) -> None:
        """A value, and what is to say of it."""
        bucket = bucket_of(key)
        kind = "JSON" if shown.is_json else "text"
        names = {
            "key": printable(key[len(bucket) + 1 :] if bucket else key),
            "bucket": printable(bucket) or "none",
            "backend": place.backend,
            "size": f"{pretty.size_of(text)}, {kind}",
        }
        about = Content("\n").join(
            Content.assemble((f"{name:<8}", "$foreground 60%"), (value, "bold" if name == "key" else ""))
            for name, value in names.items()
        )
        head = self.query_one("#about", Static)
        head.update(about)
        head.display = True
        content = highlight(shown.text, language="json") if shown.is_json else Content(shown.text)
        if not text:
            content = Content.assemble(("the empty text", "$foreground 60% italic"))
        if shown.left_out:
            remark = f"\n… {shown.left_out:,} more characters are not shown. All of it: tetherdb get"
            content = Content.assemble(content, (remark, "$text-warning"))
        body = self.query_one("#value", Static)
        body.set_class(False, "problem")
        body.update(content)
        self.query_one("#value-scroll").scroll_home(animate=False)


class StatusPane(Static):
    """The queue of each backend, and the journal."""

    def __init__(self) -> None:
        """Shows nothing yet."""
        super().__init__("", id="status", markup=False)

    def show(self, queues: Sequence[tuple[str, list[int], str]], journal: str) -> None:
        """What they are by now."""
        head = f"{'queue':<9}" + "".join(f"{name:>11}" for name in ACCOUNTS)
        lines: list[Content] = [Content.styled(f"{head}  last error", "$foreground 60%")]
        for backend, accounts, error in queues:
            numbers = [Content(f"{backend:<9}")]
            for name, number in zip(ACCOUNTS, accounts, strict=True):
                style = "$text-error" if name == "failed" and number else ""
                numbers.append(Content.styled(f"{number:>11,}", style))
            numbers.append(Content.styled(f"  {error or '-'}", "$text-error" if error else "$foreground 60%"))
            lines.append(Content("").join(numbers))
        lines.append(Content.assemble(("journal  ", "$foreground 60%"), journal))
        self.update(Content("\n").join(lines))
