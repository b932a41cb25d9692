"""What a person writes on GitHub beside files: release notes, commit messages, issues, discussions, gists.

Only the person's own: drafts, merges, bots, templates' comments and other people's releases are left out.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote_plus

from twin_assets.core.documents import RawDocument
from twin_assets.core.errors import FetchError
from twin_assets.core.sources.base import Event, Found, Kept, Reading, moment
from twin_assets.core.sources.github_api import GitHubApi, parsed
from twin_assets.core.sources.repository_files import OwnFile, own_text

WORDS = 12  # a message or a report with fewer words is a label, not prose
COMMIT_PAGES = 20  # of 100 commits; what lies further back is not read
SEARCHED = 1000  # results after which GitHub's search shows no more
ISSUES, DISCUSSIONS, GISTS = ":issues/", ":discussions/", ":gists/"  # no login holds a colon
_TRAILER = re.compile(r"^[A-Z][\w-]*(-by|-to|-Id|-id): .*$|^\(cherry picked from .*\)$|^git-svn-id: .*$", re.MULTILINE)
_MACHINE = re.compile(r"Merge |Revert \"|Bump \S+ from |Initial commit\b|Automatic |Update dependency ", re.IGNORECASE)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_DISCUSSIONS = """
query($login: String!, $after: String) { user(login: $login) {
  repositoryDiscussions(first: 100, after: $after) {
    pageInfo { hasNextPage endCursor }
    nodes { number title body url createdAt repository { nameWithOwner isPrivate } } } } }
"""


def releases(reading: Reading, api: GitHubApi, name: str, state: Mapping[str, Any]) -> Iterator[Event | dict[str, Any]]:
    """The person's release notes of a repository, at the end the listing's state; nothing where it is as before."""
    known = state if state.get("key") == api.key else {}
    prefix = f"{name}/:releases/"
    etag, any_ = None, False
    for page in api.pages(f"/repos/{name}/releases?per_page=100", etag=known.get("etag")):
        if page.not_modified:
            yield Kept(prefix)
            yield dict(state)
            return
        etag = etag or page.etag
        for row in parsed(page):
            text = _COMMENT.sub("", row.get("body") or "").strip()
            if row.get("draft") or not _is(row.get("author"), api) or len(text.split()) < WORDS:
                continue
            any_ = True
            title = row.get("name") or row.get("tag_name") or ""
            yield Found(
                _document(
                    reading, f"{prefix}{row['id']}", row["html_url"], title, text, row.get("published_at"),
                    kind="release", repository=name,
                )
            )  # fmt: skip
    yield {"key": api.key, "etag": etag, "any": any_}


def commits(reading: Reading, api: GitHubApi, name: str, newest: str) -> Iterator[Event | str]:
    """The person's commit messages that are prose, at the end the newest commit of theirs.

    Reads back to the commit that was the newest before; where that one is gone, history was rewritten and all of it
    is read anew.
    """
    prefix = f"{name}/:commits/"
    first = ""
    for number, page in enumerate(api.pages(f"/repos/{name}/commits?author={api.login}&per_page=100")):
        for row in parsed(page):
            if row["sha"] == newest:
                yield Kept(prefix)
                yield first or newest
                return
            first = first or row["sha"]
            subject, body = commit_prose(row)
            if body:
                yield Found(
                    _document(
                        reading, f"{prefix}{row['sha']}", row["html_url"], subject, body,
                        row["commit"]["author"].get("date"), kind="commit", repository=name,
                    )
                )  # fmt: skip
        if number + 1 == COMMIT_PAGES:
            break
    yield first


def commit_prose(row: Mapping[str, Any]) -> tuple[str, str]:
    """(subject, body without trailers) of a commit worth reading, ("", "") of a merge, a bot's or a mere label."""
    author = row.get("author") or {}
    if len(row.get("parents") or ()) > 1 or author.get("type") == "Bot" or str(author.get("login")).endswith("[bot]"):
        return "", ""
    subject, _, body = str(row["commit"].get("message") or "").partition("\n")
    body = _TRAILER.sub("", body).strip()
    if _MACHINE.match(subject) or len(body.split()) < WORDS:
        return "", ""
    return subject.strip(), re.sub(r"\n{3,}", "\n\n", body)


def issues(reading: Reading, api: GitHubApi, state: Mapping[str, Any]) -> Iterator[Event | dict[str, Any]]:
    """Public issues and pull requests the person opened, anywhere; after each page the state to go on from.

    Newest changes first: the reading ends where what follows is `known` and nothing is missing of the total. A reading
    that was broken off has `seen` some and goes on at what was changed `until` then.
    """
    known: Mapping[str, str] = state.get("known", {})
    seen: dict[str, str] = dict(state.get("seen", {}))
    total, until = int(state.get("total", 0)), str(state.get("until", ""))
    yield from map(Kept, seen)
    while True:
        window = f" updated:<={until}" if until else ""
        query = quote_plus(f"author:{api.login} is:public{window}")
        shown, last = 0, ""
        address = f"/search/issues?q={query}&sort=updated&order=desc&per_page=100"
        for page in api.pages(address):
            answer = parsed(page)
            total = total if window else int(answer["total_count"])
            for row in answer["items"]:
                shown += 1
                last = str(row["updated_at"])
                found = _issue(reading, row)
                name = found.external_id
                if known.get(name) == last and len({*known, *seen, name}) == total:
                    yield Kept(ISSUES)
                    yield {"known": {**known, **seen}}
                    return
                seen[name] = last
                if len(found.content.split()) >= WORDS:
                    yield Found(found)
            if answer.get("incomplete_results"):  # GitHub gave up: what it did not show is not gone
                yield Kept(ISSUES)
                yield {"known": {**known, **seen}}
                return
            yield {"known": known, "seen": seen, "total": total, "until": last or until}
        if shown < SEARCHED or until == last:
            yield {"known": seen}
            return
        until = last


def gists(reading: Reading, api: GitHubApi, state: Mapping[str, Any]) -> Iterator[Event | dict[str, Any]]:
    """The texts and code of the person's public gists; after each one that changed and was read the listing's state."""
    known = state if state.get("key") == api.key else {}
    before: Mapping[str, str] = state.get("gists", {})
    now: dict[str, str] = {}
    so_far = dict(before)
    etag = None
    for page in api.pages(f"/users/{api.login}/gists?per_page=100", etag=known.get("etag")):
        if page.not_modified:
            yield Kept(GISTS)
            yield dict(state)
            return
        etag = etag or page.etag
        for row in parsed(page):
            if not row.get("public"):
                continue
            now[row["id"]] = row["updated_at"]
            if before.get(row["id"]) == row["updated_at"]:
                yield Kept(f"{GISTS}{row['id']}/")
                continue
            for path, file in sorted((api.json(f"/gists/{row['id']}").get("files") or {}).items()):
                own = None if file.get("truncated") else own_text(path, str(file.get("content") or "").encode())
                if own is not None:
                    yield Found(_gist_file(reading, row, own))
            so_far[row["id"]] = row["updated_at"]
            yield {"gists": so_far}  # without validators: the listing has to be seen again
    yield {"key": api.key, "etag": etag, "gists": now}


def discussions(reading: Reading, api: GitHubApi) -> Iterator[Event]:
    """Discussions the person began in public repositories; GitHub shows them through GraphQL only, to a token."""
    if api.token is None:
        yield Kept(DISCUSSIONS)
        return
    after = None
    while True:
        answer = api.graphql(_DISCUSSIONS, {"login": api.login, "after": after})
        listing = (answer.get("user") or {}).get("repositoryDiscussions") or {"nodes": [], "pageInfo": {}}
        for row in listing["nodes"]:
            text = _COMMENT.sub("", row.get("body") or "").strip()
            if row["repository"]["isPrivate"] or len(text.split()) < WORDS:
                continue
            repository = row["repository"]["nameWithOwner"]
            yield Found(
                _document(
                    reading, f"{DISCUSSIONS}{repository}#{row['number']}", row["url"], row["title"], text,
                    row["createdAt"], kind="discussion", repository=repository,
                )
            )  # fmt: skip
        if not listing["pageInfo"].get("hasNextPage"):
            return
        after = listing["pageInfo"]["endCursor"]


def owned_share(api: GitHubApi, name: str) -> float:
    """Share of a repository's commits that are the person's, of those GitHub knows the author of; 1 for none."""
    try:
        response = api.get(f"/repos/{name}/contributors?per_page=100")
    except FetchError as error:
        if error.status == 403:  # "the history is too large to list contributors": many people's work
            return 0.0
        raise
    rows = parsed(response) if response.content.strip() else []
    people = {str(row.get("login")).lower(): int(row["contributions"]) for row in rows if row.get("type") != "Bot"}
    return people.get(api.login.lower(), 0) / sum(people.values()) if people else 1.0


def _issue(reading: Reading, row: Mapping[str, Any]) -> RawDocument:
    repository = "/".join(str(row["repository_url"]).rsplit("/", 2)[-2:])
    kind = "pull request" if "pull_request" in row else "issue"
    text = _COMMENT.sub("", row.get("body") or "").replace("\r\n", "\n").strip()
    return _document(
        reading, f"{ISSUES}{repository}#{row['number']}", row["html_url"], row["title"], text, row.get("created_at"),
        kind=kind, repository=repository,
    )  # fmt: skip


def _gist_file(reading: Reading, row: Mapping[str, Any], file: OwnFile) -> RawDocument:
    return reading.document(
        external_id=f"{GISTS}{row['id']}/{file.path}",
        category=file.category,
        url=row["html_url"],
        title=file.title or row.get("description") or file.path,
        content=file.content,
        content_type=file.content_type,
        published_at=moment(row.get("created_at")),
        metadata={"kind": "gist", "path": file.path, "language": file.language},
    )


def _document(
    reading: Reading, external_id: str, url: str, title: str, text: str, date: str | None, **metadata: str
) -> RawDocument:
    return reading.document(
        external_id=external_id, category="post", url=url, title=title.strip(), content=text,
        content_type="text/markdown", published_at=moment(date), metadata=metadata,
    )  # fmt: skip


def _is(author: Mapping[str, Any] | None, api: GitHubApi) -> bool:
    return str((author or {}).get("login")).lower() == api.login.lower()
