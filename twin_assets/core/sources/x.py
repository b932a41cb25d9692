"""X: the member's archive. Retweets and replies to others are left out, links expanded, threads joined."""

import html
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from twin_assets.core.archives import Archive
from twin_assets.core.errors import InputError
from twin_assets.core.sources.base import Done, Event, Found, Platform, Reading, WaitingError, web_address

TWEETS = r"data/tweets?(-part\d+)?\.js"
HOW_TO_EXPORT = (
    "Reading X through its API is paid; ask for your archive (Settings > Your account > Download an archive of your "
    "data) and import the ZIP."
)
_DATE = "%a %b %d %H:%M:%S %z %Y"


def normalise(location: str) -> str:
    """`@name` of a profile link or a name."""
    text = location.strip()
    if re.fullmatch(r"@?\w{1,15}", text):
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
    return bool(names) and "window.YTD." in archive.text(names[0])[:200]


def read_export(reading: Reading, archive: Archive) -> Iterator[Event]:
    """One document a thread (mostly of one tweet), under the id of its first tweet."""
    tweets = [tweet for name in archive.find(TWEETS) for tweet in read_tweets(archive.text(name))]
    known = {tweet["id_str"]: tweet for tweet in tweets}
    user = _screen_name(archive)
    threads: dict[str, list[Mapping[str, Any]]] = {}
    retweets = replies = 0
    for tweet in sorted(tweets, key=lambda each: int(each["id_str"])):
        if tweet["full_text"].startswith("RT @"):
            retweets += 1
            continue
        first = _thread(tweet, known)
        if first is None:
            replies += 1
        else:
            threads.setdefault(first, []).append(tweet)
    for first, parts in threads.items():
        yield Found(
            reading.document(
                external_id=first,
                category="post",
                url=f"https://x.com/{user or 'i/web'}/status/{first}",
                title="",
                content="\n\n".join(filter(None, map(tweet_text, parts))),
                content_type="text/plain",
                published_at=_moment(parts[0].get("created_at", "")),
                metadata={"tweets": [part["id_str"] for part in parts]},
            )
        )
    yield Done({}, message=f"{retweets} retweets and {replies} replies to other people left out.")


def read_tweets(text: str) -> list[dict[str, Any]]:
    """The tweets of one file of the archive, `window.YTD.tweets.part0 = [...]`."""
    try:
        rows = json.loads(text[text.index("=") + 1 :])
    except ValueError as error:
        raise InputError(f"The archive's tweets cannot be read ({error}); download it again.") from error
    return [row.get("tweet", row) for row in rows]


def tweet_text(tweet: Mapping[str, Any]) -> str:
    """A tweet's words: entities unescaped, short links expanded, links to its own pictures dropped."""
    text = tweet["full_text"]
    entities = tweet.get("entities", {})
    for link in entities.get("urls", []):
        text = text.replace(link["url"], link.get("expanded_url") or link["url"])
    for picture in entities.get("media", []):
        text = text.replace(picture["url"], "")
    return html.unescape(text).strip()


def _thread(tweet: Mapping[str, Any], known: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Id of the first tweet of the thread this one is part of; None where it answers somebody else."""
    seen: set[str] = set()
    while tweet.get("in_reply_to_status_id_str") or tweet.get("in_reply_to_user_id_str"):
        parent = str(tweet.get("in_reply_to_status_id_str"))
        if parent not in known or parent in seen or known[parent]["full_text"].startswith("RT @"):
            return None
        seen.add(parent)
        tweet = known[parent]
    return str(tweet["id_str"])


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
