"""Table: the cells of an HTML table, a Markdown table where they are data, one after another where they are layout."""

import re
from dataclasses import dataclass, field

_BLOCK = re.compile(r"\n\s*\n|^(?:[-*+>#]|\d+\.|```|\|)\s?", re.MULTILINE)
WIDEST = 100


@dataclass(slots=True)
class Table:
    """Rows of cells, each cell the Markdown of its content; above: what stands in the table before its first row."""

    rows: list[list[str]] = field(default_factory=list)
    above: list[str] = field(default_factory=list)

    def add_stray(self, text: str) -> None:
        """Put text that stands in the table, but in no cell: a caption, or a mistake."""
        if text and self.rows:
            self.rows.append([text])
        elif text:
            self.above.append(text)

    def add(self, cell: str, span: int) -> None:
        """Put a cell that is `span` columns wide at the end of the last row."""
        if not self.rows:
            self.rows.append([])
        self.rows[-1] += [cell.strip(), *[""] * (min(span, WIDEST) - 1)]

    def lines(self) -> list[str]:
        """Markdown lines of all of it."""
        blocks = [*self.above, "\n".join(self._grid())]
        return "\n\n".join(block for block in blocks if block).split("\n") if any(blocks) else []

    def _grid(self) -> list[str]:
        """A table of at least two rows and columns of single lines, else the cells as blocks."""
        rows = [row for row in self.rows if any(row)]
        columns = max(map(len, rows), default=0)
        cells = [cell for row in rows for cell in row if cell]
        if len(rows) < 2 or columns < 2 or any(_BLOCK.search(cell) for cell in cells):
            return ["\n\n".join(cells)]
        shown = [[cell.replace("\n", " ").replace("|", "\\|") for cell in row] for row in rows]
        filled = [row + [""] * (columns - len(row)) for row in shown]
        lines = [f"| {' | '.join(row)} |" for row in filled]
        return [lines[0], f"|{' --- |' * columns}", *lines[1:]]
