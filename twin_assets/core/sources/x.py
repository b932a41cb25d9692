"""X: the member's archive. Retweets and replies to others are left out, links expanded, threads joined.

A long post is twice in an archive: cut off among the tweets, and whole, under another id, among the note tweets.
"""

import html
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from twin_assets.core.archives import Archive
from twin_assets.core.documents import RawDocument
from twin_assets.core.errors import InputError
from twin_assets.core.sources.base import Done, Event, Found, Platform, Reading, WaitingError, moment, web_address

TWEETS = r"data/tweets?(-part\d+)?\.js"
NOTES = r"data/note-tweet(-part\d+)?\.js"
MANIFEST = r"data/manifest\.js"
HOW_TO_EXPORT = (
    "Reading X through its API is paid; ask for your archive (Settings > Your account > Download an archive of your "
    "data) and import the ZIP."
)
OWN, RETWEET, STRANGER = 0, -1, -2  # in place of the number of the tweet that is answered
_DATE = "%a %b %d %H:%M:%S %z %Y"


def normalise(location: str) -> str:
    """`@name` of a profile link or a name."""
    text = location.strip()
    if re.fullmatch(r"@?[A-Za-z0-9_]{1,15}", text):
        return f"@{text.removeprefix('@')}"
    _, host, parts = web_address(text)
    if host.removeprefix("www.").removeprefix("mobile.") not in ("x.com", "twitter.com") or not parts:
        raise InputError(f"{location!r} is not an X profile; its link looks like https://x.com/your_name.")
    return f"@{parts[0].removeprefix('@')}"


def collect(reading: Reading) -> Iterator[Event]:
    """A profile link gives nothing by itself: waits for an archive, or says that one is there."""
    if not reading.exports:
        raise WaitingError(HOW_TO_EXPORT)
    yield Done({}, message="The imported archive is what is read.")


def is_export(archive: Archive) -> bool:
    """Known by its tweets."""
    names = archive.find(TWEETS)
    return bool(names) and "window.YTD." in archive.head(names[0], 200)


def read_export(reading: Reading, archive: Archive) -> Iterator[Event]:
    """One document a thread (mostly of one tweet), under the id of its first tweet.

    Goes through the tweets twice: first for who answers whom, then for the texts, of which only those of threads that
    are not yet whole are held.
    """
    parents = _parents(archive)
    roots = {number: root for number in parents if (root := _root(number, parents)) is not None}
    lengths = Counter(roots.values())
    notes = LongPosts(read_notes(archive))
    user = _screen_name(archive)
    seen: set[int] = set()
    waiting: dict[int, dict[int, Mapping[str, Any]]] = {}
    for tweet in read_tweets(archive):
        number = int(tweet["id_str"])
        if number in seen:  # parts may overlap
            continue
        seen.add(number)
        part = {"created_at": tweet.get("created_at", ""), "text": notes.take(tweet) or tweet_text(tweet)}
        if number not in roots:
            continue
        first = roots[number]
        thread = waiting.setdefault(first, {})
        thread[number] = part
        if len(thread) == lengths[first]:
            yield Found(_document(reading, user, waiting.pop(first)))
    retweets = sum(parent == RETWEET for parent in parents.values())
    message = f"{retweets} retweets and {len(parents) - retweets - len(roots)} replies to other people left out."
    if notes.left:
        message += f" {notes.left} of {notes.count} long posts are none of these tweets' and were left out."
    yield Done({}, message=message)


def _document(reading: Reading, user: str, parts: Mapping[int, Mapping[str, Any]]) -> RawDocument:
    """A thread's document: `parts` by their numbers."""
    numbers = sorted(parts)
    return reading.document(
        external_id=str(numbers[0]),
        category="post",
        url=f"https://x.com/{user or 'i/web'}/status/{numbers[0]}",
        title="",
        content="\n\n".join(filter(None, (parts[number]["text"] for number in numbers))),
        content_type="text/plain",
        published_at=_moment(parts[numbers[0]]["created_at"]),
        metadata={"tweets": [str(number) for number in numbers]},
    )


def read_tweets(archive: Archive) -> Iterator[dict[str, Any]]:
    """The tweets of an archive, as its files hold them; raises InputError."""
    for name in archive.find(TWEETS):
        for row in archive.json_rows(name):
            tweet = row.get("tweet", row) if isinstance(row, dict) else {}
            if "id_str" in tweet and "full_text" in tweet:
                yield tweet


def read_notes(archive: Archive) -> Iterator[tuple[int, str]]:
    """(second, text with its links expanded) of every note tweet; raises InputError."""
    for row in (row for name in archive.find(NOTES) for row in archive.json_rows(name)):
        note = row.get("noteTweet", row)
        core = note.get("core") or {}
        body = html.unescape(str(core.get("text") or ""))
        for link in core.get("urls") or []:
            body = body.replace(link.get("shortUrl") or "\0", link.get("expandedUrl") or link.get("shortUrl") or "")
        made = moment(note.get("createdAt"))
        if made is not None and body.strip():
            yield int(made.timestamp()), body.strip()


class LongPosts:
    """The texts of the note tweets, (second, text) each, waiting for the tweets they are the whole of.

    Both are of one second, and the note begins with the tweet's words, at least after the leading @mentions.
    """

    def __init__(self, notes: Iterable[tuple[int, str]]) -> None:
        self._waiting: dict[int, list[str]] = {}
        for second, body in notes:
            self._waiting.setdefault(second, []).append(body)
        self.count = self.left = sum(map(len, self._waiting.values()))

    def take(self, tweet: Mapping[str, Any]) -> str | None:
        """The whole text of a tweet, None where it is no long post's beginning; each text is given once."""
        made = _moment(str(tweet.get("created_at", ""))) if self._waiting else None
        bodies = self._waiting.get(int(made.timestamp()), []) if made else []
        for body in bodies:
            if _begins(body, tweet_text(tweet)):
                bodies.remove(body)
                self.left -= 1
                return body
        return None


def _begins(body: str, text: str) -> bool:
    start = " ".join(re.sub(r"\s*(…|\.\.\.)?\s*(https?://\S+)?\s*$", "", text).split())
    plain = " ".join(body.split())
    bare_start, bare_body = (re.sub(r"^(@\w+\s+)+", "", each) for each in (start, plain))
    return bool(bare_start) and (plain.startswith(start) or bare_body.startswith(bare_start))


def _parents(archive: Archive) -> dict[int, int]:
    """Number of every tweet to the number of the one it answers; OWN, RETWEET and STRANGER stand for no such tweet.

    Raises InputError where the archive's manifest promises more tweets.
    """
    parents = {}
    count = 0
    for tweet in read_tweets(archive):
        count += 1
        answered = tweet.get("in_reply_to_status_id_str")
        parent = int(answered) if answered else STRANGER if tweet.get("in_reply_to_user_id_str") else OWN
        parents[int(tweet["id_str"])] = RETWEET if tweet["full_text"].startswith("RT @") else parent
    _check_count(archive, "tweets", count)
    return parents


def _root(number: int, parents: Mapping[int, int]) -> int | None:
    """The first tweet of the thread a tweet is part of; None where it answers somebody else or is a retweet."""
    seen: set[int] = set()
    while number not in seen:
        seen.add(number)
        parent = parents.get(number, STRANGER)
        if parent == OWN:
            return number
        number = parent
    return None


def _check_count(archive: Archive, kind: str, count: int) -> None:
    """Raises InputError where the archive's own manifest promises more than is there: a part is missing."""
    for name in archive.find(MANIFEST):
        text = archive.text(name)
        try:
            manifest = json.loads(text[text.index("=") + 1 :].rstrip().rstrip(";"))
            files = manifest["dataTypes"][kind]["files"]
            promised = sum(int(file["count"]) for file in files)
        except (ValueError, KeyError, TypeError):
            continue  # an older archive, without counts
        if promised > count:
            raise InputError(
                f"{archive.path.name} promises {promised:,} {kind} and holds {count:,}; a part of it is missing, "
                "download it again."
            )


def tweet_text(tweet: Mapping[str, Any]) -> str:
    """A tweet's words: entities unescaped, short links expanded, links to its own pictures dropped."""
    text = tweet["full_text"]
    entities = tweet.get("entities", {})
    for link in entities.get("urls", []):
        text = text.replace(link["url"], link.get("expanded_url") or link["url"])
    for picture in entities.get("media", []):
        text = text.replace(picture["url"], "")
    return html.unescape(text).strip()


def _screen_name(archive: Archive) -> str:
    for name in archive.find(r"data/account\.js"):
        found = re.search(r'"username"\s*:\s*"(\w+)"', archive.text(name))
        if found:
            return found.group(1)
    return ""


def _moment(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, _DATE).astimezone(UTC)
    except ValueError:
        return None


PLATFORM = Platform(
    name="x",
    title="X",
    hint="@your_name",
    order=50,
    reads="link",
    normalise=normalise,
    collect=collect,
    is_export=is_export,
    read_export=read_export,
)
