"""Dialogs: an order's question, the choice of a status, the search, and the keys.

Texts are never markup: a table called `[red]` is called so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, OptionList, Static
from textual.widgets.option_list import Option

from poller.tui.columns import as_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult
    from textual.binding import BindingType

    from poller.client.find import Found
    from poller.tui.orders import Proposal

T = TypeVar("T")


class Dialog(ModalScreen[T], Generic[T]):
    """A box in the middle of the screen, which Esc closes."""

    DEFAULT_CSS = """
    Dialog { align: center middle; }
    Dialog > Vertical {
        width: 72; max-width: 92%; height: auto; max-height: 90%;
        padding: 1 2; background: $surface; border: round $primary;
    }
    Dialog .question { text-style: bold; }
    Dialog .effect { text-style: dim; margin-top: 1; }
    Dialog Horizontal { height: auto; margin-top: 1; align-horizontal: right; }
    Dialog Button { margin-left: 2; min-width: 10; }
    Dialog Button:focus:nocolor { text-style: reverse bold; }
    Dialog OptionList { height: auto; max-height: 12; margin-top: 1; }
    Dialog Input { margin-top: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Cancel", show=False)]

    def action_leave(self) -> None:
        """Close it, with nothing chosen."""
        self.dismiss(None)


class Confirm(Dialog[bool]):
    """Asks whether an order is to be carried out. The button that does nothing has the focus."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes", show=False),
        Binding("n", "answer(False)", "No", show=False),
        Binding("left,right,h,l", "app.focus_next", "Other", show=False),
    ]

    def __init__(self, proposal: Proposal) -> None:
        super().__init__()
        self.proposal = proposal

    def compose(self) -> ComposeResult:
        """Make the question and its buttons."""
        with Vertical():
            yield Static(Content(self.proposal.question), classes="question", markup=False)
            yield Static(Content(self.proposal.effect), classes="effect", markup=False)
            with Horizontal():
                yield Button(Content("Cancel (n)"), id="no")
                yield Button(Content(f"{self.proposal.yes} (y)"), id="yes", variant="warning")

    def on_mount(self) -> None:
        """Let Enter do nothing."""
        self.query_one("#no").focus()

    def action_answer(self, answer: bool) -> None:  # noqa: FBT001 - Textual calls it
        """Close it with an answer."""
        self.dismiss(answer)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Close it with the answer of a button."""
        self.dismiss(event.button.id == "yes")


class Choice(Dialog[int]):
    """Asks for one of several things, and answers with its place."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "point(1)", "Down", show=False),
        Binding("k", "point(-1)", "Up", show=False),
    ]

    def __init__(self, question: str, names: Sequence[str]) -> None:
        super().__init__()
        self._question = question
        self.names = names

    def compose(self) -> ComposeResult:
        """Make the list."""
        with Vertical():
            yield Static(Content(self._question), classes="question", markup=False)
            yield OptionList(*(Option(Content(as_text(each))) for each in self.names))

    def action_point(self, by: int) -> None:
        """Move the cursor."""
        found = self.query_one(OptionList)
        found.action_cursor_down() if by > 0 else found.action_cursor_up()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Close it with what was chosen."""
        self.dismiss(event.option_index)


class Find(Dialog[str]):
    """Asks for a word to look for."""

    def compose(self) -> ComposeResult:
        """Make the line to type in."""
        with Vertical():
            yield Static(Content("Find"), classes="question", markup=False)
            yield Input(placeholder="a key, a run's number, a job, a table, table:status, table:key")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Close it with the word."""
        self.dismiss(event.value.strip() or None)


class Keys(Dialog[None]):
    """Shows the keys."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("question_mark,q,enter", "leave", "Close", show=False)]

    def __init__(self, keys: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._keys = keys

    def compose(self) -> ComposeResult:
        """Make the table of keys."""
        width = max(len(key) for key, _ in self._keys)
        parts = [
            (f"{key:<{width}}  ", "bold") if at == 0 else f"{what}\n"
            for key, what in self._keys
            for at in (0, 1)
        ]
        with Vertical():
            yield Static(Content("Keys"), classes="question", markup=False)
            yield Static(Content.assemble(*parts), classes="keys", markup=False)


def name_of(found: Found) -> str:
    """Return what was found, in words."""
    match found.kind:
        case "row":
            return as_text(f"row {found.table}:{found.key}, {found.status}")
        case "handler":
            return as_text(f"handler {found.table}:{found.status}")
        case "run":
            return as_text(f"run {found.run} of {found.job}")
        case _:
            return as_text(f"job {found.job}")
