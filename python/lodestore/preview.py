"""Expressions as text and HTML tables."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from .condition import check_integer

if TYPE_CHECKING:
    from .expression import QueryExpression
    from .heading import Attribute

_STYLE = """<style>
.Table{border-collapse:collapse}.Table th{background:#A0A0A0;color:#fff;padding:4px;border:#f0e0e0 1px solid}
.Table th,.Table td{font-size:100%;text-align:left}.Table td{padding:4px;border:#f0e0e0 1px solid}
.Table tr:nth-child(odd){background:#fff;color:#000}.Table tr:nth-child(even){background:#f3f1ff;color:#000}
#primary{font-weight:bold;color:black}#nonprimary{font-weight:normal;color:white}
@media (prefers-color-scheme: dark){.Table th{background:#4a4a4a}.Table td{border-color:#555}
.Table tr:nth-child(odd){background:#2d2d2d;color:#e0e0e0}.Table tr:nth-child(even){background:#3d3d3d;color:#e0e0e0}
#primary{color:#bd93f9}#nonprimary{color:#e0e0e0}}
</style>"""


_CONTROL = dict.fromkeys([*range(32), *range(127, 160)], " ")


def _placeholder(attribute: Attribute) -> str | None:
    """What stands for a value that a preview does not fetch."""
    if attribute.codec is not None:
        return f"<{attribute.codec}>"
    if attribute.json:
        return "json"
    if attribute.is_blob:
        return "bytes"
    return None


def _rows(expression: QueryExpression, limit: int) -> tuple[list[tuple[Any, ...]], bool]:
    heading = expression.heading
    shown = [n for n in heading.names if _placeholder(heading[n]) is None]
    rows = expression._query.preview(shown, limit + 1)
    more = len(rows) > limit
    full = []
    for row in rows[:limit]:
        values = dict(zip(shown, row))
        full.append(tuple(values[n] if n in values else _placeholder(heading[n]) for n in heading.names))
    return full, more


def preview(expression: QueryExpression, limit: int | None = None, width: int | None = None) -> str:
    """The first rows as a text table (``repr``)."""
    config = expression.connection.config
    limit = config["display.limit"] if limit is None else check_integer(limit, "limit")
    width = config["display.width"] if width is None else check_integer(width, "width")
    heading = expression.heading
    rows, more = _rows(expression, limit)
    widths = {}
    for i, name in enumerate(heading.names):
        mark = _placeholder(heading[name])
        cells = [mark] if mark is not None else [name, *(str(row[i]) for row in rows)]
        longest = max(len(c) for c in cells) + 4
        widths[name] = longest if mark is not None else min(longest, width)

    def cell(text: str, name: str) -> str:
        # Line ends and other control characters would break the table, or steer the terminal.
        return f"{text.translate(_CONTROL):<{widths[name]}.{widths[name]}}"

    lines = [
        " ".join(cell(("*" if n in heading.primary_key else "") + n, n) for n in heading.names),
        " ".join("+" + "-" * (widths[n] - 2) + "+" for n in heading.names),
        *(" ".join(cell(str(v), n) for v, n in zip(row, heading.names)) for row in rows),
    ]
    if more:
        lines.append("   ...")
    if config["display.show_tuple_count"]:
        lines.append(f" (Total: {len(expression)})")
    return "\n".join(lines) + "\n"


def repr_html(expression: QueryExpression) -> str:
    """The first rows as an HTML table; everything that comes from the data is escaped."""
    config = expression.connection.config
    heading = expression.heading
    rows, more = _rows(expression, config["display.limit"])
    head = "".join(
        f'<th><span id="{"primary" if heading[n].in_key else "nonprimary"}" title="{escape(heading[n].comment)}">'
        f"{escape(n)}</span></th>"
        for n in heading.names
    )
    body = "".join("<tr>" + "".join(f"<td>{escape(str(v))}</td>" for v in row) + "</tr>\n" for row in rows)
    comment = heading.table_status.get("comment") or ""
    return (
        f"{_STYLE}\n<b>{escape(comment)}</b>\n"
        '<div style="max-height:1000px;max-width:1500px;overflow:auto;">\n'
        f'<table border="1" class="Table">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n'
        + ("<p>...</p>\n" if more else "")
        + (f"<p>Total: {len(expression)}</p>\n" if config["display.show_tuple_count"] else "")
        + "</div>"
    )
