"""MarkdownReader: what each element of HTML becomes in Markdown, told tag by tag."""

import re
from collections.abc import Callable, Iterator, Mapping

from twin_assets.core.cleaning.boilerplate import is_tracking_pixel
from twin_assets.core.cleaning.html_elements import (
    BLOCKS,
    CARDS,
    CONTROLS,
    MEDIA,
    UNSEEN,
    Attributes,
    code_language,
    is_unseen,
)
from twin_assets.core.cleaning.links import embedded_address, image_address, link_address, web_address
from twin_assets.core.cleaning.markdown_tables import Table
from twin_assets.core.cleaning.markdown_writer import Mark, MarkdownWriter, Prefix

Element = Iterator[None]  # runs to its yield where the tag opens, and on from there where it closes

_MARKS = {"strong": "**", "b": "**", "em": "*", "i": "*", "del": "~~", "s": "~~", "strike": "~~"}
_EMOJI = re.compile(r"(?:^|\s)(?:emoji|wp-smiley|twemoji)(?:\s|$)")
_PERMALINK = re.compile(r"[#¶§🔗\s]*")
_SPACE = re.compile(r"[ \t\n\r\f]+")
TABLES_IN_TABLES = 3  # deeper ones are read as text: each level copies what is inside it


class MarkdownReader:
    """lxml's parser target: a method for each event, a generator for each kind of element that means something."""

    def __init__(self) -> None:
        self._writers = [MarkdownWriter()]
        self._elements: list[Element | None] = []
        self._left_out = 0  # elements open in the one that is left out, itself included
        self._media: tuple[str, str] | None = None
        self._code: list[str] | None = None
        self._verbatim = False
        self._language = ""
        self._headings = 0
        self._lists: list[int | None] = []  # the next number of each open list, None where it has none
        self._in_item = False
        self._tables: list[Table | None] = []
        self._references = 0  # links and images so far

    @property
    def _writer(self) -> MarkdownWriter:
        return self._writers[-1]

    def start(self, tag: str, attributes: Attributes) -> None:
        """An element opens."""
        if self._left_out:
            self._left_out += 1
            if tag == "source" and self._media is not None and not self._media[0]:
                self._media = (attributes.get("src", ""), self._media[1])
            return
        if tag in MEDIA:
            address = next((attributes[name] for name in ("src", "data", "data-src") if attributes.get(name)), "")
            self._media = (address, " ".join(attributes.get("title", "").split()))
        if tag in MEDIA or tag in UNSEEN or tag in CONTROLS or (attributes and is_unseen(attributes)):
            self._left_out = 1
            return
        element = self._element(tag, attributes)
        if element is not None:
            next(element)
        self._elements.append(element)

    def end(self, tag: str) -> None:
        """An element closes."""
        if not self._left_out:
            element = self._elements.pop()
            if element is not None:
                next(element, None)
            return
        self._left_out -= 1
        if not self._left_out and self._media is not None:
            address, title = self._media
            self._media = None
            self._embed(web_address(address), title)

    def data(self, data: str) -> None:
        """Text, or a part of it."""
        if self._left_out:
            return
        if self._code is None:
            self._writer.text(data)
        else:
            self._code.append(data if self._verbatim else _SPACE.sub(" ", data))

    def close(self) -> str:
        """The document is over."""
        return self._writers[0].result()

    def _element(self, tag: str, attributes: Attributes) -> Element | None:
        if self._code is not None:
            if self._verbatim or tag not in BLOCKS:
                return self._in_code(tag, attributes)
            self._end_code()  # an inline element that was never closed
        names = attributes.get("class")
        reader = _ELEMENTS.get(tag) if not names or CARDS.isdisjoint(names.split()) else MarkdownReader._quote
        element = None if reader is None else reader(self, tag, attributes)
        payload = attributes.get("data-attrs")
        if payload and tag not in ("a", "img") and (address := embedded_address(payload)):
            return self._with_embed(element, address)
        return element

    def _block(self, tag: str, attributes: Attributes) -> Element:
        self._writer.separate(1 if tag in ("dd", "tbody", "thead", "tfoot", "html", "body") else 2)
        yield
        self._writer.separate(1 if tag in ("dt", "dd", "tbody", "thead", "tfoot") else 2)

    def _heading(self, tag: str, attributes: Attributes) -> Element:
        self._writer.separate(2)
        self._writer.lead("#" * int(tag[1]) + " ")
        self._headings += 1
        yield
        self._headings -= 1
        self._writer.separate(2)

    def _line_break(self, tag: str, attributes: Attributes) -> Element:
        if self._headings:
            self._writer.text(" ")
        else:
            self._writer.line_break()
        yield

    def _rule(self, tag: str, attributes: Attributes) -> Element:
        self._writer.lines(["---"])
        yield

    def _emphasis(self, tag: str, attributes: Attributes) -> Element:
        mark = Mark("“", "”") if tag == "q" else Mark(_MARKS[tag], _MARKS[tag])
        plain = "font-weight:normal" in attributes.get("style", "").replace(" ", "")  # Google Docs' wrapper
        opened = not plain and self._writer.open(mark)
        yield
        if opened:
            self._writer.close(mark)

    def _link(self, tag: str, attributes: Attributes) -> Element:
        address = link_address(attributes.get("href", ""))
        mark = Mark("[", f"]({address})")
        opened = address is not None and self._writer.open(mark)
        yield
        inside = self._writer.close(mark) if opened else None
        if inside is None or address is None:
            return
        if address.startswith("#") and _PERMALINK.fullmatch(inside):
            self._writer.replace(mark, "")
        elif address in (inside, f"mailto:{inside}"):
            self._writer.replace(mark, f"<{inside}>")
        self._references += 1

    def _image(self, tag: str, attributes: Attributes) -> Element:
        alternative = " ".join((attributes.get("alt") or "").split())
        address = image_address(attributes)
        if _EMOJI.search(attributes.get("class", "")) and alternative:
            self._writer.text(alternative)
        elif (address or alternative) and not is_tracking_pixel(attributes):
            self._writer.write(f"![{alternative}]({address})")
            self._references += 1
        yield

    def _quote(self, tag: str, attributes: Attributes) -> Element:
        writer = self._writer
        writer.separate(2)
        indented = writer.indent(Prefix("> ", "> "))
        yield
        if indented:
            writer.dedent()
        writer.separate(2)

    def _list(self, tag: str, attributes: Attributes) -> Element:
        writer, in_item, nested = self._writer, self._in_item, bool(self._lists)
        writer.separate(2)
        if nested:
            writer.join(1)
        # A list that lies directly in a list, which is invalid but common, belongs to the item before it.
        indented = nested and not in_item and writer.indent(Prefix("  ", "  "))
        self._lists.append(_whole_number(attributes.get("start"), 1) if tag == "ol" else None)
        self._in_item = False
        yield
        self._lists.pop()
        self._in_item = in_item
        if indented:
            writer.dedent()
        writer.separate(2)

    def _item(self, tag: str, attributes: Attributes) -> Element:
        writer, in_item = self._writer, self._in_item
        number = self._lists[-1] if self._lists else None
        marker = "- "
        if number is not None:
            number = _whole_number(attributes.get("value"), number)
            marker = f"{number}. "
            self._lists[-1] = number + 1
        writer.follow()
        indented = writer.indent(Prefix(marker, " " * len(marker)))
        self._in_item = True
        yield
        self._in_item = in_item
        if indented:
            writer.dedent()
        writer.separate(1)

    def _preformatted(self, tag: str, attributes: Attributes) -> Element:
        self._code, self._verbatim, self._language = [], True, code_language(attributes)
        yield
        self._end_code()

    def _inline_code(self, tag: str, attributes: Attributes) -> Element:
        captured: list[str] = []
        self._code = captured
        yield
        if self._code is captured:
            self._end_code()

    def _in_code(self, tag: str, attributes: Attributes) -> Element | None:
        """What elements do in code: only their line breaks count."""
        self._language = self._language or code_language(attributes)
        if tag == "img":
            self._code.append(attributes.get("alt") or "")  # type: ignore[union-attr]
        if tag == "br" or tag in BLOCKS or tag in ("li", "tr", "pre"):
            return self._line_of_code(tag)
        return None

    def _line_of_code(self, tag: str) -> Element:
        code = self._code
        if code is not None and (tag == "br" or (code and not code[-1].endswith("\n"))):
            code.append("\n")
        yield
        if code is not None and tag != "br" and code and not code[-1].endswith("\n"):
            code.append("\n")

    def _end_code(self) -> None:
        text, block = "".join(self._code or ()), self._verbatim
        language, self._language = self._language, ""
        self._code, self._verbatim = None, False
        if block or "\n" in text.strip():
            self._writer.fence(text, language)
        elif text.strip():
            self._writer.text(text[: len(text) - len(text.lstrip(" "))])
            ticks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
            inside = text.strip(" ")
            pad = " " if "`" in (inside[0], inside[-1]) else ""
            self._writer.write(f"{ticks}{pad}{inside}{pad}{ticks}")
            self._writer.text(text[len(text.rstrip(" ")) :])

    def _table(self, tag: str, attributes: Attributes) -> Element:
        lists, self._lists = self._lists, []
        table = Table() if len(self._tables) < TABLES_IN_TABLES else None
        self._tables.append(table)
        self._writer.separate(2)
        if table is not None:
            self._writers.append(MarkdownWriter())
        yield
        if table is not None:
            table.add_stray(self._writers.pop().result())
            self._writer.lines(table.lines())
        self._tables.pop()
        self._lists = lists
        self._writer.separate(2)

    def _row(self, tag: str, attributes: Attributes) -> Element:
        table = self._tables[-1] if self._tables else None
        if table is None:
            self._writer.separate(1)
        else:
            self._end_stray(table)
            table.rows.append([])
        yield

    def _cell(self, tag: str, attributes: Attributes) -> Element:
        table = self._tables[-1] if self._tables else None
        if table is None:
            self._writer.separate(1)
            yield
            self._writer.separate(1)
            return
        self._end_stray(table)
        self._writers.append(MarkdownWriter())
        yield
        table.add(self._writers.pop().result(), _whole_number(attributes.get("colspan"), 1))

    def _end_stray(self, table: Table) -> None:
        table.add_stray(self._writer.result())
        self._writers[-1] = MarkdownWriter()

    def _with_embed(self, element: Element | None, address: str) -> Element:
        """An element whose payload says what it shows: its link follows, unless it holds one of its own."""
        before = self._references
        if element is not None:
            next(element)
        yield
        if element is not None:
            next(element, None)
        if self._references == before:
            self._embed(address, "")

    def _embed(self, address: str | None, title: str) -> None:
        if address is None or self._code is not None:
            return
        self._writer.separate(2)
        self._writer.write(f"[{title}]({address})" if title else f"<{address}>")
        self._writer.separate(2)
        self._references += 1


_ELEMENTS: Mapping[str, Callable[[MarkdownReader, str, Attributes], Element]] = {
    **dict.fromkeys(BLOCKS, MarkdownReader._block),
    **dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6"), MarkdownReader._heading),
    **dict.fromkeys((*_MARKS, "q"), MarkdownReader._emphasis),
    **dict.fromkeys(("ul", "ol", "menu", "dir"), MarkdownReader._list),
    **dict.fromkeys(("code", "tt", "kbd", "samp"), MarkdownReader._inline_code),
    **dict.fromkeys(("pre", "listing", "xmp"), MarkdownReader._preformatted),
    **dict.fromkeys(("td", "th"), MarkdownReader._cell),
    "a": MarkdownReader._link,
    "blockquote": MarkdownReader._quote,
    "br": MarkdownReader._line_break,
    "hr": MarkdownReader._rule,
    "img": MarkdownReader._image,
    "li": MarkdownReader._item,
    "table": MarkdownReader._table,
    "tr": MarkdownReader._row,
}


def _whole_number(text: str | None, otherwise: int) -> int:
    return int(text) if text and re.fullmatch(r"\d{1,9}", text.strip()) else otherwise
