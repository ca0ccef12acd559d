"""How it looks. In Python, so that it cannot be missing from a package."""

STYLES = """
Screen { layout: vertical; }
#title { height: 1; background: $primary-muted; color: $text; padding: 0 1; }
#body { height: 1fr; }
#places-pane { width: 26; }
KeyPane { width: 2fr; }
ValuePane { width: 3fr; }
#places-pane, KeyPane, ValuePane {
    border: round $panel-lighten-2;
    border-title-color: $foreground 60%;
}
#places-pane:focus-within, KeyPane:focus-within, ValuePane:focus-within {
    border: round $primary;
    border-title-color: $text-primary;
    border-title-style: bold;
}
Rows { height: 1fr; background: $background; }
#search { background: $boost; padding: 0 1; width: 1fr; }
#search:focus { background: $primary-muted; }
.remark { height: auto; max-height: 2; color: $foreground 60%; padding: 0 1; }
.problem { color: $text-error; padding: 0 1; height: auto; }
#about { height: auto; padding: 0 1; border-bottom: solid $panel-lighten-2; }
#value-scroll { height: 1fr; padding: 0 1; scrollbar-size-vertical: 1; background: $background; }
#value { width: 1fr; height: auto; }
#status { height: auto; max-height: 6; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
Help, Question, Editor { align: center middle; }
.dialog {
    width: 84%; max-width: 100; height: auto; max-height: 90%;
    background: $surface; border: round $primary; padding: 1 2;
}
#help { width: 96%; scrollbar-size-vertical: 1; }
.key { width: 31; color: $text-accent; text-style: bold; }
.meaning { width: 1fr; height: auto; }
.line { height: auto; }
#question { border: round $warning; }
#asked { height: auto; text-style: bold; margin-bottom: 1; }
#asked-about {
    height: auto; max-height: 40vh; margin-bottom: 1; background: $boost; padding: 0 1;
    scrollbar-size-vertical: 1;
}
#asked-about Static { height: auto; }
.buttons { height: 1; align-horizontal: right; }
.buttons Button { margin-left: 2; }
#editor { height: 90%; width: 90%; max-width: 120; }
#editor TextArea { height: 1fr; }
#editor Checkbox { border: none; height: 1; margin-top: 1; background: $surface; }
"""
