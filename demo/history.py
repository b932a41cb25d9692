"""A publication with a long history, made up as it is asked for: a hundred thousand posts without keeping one."""

import json
import random
from datetime import UTC, datetime, timedelta

from demo.loopback import LoopbackServer
from demo.messages import Request, Response, conditional
from demo.pages import ARCHIVE_PAGE, JSON_TYPE, not_found

BORN = datetime(2010, 1, 1, tzinfo=UTC)
FEED_WINDOW = 20
_WORDS = (
    "queue release sensor review incident weekend deploy latency garden bread letter colleague meeting budget forest"
)


class HistoryServer(LoopbackServer):
    """A Substack publication of `posts` posts at `<url>/substack`: archive, posts and feed.

    `edited`: numbers of posts whose text, and time of change, are other ones; `given` counts the posts it gave.
    """

    def __init__(self, posts: int, port: int = 0) -> None:
        super().__init__(port)
        self.posts = posts
        self.edited: set[int] = set()
        self.given = 0

    def respond(self, request: Request) -> Response:
        """The routes below /substack."""
        path = request.path.removeprefix("/substack")
        if path == "/api/v1/archive":
            first = int(request.query["offset"])
            newest = range(self.posts - first, max(0, self.posts - first - ARCHIVE_PAGE), -1)
            return _json([self._row(number) for number in newest])
        if path == "/feed":
            return conditional(request, self._feed().encode(), "application/xml; charset=utf-8", self._changed())
        slug = path.removeprefix("/api/v1/posts/post-")
        if slug == path or not slug.isdigit() or not 1 <= int(slug) <= self.posts:
            return not_found()
        number = int(slug)
        self.given += 1
        return _json({**self._row(number), "body_html": self._body(number)})

    def _row(self, number: int) -> dict[str, object]:
        made = BORN + timedelta(hours=number)
        return {
            "id": number, "slug": f"post-{number}", "title": f"Post {number}", "subtitle": "", "type": "newsletter",
            "audience": "everyone", "post_date": made.isoformat(), "canonical_url": f"{self.url}/p/post-{number}",
            "updated_at": (made + timedelta(days=number in self.edited)).isoformat(), "body_html": None,
        }  # fmt: skip

    def _body(self, number: int) -> str:
        choose = random.Random(number + 10_000_000 * (number in self.edited))
        words = choose.choices(_WORDS.split(), k=120)
        return "".join(f"<p>{' '.join(words[i : i + 40]).capitalize()}, {number}.</p>" for i in range(0, 120, 40))

    def _changed(self) -> float:
        return (BORN + timedelta(hours=self.posts + len(self.edited))).timestamp()

    def _feed(self) -> str:
        newest = range(self.posts, max(0, self.posts - FEED_WINDOW), -1)
        items = "".join(
            f"<item><title>Post {n}</title><link>{self.url}/p/post-{n}</link><guid>{n}</guid>"
            f"<description><![CDATA[{self._body(n)}]]></description></item>"
            for n in newest
        )
        return f'<?xml version="1.0"?><rss version="2.0"><channel><title>History</title>{items}</channel></rss>'


def _json(answer: object) -> Response:
    return Response(200, json.dumps(answer).encode(), {"Content-Type": JSON_TYPE})
