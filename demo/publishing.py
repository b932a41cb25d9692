"""Adding, changing and removing what the demo author has published, as the author would."""

import hashlib
import html
import json
import re
import time
from datetime import datetime, timedelta
from typing import Any

from demo import feeds
from demo.content import Content

MEDIUM_FEED, SUBSTACK_FEED, BLOG_FEED = "medium/feed.xml", "substack/feed.xml", "blog/feed.xml"
FEED_WINDOWS = {MEDIUM_FEED: 10, SUBSTACK_FEED: 20}
PLATFORMS = ("medium", "substack", "blog", "github")


class Publishing:
    """Edits a server's content.

    Ids are Medium's hex id, Substack's number, a blog item's guid, `<repository>/<path>` on GitHub.
    Every method raises ValueError for a platform that cannot be edited and KeyError for an unknown id.
    """

    def __init__(self, content: Content) -> None:
        self.content = content

    def add(self, platform: str, title: str, text: str) -> str:
        """Publish a post (on GitHub: a file, with `<repository>/<path>` as its title); returns its id."""
        _known(platform)
        if platform == "medium":
            key = hashlib.sha256(f"{title}{time.time_ns()}".encode()).hexdigest()[:12]
            place = f"{feeds.slugify(title)}-{key}"
            self._add_item(MEDIUM_FEED, f"https://medium.com/p/{key}", place, title, text)
            return key
        if platform == "blog":
            return self._add_item(BLOG_FEED, None, feeds.slugify(title), title, text)
        if platform == "substack":
            return self._add_substack(title, text)
        self._write_file(title, text)
        return title

    def change(self, platform: str, key: str, text: str) -> None:
        """Replace the text of a post or a file."""
        _known(platform)
        if platform == "medium":
            self._change_item(MEDIUM_FEED, _medium_guid(key), text)
        elif platform == "blog":
            self._change_item(BLOG_FEED, key, text)
        elif platform == "substack":
            self._change_substack(key, text)
        elif f"github/repositories/{key}" in self.content:
            self._write_file(key, text)
        else:
            raise KeyError(key)

    def remove(self, platform: str, key: str) -> None:
        """Delete a post or a file."""
        _known(platform)
        if platform == "medium":
            self.content.write(MEDIUM_FEED, feeds.remove_item(self.content.text(MEDIUM_FEED), _medium_guid(key)))
        elif platform == "blog":
            self.content.write(BLOG_FEED, feeds.remove_item(self.content.text(BLOG_FEED), key))
        elif platform == "substack":
            self._remove_substack(key)
        else:
            self.content.delete(f"github/repositories/{key}")
            self._pushed(key.split("/")[0])

    def _add_item(self, feed: str, key: str | None, place: str, title: str, text: str) -> str:
        markup = self.content.text(feed)
        address = f"{feeds.link(feeds.head(markup)).split('?')[0].rstrip('/')}/{place}"
        item = feeds.make_item(markup, key or address, address, title, feeds.to_html(text))
        window = FEED_WINDOWS.get(feed)
        if window is not None:
            window = max(window, len(feeds.items(markup)))
        self.content.write(feed, feeds.add_item(markup, item, window))
        return key or address

    def _change_item(self, feed: str, key: str, text: str) -> None:
        self.content.write(feed, feeds.change_item(self.content.text(feed), key, feeds.to_html(text)))

    def archive(self) -> list[dict[str, Any]]:
        """Substack's list of posts, newest first."""
        rows: list[dict[str, Any]] = json.loads(self.content["substack/archive.json"])
        return sorted(rows, key=lambda row: str(row["post_date"]), reverse=True)

    def _write_archive(self, rows: list[dict[str, Any]]) -> None:
        self.content.write("substack/archive.json", json.dumps(rows, ensure_ascii=False))

    def _substack_row(self, key: str) -> dict[str, Any]:
        row = next((row for row in self.archive() if key in (str(row["id"]), row["slug"])), None)
        if row is None:
            raise KeyError(key)
        return row

    def _add_substack(self, title: str, text: str) -> str:
        rows = self.archive()
        key = max((int(row["id"]) for row in rows), default=1000) + 1
        taken = {row["slug"] for row in rows}
        slug = feeds.slugify(title)
        slug = f"{slug}-{key}" if slug in taken else slug
        markup = feeds.to_html(text)
        address = feeds.link(feeds.head(self.content.text(SUBSTACK_FEED))).rstrip("/")
        row = {
            "id": key,
            "type": "newsletter",
            "slug": slug,
            "title": title,
            "subtitle": "",
            "post_date": feeds.iso_time(time.time()),
            "audience": "everyone",
            "canonical_url": f"{address}/p/{slug}",
            "wordcount": word_count(markup),
            "body_html": None,
        }
        self._write_archive([row, *rows])
        post = row | {"body_html": markup, "is_published": True, "updated_at": row["post_date"]}
        self.content.write(f"substack/posts/{slug}.json", json.dumps(post, ensure_ascii=False))
        self._add_item(SUBSTACK_FEED, str(row["canonical_url"]), f"p/{slug}", title, text)
        return str(key)

    def _change_substack(self, key: str, text: str) -> None:
        row, markup = self._substack_row(key), feeds.to_html(text)
        name = f"substack/posts/{row['slug']}.json"
        edited = {
            "body_html": markup,
            "wordcount": word_count(markup),
            "updated_at": feeds.iso_time(time.time()),
        }
        self.content.write(name, json.dumps(json.loads(self.content[name]) | edited, ensure_ascii=False))
        count = {"wordcount": edited["wordcount"]}
        self._write_archive([each | count if each["id"] == row["id"] else each for each in self.archive()])
        if row["canonical_url"] in map(feeds.identity, feeds.items(self.content.text(SUBSTACK_FEED))):
            self._change_item(SUBSTACK_FEED, row["canonical_url"], text)

    def _remove_substack(self, key: str) -> None:
        row = self._substack_row(key)
        self._write_archive([each for each in self.archive() if each["id"] != row["id"]])
        self.content.delete(f"substack/posts/{row['slug']}.json")
        feed = self.content.text(SUBSTACK_FEED)
        if row["canonical_url"] in map(feeds.identity, feeds.items(feed)):
            self.content.write(SUBSTACK_FEED, feeds.remove_item(feed, row["canonical_url"]))

    def _write_file(self, key: str, text: str) -> None:
        repository, _, path = key.partition("/")
        if not path or repository not in {row["name"] for row in json.loads(self.content["github/repos.json"])}:
            raise KeyError(key)
        self.content.write(f"github/repositories/{key}", text)
        self._pushed(repository)

    def _pushed(self, repository: str) -> None:
        rows = json.loads(self.content["github/repos.json"])
        before = next(row["pushed_at"] for row in rows if row["name"] == repository)
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if now <= before:  # two pushes of one second, of which the second must be seen as well
            now = (datetime.fromisoformat(before) + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        rows = [row | {"pushed_at": now, "updated_at": now} if row["name"] == repository else row for row in rows]
        self.content.write("github/repos.json", json.dumps(rows, ensure_ascii=False))


def word_count(markup: str) -> int:
    """Words of HTML without its tags, as Substack's `wordcount` counts them."""
    return len(html.unescape(re.sub(r"<[^>]+>", " ", markup)).split())


def _known(platform: str) -> None:
    if platform not in PLATFORMS:
        raise ValueError(f"The demo server cannot edit posts on {platform!r}: use one of {', '.join(PLATFORMS)}.")


def _medium_guid(key: str) -> str:
    return key if key.startswith("http") else f"https://medium.com/p/{key}"
