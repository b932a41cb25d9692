"""Reading a page made for people: its main text, or why there is none."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from twin_assets.core.errors import BlockedAddressError, DisallowedError, FetchError, RateLimitedError
from twin_assets.core.sources.base import Reading, moment
from twin_assets.core.sources.bylines import judge_author
from twin_assets.core.sources.quarantine import EMPTY, Quarantine, judge_page
from twin_assets.core.web import shown

UNREAD = "page not read"  # the reason of a failure that may be over the next time


@dataclass(frozen=True)
class Page:
    """A page's title and main text (Markdown); `problem` says why the text must not be used.

    unchanged: the validators given still hold and nothing was read; `etag` and `last_modified` are the new ones.
    """

    title: str = ""
    text: str = ""
    published_at: datetime | None = None
    problem: Quarantine | None = None
    unchanged: bool = False
    etag: str | None = None
    last_modified: str | None = None


def read_page(reading: Reading, url: str, **validators: Any) -> Page:
    """Read a page as its robots.txt allows; raises RateLimitedError, every other failure is the page's problem.

    validators: `etag` and `last_modified` of an earlier read.
    """
    try:
        response = reading.web.get(url, page=True, raise_for_status=False, **validators)
    except RateLimitedError:
        raise
    except DisallowedError:
        return Page(problem=Quarantine("refused by robots.txt", f"paste the text, or add it as a file, from {url}"))
    except BlockedAddressError as error:
        return Page(problem=Quarantine("address not opened", str(error)))
    except FetchError as error:
        return Page(problem=Quarantine(UNREAD, str(error)))
    if response.not_modified:
        return Page(unchanged=True)
    if response.status >= 500:
        return Page(problem=Quarantine(UNREAD, f"{shown(url)} answers with status {response.status}; try again later"))
    if not _is_markup(response.headers.get("content-type", "")):
        return Page(problem=Quarantine("no page", f"{shown(url)} is a file and not a page; add it as a file"))
    from twin_assets.core.cleaning.pages import Article, read_article

    problem = judge_page(response.text, status=response.status, url=response.url)
    article = Article() if problem else read_article(response.text, response.url)
    if problem is None and not article.text:
        problem = Quarantine(EMPTY, f"{shown(url)} holds no text; paste the text")
    problem = problem or judge_author(article.bylines, reading.author)
    return Page(
        article.title, article.text, moment(article.date), problem,
        etag=response.etag, last_modified=response.last_modified,
    )  # fmt: skip


def _is_markup(content_type: str) -> bool:
    return not content_type or "html" in content_type.lower() or "xml" in content_type.lower()
