"""Tables for the terminal and for documents."""

from collections.abc import Sequence

from spiketype.edge import Json


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table that is also aligned as plain text: first column to the left, the others to the right.

    Raises:
        ValueError: a row has another number of columns than the header.
    """
    for row in rows:
        if len(row) != len(header):
            raise ValueError(f"text_table: expected {len(header)} columns, got {len(row)}: {list(row)}")
    widths = [max(3, *(len(row[k]) for row in (header, *rows))) for k in range(len(header))]

    def line(row: Sequence[str]) -> str:
        first, *others = zip(row, widths, strict=True)
        return "| " + " | ".join([first[0].ljust(first[1]), *(text.rjust(w) for text, w in others)]) + " |"

    rule = "|" + "|".join("-" * (w + 1) + ("-" if k == 0 else ":") for k, w in enumerate(widths)) + "|"
    return "\n".join([line(header), rule, *(line(row) for row in rows)])


def number(estimate: Json, digits: int = 1) -> str:
    """Return ``98.4 [97.1, 99.2]``, or the value alone where the interval is unknown, or ``-``."""
    if estimate["value"] is None:
        return "-"
    text = f"{estimate['value']:.{digits}f}"
    if estimate["low"] is None or estimate["high"] is None:
        return text
    return f"{text} [{estimate['low']:.{digits}f}, {estimate['high']:.{digits}f}]"
