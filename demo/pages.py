"""Medium, Substack, the blog and plain web pages, served from one server's content."""

import html
import json
import re
from urllib.parse import urlsplit

from demo import feeds
from demo.content import Content
from demo.faults import CHALLENGE_HEADERS, CHALLENGE_PAGE
from demo.messages import Request, Response, conditional
from demo.publishing import BLOG_FEED, MEDIUM_FEED, SUBSTACK_FEED, Publishing

HTML_TYPE, FEED_TYPE, JSON_TYPE = (
    "text/html; charset=utf-8",
    "text/xml; charset=utf-8",
    "application/json; charset=utf-8",
)
NOTES_PAGE = 12
ARCHIVE_PAGE = 12  # what Substack sends at most, whatever limit is asked for


class Pages:
    """Answers paths below /medium, /substack, /blog, /web; `{{server}}` in the content becomes `address`."""

    def __init__(self, content: Content, address: str) -> None:
        self.content = content
        self.address = address

    def file(self, request: Request, name: str, content_type: str) -> Response:
        """A file of the content with its validators, or 404."""
        if name not in self.content:
            return not_found()
        body = self.content[name].replace(b"{{server}}", self.address.encode())
        return conditional(request, body, content_type, self.content.changed(name))

    def medium(self, request: Request, path: str) -> Response:
        """The author's feed; every page is behind the challenge, as a plain client meets it."""
        if not path.startswith("/feed/"):
            return Response(403, CHALLENGE_PAGE, dict(CHALLENGE_HEADERS))
        if MEDIUM_FEED not in self.content:
            return not_found()
        author = re.search(r"@([\w.-]+)", feeds.head(self.content.text(MEDIUM_FEED)))
        if author and path.lower() != f"/feed/@{author.group(1).lower()}":
            return not_found()
        return self.file(request, MEDIUM_FEED, FEED_TYPE)

    def substack(self, request: Request, path: str) -> Response:
        """The feed, the archive, one post, and the post as a page."""
        if path == "/feed":
            return self.file(request, SUBSTACK_FEED, "application/xml; charset=utf-8")
        if path == "/api/v1/archive":
            return self._archive(request)
        if path.startswith("/api/v1/reader/feed/profile/"):
            return self._notes(request, path.rsplit("/", 1)[-1])
        found = re.fullmatch(r"(/api/v1/posts|/p)/([^/]+)", path)
        name = f"substack/posts/{found[2]}.json" if found else ""
        if found is None or name not in self.content:
            error = {"errors": [{"location": "params", "param": "slug", "msg": "Post not found"}]}
            return _json(error, 404) if path.startswith("/api/") else not_found()
        if found[1] != "/p":
            return self.file(request, name, JSON_TYPE)
        post = json.loads(self.content[name])
        return self._page(request, name, post["title"], post.get("body_html") or "", post["canonical_url"])

    def _archive(self, request: Request) -> Response:
        limit, offset = (request.query.get(name, default) for name, default in (("limit", "12"), ("offset", "0")))
        if not (limit.isdigit() and offset.isdigit() and 1 <= int(limit) <= 50):
            return _json({"errors": [{"location": "query", "param": "limit", "msg": "Invalid value"}]}, 400)
        rows = [row | {"body_html": None} for row in Publishing(self.content).archive()]
        wanted = request.query.get("search", "").lower()
        rows = [row for row in rows if wanted in f"{row['title']} {row.get('subtitle') or ''}".lower()]
        if request.query.get("sort", "new") not in ("new", "top"):
            rows = []
        page = rows[int(offset) : int(offset) + min(int(limit), ARCHIVE_PAGE)]
        body = json.dumps(page, ensure_ascii=False).encode()
        return conditional(request, body, JSON_TYPE, self.content.changed("substack/archive.json"))

    def _notes(self, request: Request, person: str) -> Response:
        """A page of somebody's feed, from `substack/notes/<user id>.json` (its items); the cursor is a place in it."""
        items = json.loads(self.content.get(f"substack/notes/{person}.json", b"[]"))
        start = int(request.query.get("cursor") or 0)
        following = str(start + NOTES_PAGE) if start + NOTES_PAGE < len(items) else None
        return _json({"items": items[start : start + NOTES_PAGE], "nextCursor": following}, 200)

    def blog(self, request: Request, path: str) -> Response:
        """The feed, and every post as a page: a file of that name, or made from the feed's item."""
        name = f"blog{path.rstrip('/') or '/index.html'}"
        if name in self.content:
            return self.file(request, name, FEED_TYPE if name.endswith(".xml") else HTML_TYPE)
        if f"{name}.html" in self.content:
            return self.file(request, f"{name}.html", HTML_TYPE)
        for item in feeds.items(self.content.text(BLOG_FEED)) if BLOG_FEED in self.content else []:
            address = feeds.link(item)
            if _slug(urlsplit(address).path) == _slug(path):
                return self._page(request, BLOG_FEED, feeds.title(item), feeds.body(item), address)
        return not_found()

    def web(self, request: Request, path: str) -> Response:
        """Plain pages; the challenge comes as Cloudflare sends it, the not-found page with a wrong 200."""
        name = f"web{path}"
        if path == "/challenge.html":
            body = self.content.get(name, CHALLENGE_PAGE)
            return Response(403, body, dict(CHALLENGE_HEADERS))
        return self.file(request, name, HTML_TYPE)

    def _page(self, request: Request, source: str, title: str, markup: str, address: str) -> Response:
        heading = html.escape(title)
        page = (
            f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{heading}</title>'
            f'<link rel="canonical" href="{html.escape(address)}"></head><body>'
            f'<nav><a href="/">Home</a> <a href="/about">About</a></nav>'
            f"<main><article><h1>{heading}</h1>{markup}</article></main>"
            f"<footer>Subscribe for new posts.</footer></body></html>"
        )
        body = page.replace("{{server}}", self.address).encode()
        return conditional(request, body, HTML_TYPE, self.content.changed(source))


def not_found() -> Response:
    """A plain 404."""
    return Response(404, b"<!DOCTYPE html><title>404</title><h1>Page not found</h1>", {"Content-Type": HTML_TYPE})


def _json(answer: object, status: int) -> Response:
    return Response(status, json.dumps(answer).encode(), {"Content-Type": JSON_TYPE})


def _slug(path: str) -> str:
    return path.rstrip("/").rsplit("/", 1)[-1].removesuffix(".html")
