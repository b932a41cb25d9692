"""What of a page a person sees: for tests and benchmarks of cleaning."""

import re

from bs4 import BeautifulSoup

from twin_assets.core.cleaning.html_elements import CONTROLS, MEDIA, UNSEEN, is_unseen


def visible(html: str) -> str:
    """What a browser shows of the HTML, by another parser than ours, less the controls and widgets the rules leave out,
    without white space."""
    soup = BeautifulSoup(html, "lxml")
    for tag in soup([*UNSEEN, *CONTROLS, *MEDIA]):
        tag.decompose()
    for tag in soup.find_all(True):
        if not tag.decomposed and is_unseen(
            {k: " ".join(v) if isinstance(v, list) else v for k, v in tag.attrs.items()}
        ):
            tag.decompose()
    return re.sub(r"\s", "", soup.get_text())
