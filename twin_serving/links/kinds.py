"""How each kind of link is read: pages, PDFs, arXiv papers, GitHub repositories, items of feeds, plain texts.

Everything goes through the guarded client, and whatever is read is cleared of what hides in it (unseen.py).
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urldefrag, urlsplit

from twin_assets.core.errors import InputError
from twin_serving.links.reading import Kind, LinkText
from twin_serving.links.unseen import readable, without_hidden, without_orders

if TYPE_CHECKING:
    from twin_assets.core.web import WebClient, WebResponse

# Seconds and bytes a link may take: a person waits for it.
PAGE_SECONDS, PAGE_BYTES, PDF_BYTES = 15.0, 5_000_000, 20_000_000
# Pages of a PDF: pypdf takes some 30 ms for each.
PDF_PAGES = 60
LONGEST, LONGEST_TITLE = 200_000, 500  # characters kept of a link
PLAIN_TYPES = ("text/plain", "text/markdown", "text/x-markdown", "text/x-rst")
HTML_TYPES = ("text/html", "application/xhtml+xml", "")
FEED_TYPES = (
    "application/rss+xml", "application/atom+xml", "application/feed+json", "application/xml", "text/xml",
    "application/json",
)  # fmt: skip
_PAPER = re.compile(r"^/(?:abs|pdf|html)/((?:[\w.-]+/)?\d{4}\.?\d{3,5}(?:v\d+)?)(?:\.pdf)?/?$")
_REPOSITORY = re.compile(r"^/([\w.-]+)/([\w.-]+?)(?:\.git)?/?$")
_FILE = re.compile(r"^/([\w.-]+)/([\w.-]+)/(?:blob|raw)/(.+)$")
# An image, in the link of a badge or not, and what lays a README out. Neither looks past where the next could begin.
_IMAGE = re.compile(r"\[?!\[[^\[\]]*\]{0}(?:\]{0})?".format(r"\((?:[^()\[]|\([^()\[]*\))*\)"))
_LAYOUT = re.compile(r"</?(?:p|div|img|a|br|h\d|center|picture|source|details|summary)\b[^<>]*>")
# First parts of paths on GitHub that are no owners.
_NO_OWNERS = frozenset(
    ("about", "collections", "enterprise", "explore", "features", "issues", "login", "marketplace", "notifications",
     "orgs", "pricing", "pulls", "search", "security", "settings", "site", "sponsors", "topics", "trending")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sites:
    """Where arXiv and GitHub are (tests have their own)."""

    arxiv: str = "https://arxiv.org"
    github: str = "https://github.com"
    github_api: str = "https://api.github.com"
    github_raw: str = "https://raw.githubusercontent.com"


SITES = Sites()


class LinkReader:
    """Reads links with one client."""

    def __init__(self, web: "WebClient", sites: Sites = SITES) -> None:
        self._web, self._sites = web, sites

    def read(self, url: str) -> LinkText:
        """The text of a link. Raises FetchError and SourceError; what is no text is a failed link."""
        paper = _path_at(url, self._sites.arxiv, _PAPER)
        if paper is not None:
            return self._paper(url, paper[1])
        repository = _path_at(url, self._sites.github, _REPOSITORY)
        if repository is not None and repository[1] not in _NO_OWNERS:
            return self._repository(url, repository[1], repository[2])
        file = _path_at(url, self._sites.github, _FILE)
        if file is not None:
            raw = f"{self._sites.github_raw}/{file[1]}/{file[2]}/{file[3]}"
            return self._answered(url, self._get(raw), "github")
        return self._answered(url, self._get(url, page=True))

    def _get(self, url: str, page: bool = False, accept: str = "*/*") -> "WebResponse":
        return self._web.get(
            url,
            timeout=PAGE_SECONDS,
            max_bytes=PDF_BYTES,
            raise_for_status=False,
            page=page,
            headers={"Accept": accept},
        )

    def _answered(self, url: str, response: "WebResponse", kind: Kind | None = None) -> LinkText:
        """A link by what was answered: its content type, or what it begins with where that says nothing."""
        stated = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if stated == "application/pdf" or response.content[:5] == b"%PDF-":
            return _refused(url, response) or _pdf(url, response)
        if stated in FEED_TYPES and response.status < 400:
            return _feed_item(url, response)
        if stated not in (*PLAIN_TYPES, *HTML_TYPES):
            return _failed(url, f"{url} is {stated}, not a text; give a page, or paste what matters into the prompt.")
        if len(response.content) > PAGE_BYTES:
            return _failed(url, f"{url} has {len(response.content):,} bytes, more than a page may have; give another.")
        return _plain(url, response, kind or "text") if stated in PLAIN_TYPES else _page(url, response)

    def _paper(self, url: str, name: str) -> LinkText:
        """A paper on arXiv by its page of title, authors and abstract."""
        response = self._get(f"{self._sites.arxiv}/abs/{name}", page=True)
        return _refused(url, response) or _paper_page(url, response.text) or _page(url, response)

    def _repository(self, url: str, owner: str, name: str) -> LinkText:
        """A repository on GitHub by its README; by the API, else, where that refuses, by its file."""
        where = f"{self._sites.github_api}/repos/{owner}/{name}/readme"
        response = self._get(where, accept="application/vnd.github.raw+json")
        if response.status in (401, 403, 429) or response.status >= 500:
            response = self._get(f"{self._sites.github_raw}/{owner}/{name}/HEAD/README.md")
        if response.status == 404:
            return _failed(url, f"{url} has no README, or is not public; paste what matters into the prompt.")
        refused = _refused(url, response)
        return refused or _made(url, f"{owner}/{name}", unmarked(response.text[: 4 * LONGEST]), "github")


def _path_at(url: str, site: str, pattern: "re.Pattern[str]") -> "re.Match[str] | None":
    """The match of an address's path, where the address is at this site (with or without www.)."""
    try:
        parts, wanted = urlsplit(url), urlsplit(site)
        same = parts.netloc.lower().removeprefix("www.") == wanted.netloc
    except ValueError:
        return None
    return pattern.match(parts.path) if same and parts.scheme in ("http", "https") else None


def _refused(url: str, response: "WebResponse") -> LinkText | None:
    """A failed link where the answer is a refusal."""
    if response.status < 400:
        return None
    return _failed(url, f"{url} answered {response.status}; check the address, or paste what matters into the prompt.")


def _page(url: str, response: "WebResponse") -> LinkText:
    from twin_assets.core.cleaning import main_text
    from twin_assets.core.sources.quarantine import judge_page

    barred = judge_page(response.text, status=response.status, url=url)
    if barred is not None:
        return _failed(url, f"{url} could not be used ({barred.reason}): {barred.remedy}.")
    paper = _paper_page(url, response.text)
    if paper is not None:
        return paper
    title, text = main_text(without_hidden(response.text), response.url)
    return _made(url, title, text, "page")


def _paper_page(url: str, html: str) -> LinkText | None:
    """Title, authors and abstract of a paper, which such pages state by name; None for other pages."""
    from lxml.html import document_fromstring

    if "citation_title" not in html:
        return None
    tree = document_fromstring(html.encode("utf-8", "replace"))
    stated: dict[str, list[str]] = {}
    for tag in tree.iterfind(".//meta[@name]"):
        stated.setdefault(tag.get("name", ""), []).append(" ".join((tag.get("content") or "").split()))
    if "citation_arxiv_id" not in stated and "arxiv.org" not in url:
        return None
    quoted = " ".join(" ".join(found.text_content().split()) for found in tree.find_class("abstract")[:1])
    abstract = next(iter(stated.get("citation_abstract", [])), "") or quoted.removeprefix("Abstract:").strip()
    if not abstract:
        return None
    authors = ", ".join(" ".join(reversed(name.split(", ", 1))) for name in stated.get("citation_author", []))
    title = stated["citation_title"][0]
    return _made(url, title, f"{title}\n\n{f'Authors: {authors}' if authors else ''}\n\n{abstract}", "arxiv")


def _pdf(url: str, response: "WebResponse") -> LinkText:
    from twin_assets.core.sources.office_files import read_pdf

    try:
        read = read_pdf(response.content, pages=PDF_PAGES)
    except InputError as error:
        return _failed(url, f"{url} {error}.")
    text = read.content.strip()
    if not text:
        return _failed(url, f"{url} is a PDF that holds pictures of text; paste what matters into the prompt.")
    return _made(url, read.title or text.split("\n")[0][:120], text, "pdf")


def _feed_item(url: str, response: "WebResponse") -> LinkText:
    """The item of a feed that the address names behind “#”, else the newest."""
    from twin_assets.core.cleaning import html_to_markdown
    from twin_assets.core.sources.feed_reader import parse_feed

    _, items = parse_feed(response)
    wanted = urldefrag(url).fragment
    named = [item for item in items if wanted and wanted in (item.guid, item.link, item.link.rsplit("/", 1)[-1])]
    dated = sorted(items, key=lambda item: item.published_at.timestamp() if item.published_at else 0.0, reverse=True)
    found = next((item for item in [*named, *dated] if item.content), None)
    if found is None or (wanted and not named):
        return _failed(url, f"The feed {url} has no item{f' {wanted!r}' if wanted else ''} with a text in it.")
    plain = found.content_type == "text/plain"
    text = found.content if plain else html_to_markdown(without_hidden(found.content))
    return _made(url, found.title, text, "feed item")


def _plain(url: str, response: "WebResponse", kind: Kind) -> LinkText:
    refused = _refused(url, response)
    if refused is not None:
        return refused
    text = _without_comments(response.text).strip()
    return _made(url, text.split("\n")[0].lstrip("# ")[:120], text, kind)


def unmarked(markdown: str) -> str:
    """A README without badges, images, comments and the HTML that lays it out."""
    return _LAYOUT.sub("", _IMAGE.sub("", _without_comments(markdown)))


def _without_comments(text: str) -> str:
    """A text less its HTML comments; one that is never closed hides all that follows, as in a browser."""
    shown, *begun = text.split("<!--")
    return shown + "".join(each.partition("-->")[2] for each in begun)


def _made(url: str, title: str, text: str, kind: Kind) -> LinkText:
    """A link that was read, cleared of what has no shape and of what addresses a model."""
    text, orders = without_orders(readable(text)[:LONGEST])
    title = without_orders(readable(title[:LONGEST_TITLE]))[0] or url
    if not text.strip():
        return _failed(url, f"{url} has no readable main text; paste what matters into the prompt.")
    message = ""
    if orders:
        some = f"{len(orders)} sentences that address" if len(orders) > 1 else "One sentence that addresses"
        message = f"{some} an AI model {'were' if len(orders) > 1 else 'was'} left out."
    return LinkText(url, title, text, "read", message, kind, tuple(orders))


def _failed(url: str, message: str) -> LinkText:
    return LinkText(url, "", "", "failed", message)
