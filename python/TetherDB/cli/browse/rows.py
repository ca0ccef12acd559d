"""A list of any length with a cursor: only the rows that are seen are asked for and drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

if TYPE_CHECKING:
    from rich.text import Text
    from textual import events


class Rows(ScrollView, can_focus=True):
    """Whoever uses it says how many rows there are, and what is in each."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "rows--cursor",
        "rows--cursor-elsewhere",
        "rows--dim",
        "rows--chosen",
        "rows--bad",
    }
    BINDINGS: ClassVar = [
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home", "first", show=False),
        Binding("end", "last", show=False),
        Binding("enter", "choose", show=False),
    ]
    DEFAULT_CSS = """
    Rows {
        overflow-x: hidden;
        scrollbar-size-vertical: 1;
        & > .rows--cursor { background: $primary; color: $text; text-style: bold; }
        & > .rows--cursor-elsewhere { background: $surface-lighten-2; }
        & > .rows--dim { color: $foreground 60%; }
        & > .rows--chosen { color: $text-accent; text-style: bold; }
        & > .rows--bad { color: $text-error; }
    }
    """

    class Moved(Message):
        """The cursor is on another row, or the rows have changed under it."""

        def __init__(self, rows: Rows) -> None:
            """rows: whose cursor it is."""
            super().__init__()
            self.rows = rows

        @property
        def control(self) -> Rows:
            """Whose cursor it is."""
            return self.rows

    class Chosen(Moved):
        """Enter, or a click."""

    class Seen(Moved):
        """Other rows are to be seen than before."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 -- as textual has it
        """id: as styles call it."""
        super().__init__(id=id)
        # What cuts a text into styled parts; what it would draw on does not matter.
        self._drawing = Console()
        self.count = 0
        self.cursor = 0

    def text(self, row: int, width: int) -> Text:
        """What is in a row."""
        raise NotImplementedError

    @property
    def seen(self) -> tuple[int, int]:
        """The first and the last row that there is room for."""
        top = int(self.scroll_offset.y)
        return top, top + max(1, self.size.height) - 1

    def set_count(self, count: int) -> None:
        """The rows have changed."""
        self.count = count
        self.virtual_size = Size(self.size.width, count)
        self.refresh()

    def clamp(self) -> None:
        """Puts the cursor on a row that there is."""
        self.cursor = max(0, min(self.cursor, self.count - 1))

    def move_to(self, row: int) -> None:
        """Puts the cursor on a row, and shows it."""
        self.cursor = row
        self.clamp()
        self.scroll_to_region(
            Region(0, self.cursor, 1, 1), animate=False, force=True, immediate=True, x_axis=False
        )
        self.refresh()
        self.post_message(self.Moved(self))

    def action_move(self, by: int) -> None:
        """One row up or down."""
        self.move_to(self.cursor + by)

    def action_page(self, by: int) -> None:
        """A screen up or down."""
        self.move_to(self.cursor + by * max(1, self.size.height - 1))

    def action_first(self) -> None:
        """To the top."""
        self.move_to(0)

    def action_last(self) -> None:
        """To the last row that is loaded."""
        self.move_to(self.count - 1)

    def action_choose(self) -> None:
        """Enter."""
        if self.count:
            self.post_message(self.Chosen(self))

    def on_click(self, event: events.Click) -> None:
        """Moves the cursor there, and chooses."""
        row = int(event.y + self.scroll_offset.y)
        if row < self.count:
            self.move_to(row)
            self.post_message(self.Chosen(self))

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Other rows may have to be fetched."""
        super().watch_scroll_y(old_value, new_value)
        self.post_message(self.Seen(self))

    def on_resize(self) -> None:
        """The same."""
        self.virtual_size = Size(self.size.width, self.count)
        self.post_message(self.Seen(self))

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        row, width = y + int(self.scroll_offset.y), self.size.width
        base = self.rich_style
        if row >= self.count:
            return Strip.blank(width, base)
        style = base
        if row == self.cursor:
            name = "rows--cursor" if self.has_focus else "rows--cursor-elsewhere"
            style = self.get_component_rich_style(name)
        text = self.text(row, width)
        segments = [
            Segment(part.text, style + part.style if isinstance(part.style, Style) else style)
            for part in text.render(self._drawing)
            if not part.control
        ]
        return Strip(segments).adjust_cell_length(width, style)
