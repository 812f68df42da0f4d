"""The view of `cost`."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from s3agg.prices.bill import Bill, number
from s3agg.render.words import new_table, plain

LEAST_USD = 0.005  # a smaller amount would round to 0.00


def cost_view(bill: Bill) -> RenderableType:
    """The items of the bill beside those of the blog's rule, and the assumptions as notes."""
    table = new_table("a month of", "s3agg", "USD", "blog's rule", "USD")
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True
    for line in bill.lines:
        ours = (number(line.quantity), money(line.usd))
        table.add_row(f"{line.service} {line.unit}", *ours, number(line.blog_quantity), money(line.blog_usd))
    table.add_row("total", "", money(bill.usd), "", money(bill.blog_usd), style="bold")
    total = Text.assemble((f"{money(bill.usd)} USD a month", "bold"), plain(f": {bill.of}"))
    notes = Table.grid(padding=(0, 1))
    for note in (*_unpriced(bill), *bill.notes):
        notes.add_row("-", plain(note, "dim"))
    return Group(total, table, plain(""), notes)


def _unpriced(bill: Bill) -> list[str]:
    if not bill.unpriced:
        return []
    return [f"Not in the total, because the price table lacks these prices: {', '.join(bill.unpriced)}."]


def money(usd: float | None) -> str:
    if usd is None:
        return "-"
    return "< 0.01" if 0 < usd < LEAST_USD else f"{usd:,.2f}".replace(",", " ")
