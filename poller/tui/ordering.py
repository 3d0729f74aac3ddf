"""What the screens with orders have in common: the keys, the question before each order, and its way to the end."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

from textual.binding import Binding
from textual.screen import Screen

from poller.tui import orders
from poller.tui.columns import as_text
from poller.tui.dialogs import Choice, Confirm
from poller.tui.orders import ChosenRows, DraftOrder, Proposal, Under

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.tui.asking import AskingApp
    from poller.tui.looks import ScreenClients

ORDERS = (
    Binding("r", "order('r')", "Retry"),
    Binding("p", "order('p')", "Pause"),
    Binding("t", "order('t')", "Trigger"),
    Binding("c", "order('c')", "Cancel"),
    Binding("l", "order('l')", "Release"),
    Binding("m", "move", "Move"),
    Binding("D", "order('D')", "Drain"),
)


class Ordering(Screen[None]):
    """A screen with orders for what it shows."""

    @property
    def top(self) -> AskingApp:
        """The application."""
        return cast("AskingApp", self.app)

    def order_for(self, key: str) -> DraftOrder | None:
        """Return the order that a key stands for; None if there is none now."""
        raise NotImplementedError

    def rows_to_move(self) -> ChosenRows | None:
        """Return the rows that may be moved to another status; None if there are none now."""
        raise NotImplementedError

    def has_changed(self) -> None:
        """Look at once: an order was carried out, or another zone is shown."""
        raise NotImplementedError

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Tell whether a key does something now; others are not shown."""
        if action == "order":
            return self.order_for(str(parameters[0])) is not None
        return self.rows_to_move() is not None if action == "move" else True

    def action_order(self, key: str) -> None:
        """Ask whether an order is to be carried out."""
        order = self.order_for(key)
        if order is not None:
            self.propose(order)

    def action_move(self) -> None:
        """Ask to which status rows are to be moved, then whether they are."""
        rows = self.rows_to_move()
        if rows is not None:
            self.top.ask(partial(_statuses, rows=rows), partial(self._choose, rows), self._refused)

    def stops_order(self) -> bool:
        """Stop the order under way between two batches; tell whether there is one."""
        if self.top.under is None:
            return False
        self.top.under.stop.set()
        return True

    def propose(self, order: DraftOrder) -> None:
        """Show what an order would do now, and carry it out if the person confirms."""
        self.top.ask(order.propose, partial(self._confirm, order), self._refused)

    def _choose(self, rows: ChosenRows, statuses: Sequence[str]) -> None:
        def chosen(at: int | None) -> None:
            if at is not None:
                self.propose(orders.move(rows, statuses[at]))

        self.top.push_screen(Choice(f"Move {rows} to", statuses), chosen)

    def _confirm(self, order: DraftOrder, proposal: Proposal) -> None:
        def answered(answer: bool | None) -> None:  # noqa: FBT001 - Textual calls it
            if answer:
                self._carry_out(order)

        if proposal.yes is None:
            self.notify(proposal.question, markup=False)
        else:
            self.top.push_screen(Confirm(proposal), answered)

    def _carry_out(self, order: DraftOrder) -> None:
        if self.top.under is not None:
            self.notify("an order is under way; Esc stops it", markup=False)
            return
        self.top.under = under = Under(self.top.progressed)
        self.top.ask(lambda asked: order.act(asked, under), self._done, self._failed)

    def _done(self, said: str) -> None:
        self.top.has_ended()
        self.notify(as_text(said), markup=False)
        self.has_changed()

    def _failed(self, why: str) -> None:
        self.top.has_ended()
        self._refused(why)

    def _refused(self, why: str) -> None:
        self.notify(why, severity="error", markup=False)


def _statuses(asked: ScreenClients, rows: ChosenRows) -> list[str]:
    """Return the statuses that rows may be moved to: the others of their table that are known."""
    lines: Any = asked.machines.status().items
    return [
        each.status for each in lines if orders.is_of(rows, each) and each.status not in (None, rows.status)
    ]
