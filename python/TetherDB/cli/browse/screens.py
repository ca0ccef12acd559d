"""What opens over the window: help, questions, and the editor."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple, cast

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.markup import escape
from textual.screen import ModalScreen
from textual.widgets import Button, Checkbox, Input, Static, TextArea

from TetherDB.cli.browse.records import WrongText, parse

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from textual.app import App

KEYS = (
    ("tab, shift+tab", "to the next pane, or back"),
    ("arrows, pgup, pgdn, home, end", "move; more keys are loaded at the end"),
    ("enter", "choose what the cursor is on"),
    ("/", "search in keys: what begins with the text comes first; in DynamoDB enter begins it"),
    ("esc", "clear the search"),
    ("c, C", "copy the value, or the key"),
    ("r", "read again what is shown; try a backend again"),
    ("s", "scan a backend for its buckets, or stop that; in DynamoDB it reads the whole table"),
    ("e, n, d", "edit, make, delete a key: only with --write"),
    ("?", "this help"),
    ("q, ctrl+c", "quit"),
)


class Help(ModalScreen[None]):
    """The keys."""

    BINDINGS: ClassVar = [Binding("escape,q,question_mark,enter", "dismiss", "Close")]

    def compose(self) -> ComposeResult:
        """A table."""
        with VerticalScroll(classes="dialog", id="help") as box:
            box.border_title = "keys"
            box.border_subtitle = "esc closes"
            for keys, meaning in KEYS:
                with Horizontal(classes="line"):
                    yield Static(keys, classes="key", markup=False)
                    yield Static(meaning, classes="meaning", markup=False)


class Question(ModalScreen[bool]):
    """Asks before something is changed. Enter does not say yes."""

    BINDINGS: ClassVar = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape", "answer(False)", "No"),
        Binding("left,right", "app.focus_next", show=False),
    ]

    def __init__(self, question: str, lines: Sequence[str] = (), *, yes: str = "Yes") -> None:
        """question: one sentence. lines: what it is about; those with + and - are coloured."""
        super().__init__()
        self.question, self._lines, self._yes = question, lines, yes

    def compose(self) -> ComposeResult:
        """The question, what it is about, two buttons."""
        with Vertical(classes="dialog", id="question"):
            yield Static(self.question, id="asked", markup=False)
            if self._lines:
                with VerticalScroll(id="asked-about"):
                    yield Static(Content("\n").join(_coloured(line) for line in self._lines))
            with Horizontal(classes="buttons"):
                yield Button(Content("No (n)"), id="no", compact=True)
                yield Button(Content(f"{self._yes} (y)"), id="yes", variant="error", compact=True)

    def on_mount(self) -> None:
        """The harmless one."""
        self.query_one("#no").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """The answer."""
        self.dismiss(event.button.id == "yes")

    def action_answer(self, yes: bool) -> None:
        """The answer."""
        self.dismiss(yes)


def _coloured(line: str) -> Content:
    style = {"+": "$text-success", "-": "$text-error"}.get(line[:1], "")
    return Content.styled(line, style)


class Mark(Checkbox):
    """A box that is empty where it is off: colour alone would not say it."""

    def watch_value(self) -> None:
        """Fills or empties it."""
        self.BUTTON_INNER = "X" if self.value else " "
        super().watch_value()


class Typed(NamedTuple):
    """What the editor gives."""

    key: str
    value: str | dict[str, Any]


class Editor(ModalScreen[Typed | None]):
    """A value as text; with a key where it is a new one."""

    BINDINGS: ClassVar = [
        Binding("ctrl+s", "save", "Save", priority=True),
        Binding("escape", "leave", "Cancel", priority=True),
    ]

    def __init__(
        self, title: str, key: str, text: str, *, as_json: bool, new: bool, typed: bool = False
    ) -> None:
        """key: the stored one, or for a new one what it begins with. typed: leaving would lose this text."""
        super().__init__()
        self._typed = typed
        self._heading, self._key, self._text, self._as_json, self._new = title, key, text, as_json, new

    def compose(self) -> ComposeResult:
        """Key, text, what is wrong with it."""
        with Vertical(classes="dialog", id="editor") as box:
            box.border_title = escape(self._heading)
            box.border_subtitle = "ctrl+s saves, esc cancels"
            if self._new:
                yield Input(self._key, placeholder="key, or bucket:key", id="new-key", select_on_focus=False)
            yield TextArea(self._text, id="text", show_line_numbers=True, tab_behavior="focus")
            yield Mark("JSON: the text is checked, and stored as json.dumps has it", self._as_json, id="json")
            yield Static("", id="wrong", classes="problem", markup=False)

    @property
    def is_changed(self) -> bool:
        """Whether something was typed."""
        typed_key = self._new and self.query_one("#new-key", Input).value != self._key
        return self._typed or typed_key or self.query_one(TextArea).text != self._text

    def on_mount(self) -> None:
        """Begins where something is to be typed."""
        self.query_one("#new-key" if self._new else "#text").focus()

    def action_save(self) -> None:
        """Checks, and hands over. What happens then asks."""
        key = self.query_one("#new-key", Input).value if self._new else self._key
        wrong = self.query_one("#wrong", Static)
        if not key:
            wrong.update("The key is empty.")
            return
        try:
            value = parse(self.query_one(TextArea).text, as_json=self.query_one(Checkbox).value)
        except WrongText as error:
            wrong.update(str(error))
            return
        wrong.update("")
        self.dismiss(Typed(key, value))

    def action_leave(self) -> None:
        """Asks where something would be lost."""
        if not self.is_changed:
            self.dismiss(None)
            return

        def answered(leave: bool | None) -> None:
            if leave:
                self.dismiss(None)

        app = cast("App[None]", self.app)  # pyright: ignore
        app.push_screen(Question("Leave the editor? What you typed is lost.", yes="Leave"), answered)
