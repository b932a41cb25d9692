"""GitHub: what a person wrote there: files of their repositories, release notes, commit messages, issues, gists.

Files come as one tarball per changed commit. Left out are forks, everything that is not the owner's own by linguist's
conventions, and what other people wrote (see `_own_files`).
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from twin_assets.core.ahead import in_order
from twin_assets.core.documents import RawDocument
from twin_assets.core.errors import FetchError, InputError, RateLimitedError, SourceError
from twin_assets.core.sources.base import (
    Checkpoint,
    Done,
    Event,
    Found,
    Kept,
    Platform,
    Reading,
    moment,
    web_address,
)
from twin_assets.core.sources.github_api import GitHubApi, parsed
from twin_assets.core.sources.github_blame import OWN_COMMITS, OWN_LINES, lines_share
from twin_assets.core.sources.github_writing import (
    DISCUSSIONS,
    commits,
    discussions,
    gists,
    issues,
    owned_share,
    releases,
)
from twin_assets.core.sources.repository_files import OwnFile, own_files
from twin_assets.core.web import shown

TARBALL_SECONDS, TARBALL_BYTES = 120.0, 200_000_000
_LOGIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,37}[A-Za-z0-9])?")


def normalise(location: str) -> str:
    """The login of a profile link, an @name or a name."""
    text = location.strip().removeprefix("@")
    if _LOGIN.fullmatch(text):
        return text
    _, host, parts = web_address(text)
    if host not in ("github.com", "www.github.com") or len(parts) != 1 or not _LOGIN.fullmatch(parts[0]):
        raise InputError(
            f"{location!r} is not a GitHub profile; its link looks like https://github.com/your-name (one source "
            "reads every repository of the person)."
        )
    return parts[0]


def collect(reading: Reading) -> Iterator[Event]:
    """Everything the person wrote; what GitHub says has not changed is kept without being read.

    A spent quota ends the run; what was read by then is not asked again by the next.
    """
    api = GitHubApi(reading)
    cursor: dict[str, Any] = {"repositories": {}, **reading.cursor}
    repositories = cursor["repositories"] = dict(cursor["repositories"])
    pages, rows = _repositories(api, cursor.get("pages", {}))
    before = dict(repositories)
    own: dict[str, Any] = dict(rows) if rows is not None else dict.fromkeys(before)

    def read(name: str) -> list[Event | dict[str, Any]]:
        row, state = own[name], before.get(name, {})
        # pushed_at moves with every push, to any branch: while it stands still no file has to be asked for.
        resting = row is None or (state and state.get("pushed_at") == row.get("pushed_at"))
        return list(_resting(reading, api, name, state) if resting else _repository(reading, api, row, state))

    for name, events in zip(own, in_order(read, own), strict=True):
        for event in events:
            if isinstance(event, dict):
                repositories[name] = event
                yield Checkpoint(cursor)
            else:
                yield event
    for key, part in (("gists", gists), ("issues", issues)):
        for event in part(reading, api, cursor.get(key, {})):
            if isinstance(event, dict):
                cursor[key] = event
                yield Checkpoint(cursor)
            else:
                yield event
    message = ""
    try:
        yield from discussions(reading, api)
    except RateLimitedError:
        raise
    except (FetchError, SourceError) as error:  # a token may lack the right; the rest does not depend on it
        message = f"Discussions could not be read ({error}) "
        yield Kept(DISCUSSIONS)
    left_out = sorted(name for name in own if repositories[name].get("foreign"))
    if left_out:
        message += f"The files of {', '.join(left_out)} are mostly other people's and were left out."
    cursor |= {"repositories": {name: repositories[name] for name in own}, "pages": pages}
    yield Done(cursor, complete=True, message=message.strip())


def _repositories(api: GitHubApi, kept: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """(validators of the listing, the person's public repositories by name), None for those where nothing changed."""
    first = f"/users/{api.login}/repos?type=owner&sort=full_name&per_page=100"
    usable = kept.get("key") == api.key and len(kept["etags"]) == 1
    etags = []
    rows: dict[str, Any] = {}
    for page in api.pages(first, etag=kept["etags"][0] if usable else None):
        if page.not_modified:
            return dict(kept), None
        etags.append(page.etag)
        for row in parsed(page):
            if not row.get("fork") and not row.get("private"):
                rows[row["full_name"]] = row
    return {"key": api.key, "etags": etags}, rows


def _resting(reading: Reading, api: GitHubApi, name: str, state: Mapping[str, Any]) -> Iterator[Event | dict[str, Any]]:
    """A repository nobody pushed to: only its release notes may have been edited, and asking is free with a token."""
    noted = state.get("releases", {})
    if api.token is not None and noted.get("any"):
        for event in releases(reading, api, name, noted):
            yield {**state, "releases": event} if isinstance(event, dict) else event
    yield Kept(f"{name}/")


def _repository(
    reading: Reading, api: GitHubApi, row: Mapping[str, Any], state: Mapping[str, Any]
) -> Iterator[Event | dict[str, Any]]:
    """Files, release notes and commit messages of a repository that was pushed to; at the end its new state."""
    name = row["full_name"]
    now: dict[str, Any] = {"pushed_at": row.get("pushed_at"), "commit": _head(api, row)}
    if now["commit"] is None:  # an empty repository
        yield now
        return
    for message in commits(reading, api, name, str(state.get("newest") or "")):
        if isinstance(message, str):
            now["newest"] = message
        else:
            yield message
    for event in releases(reading, api, name, {}):
        if isinstance(event, dict):
            now["releases"] = event
        else:
            yield event
    if now["commit"] == state.get("commit"):
        now["foreign"] = bool(state.get("foreign"))
        yield Kept(f"{name}/")
    else:
        files = _own_files(api, row, now["commit"])
        now["foreign"] = files is None
        yield from (Found(_document(reading, row, file)) for file in files or ())
    yield now


def _own_files(api: GitHubApi, row: Mapping[str, Any], commit: str) -> list[OwnFile] | None:
    """The person's own files at a commit, None where the repository is other people's work.

    Where other people commit as well, a token lets GitHub be asked for each file's lines, and a file is the person's
    where half of them are; without one the whole repository is, where half of its commits are, or is left out.
    """
    name = row["full_name"]
    share = owned_share(api, name)
    if share == 0 or (api.token is None and share < OWN_COMMITS):
        return None
    response = api.get(f"/repos/{name}/tarball/{commit}", timeout=TARBALL_SECONDS, max_bytes=TARBALL_BYTES)
    files = list(own_files(response.content, shown(response.url)))
    lines = {} if share == 1 else lines_share(api, name, commit, [file.path for file in files]) if api.token else {}
    return [file for file in files if lines.get(file.path, share) >= OWN_LINES]


def _head(api: GitHubApi, row: Mapping[str, Any]) -> str | None:
    """Commit of the default branch, None for an empty repository."""
    try:
        return str(api.json(f"/repos/{row['full_name']}/commits/{row['default_branch']}")["sha"])
    except FetchError as error:
        if error.status == 409:
            return None
        raise


def _document(reading: Reading, row: Mapping[str, Any], file: OwnFile) -> RawDocument:
    """A file as a document; its hash moves with its content alone, so the date is the repository's birthday."""
    readme = PurePosixPath(file.path).stem.lower() == "readme"
    return reading.document(
        external_id=f"{row['full_name']}/{file.path}",
        category=file.category,
        url=f"{row['html_url']}/blob/{quote(row['default_branch'])}/{quote(file.path)}",
        title=file.title or (row["name"] if readme else f"{row['name']}/{file.path}"),
        content=file.content,
        content_type=file.content_type,
        published_at=moment(row.get("created_at")),
        metadata={"repository": row["full_name"], "path": file.path, "language": file.language},
    )


PLATFORM = Platform(
    name="github",
    title="GitHub",
    hint="https://github.com/your-name",
    order=40,
    reads="link",
    normalise=normalise,
    collect=collect,
)
