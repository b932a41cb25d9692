"""X: the member's archive. Retweets and replies to others are left out, links expanded, threads joined.

A long post is twice in an archive: cut off among the tweets, and whole, under another id, among the note tweets.
"""

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from twin_assets.core.archives import Archive
from twin_assets.core.errors import InputError
from twin_assets.core.sources.base import Done, Event, Found, Platform, Reading, WaitingError, moment, web_address

TWEETS = r"data/tweets?(-part\d+)?\.js"
NOTES = r"data/note-tweet(-part\d+)?\.js"
MANIFEST = r"data/manifest\.js"
HOW_TO_EXPORT = (
    "Reading X through its API is paid; ask for your archive (Settings > Your account > Download an archive of your "
    "data) and import the ZIP."
)
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
    return bool(names) and "window.YTD." in archive.text(names[0])[:200]


def read_export(reading: Reading, archive: Archive) -> Iterator[Event]:
    """One document a thread (mostly of one tweet), under the id of its first tweet."""
    tweets = [tweet for name in archive.find(TWEETS) for tweet in read_tweets(archive.text(name))]
    _check_count(archive, "tweets", len(tweets))
    tweets = list({tweet["id_str"]: tweet for tweet in tweets}.values())  # parts may overlap
    notes = [note for name in archive.find(NOTES) for note in read_notes(archive.text(name))]
    long = match_notes(tweets, notes)
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
                content="\n\n".join(filter(None, (long.get(each["id_str"]) or tweet_text(each) for each in parts))),
                content_type="text/plain",
                published_at=_moment(parts[0].get("created_at", "")),
                metadata={"tweets": [part["id_str"] for part in parts]},
            )
        )
    message = f"{retweets} retweets and {replies} replies to other people left out."
    if len(notes) > len(long):
        message += f" {len(notes) - len(long)} of {len(notes)} long posts are none of these tweets' and were left out."
    yield Done({}, message=message)


def read_tweets(text: str) -> list[dict[str, Any]]:
    """The tweets of one file of the archive, `window.YTD.tweets.part0 = [...]`; raises InputError."""
    rows = [row.get("tweet", row) for row in _assigned(text, "tweets") if isinstance(row, dict)]
    return [row for row in rows if "id_str" in row and "full_text" in row]


def read_notes(text: str) -> list[tuple[int, str]]:
    """(second, text with its links expanded) of every note tweet of one file; raises InputError."""
    notes = []
    for row in _assigned(text, "note tweets"):
        note = row.get("noteTweet", row)
        core = note.get("core") or {}
        body = html.unescape(str(core.get("text") or ""))
        for link in core.get("urls") or []:
            body = body.replace(link.get("shortUrl") or "\0", link.get("expandedUrl") or link.get("shortUrl") or "")
        made = moment(note.get("createdAt"))
        if made is not None and body.strip():
            notes.append((int(made.timestamp()), body.strip()))
    return notes


def match_notes(tweets: Iterable[Mapping[str, Any]], notes: Iterable[tuple[int, str]]) -> dict[str, str]:
    """Id of a tweet to the whole text of the long post it is the beginning of.

    They are of one second, and the note begins with the tweet's words, at least after the leading @mentions.
    """
    waiting: dict[int, list[str]] = {}
    for second, body in notes:
        waiting.setdefault(second, []).append(body)
    found = {}
    for tweet in tweets:
        made = _moment(str(tweet.get("created_at", "")))
        bodies = waiting.get(int(made.timestamp()), []) if made else []
        for body in bodies:
            if _begins(body, tweet_text(tweet)):
                found[str(tweet["id_str"])] = body
                bodies.remove(body)
                break
    return found


def _begins(body: str, text: str) -> bool:
    start = " ".join(re.sub(r"\s*(…|\.\.\.)?\s*(https?://\S+)?\s*$", "", text).split())
    plain = " ".join(body.split())
    bare_start, bare_body = (re.sub(r"^(@\w+\s+)+", "", each) for each in (start, plain))
    return bool(bare_start) and (plain.startswith(start) or bare_body.startswith(bare_start))


def _assigned(text: str, what: str) -> list[Any]:
    """The JSON after `window.YTD.….part0 =`."""
    try:
        rows = json.loads(text[text.index("=") + 1 :].rstrip().rstrip(";"))
    except ValueError as error:
        raise InputError(f"The archive's {what} cannot be read ({error}); download it again.") from error
    return rows if isinstance(rows, list) else []


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
