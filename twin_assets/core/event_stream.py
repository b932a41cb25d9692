"""Server-sent events as they come over a connection (WHATWG HTML, 9.2)."""

from collections.abc import Iterable, Iterator
from itertools import chain


def events(chunks: Iterable[bytes]) -> Iterator[tuple[str, bytes]]:
    """(name, data) of each event of these bytes, cut anywhere; the last also without the empty line behind it.

    Lines are cut at bytes: a text may hold characters (U+2028, as LinkedIn's exports do) that Python's splitlines, and
    so httpx's iter_lines, take for the end of a line, and no event stream does.
    """
    waiting, name, data = b"", "message", []
    for chunk in chain(chunks, [b"\n\n"]):
        *lines, waiting = (waiting + chunk).split(b"\n")
        for line in lines:
            field, _, value = line.rstrip(b"\r").partition(b":")
            if field == b"event":
                name = value.strip().decode()
            elif field == b"data":
                data.append(value.strip())
            elif not line.strip():
                if data:
                    yield name, b"\n".join(data)
                name, data = "message", []
