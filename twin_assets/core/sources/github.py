"""GitHub: the READMEs, docs and code of the repositories a person owns, one tarball per changed commit.

Forks are left out, and so is everything that is not the owner's own by linguist's conventions.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from twin_assets.core.documents import RawDocument
from twin_assets.core.errors import FetchError, InputError, SourceError
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
from twin_assets.core.sources.repository_files import OwnFile, own_files
from twin_assets.core.web import WebResponse, shown

PUBLIC_API = "https://api.github.com"
TARBALL_SECONDS, TARBALL_BYTES = 120.0, 200_000_000
_LOGIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,37}[A-Za-z0-9])?")
_HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}


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
    """Own files of every repository whose default branch moved; the others are kept without a request."""
    pages, rows = _repositories(reading)
    before: Mapping[str, Any] = reading.cursor.get("repositories", {})
    if rows is None:
        yield Done(reading.cursor, unchanged=True)
        return
    states = dict(before)
    seen = {}
    for row in rows:
        name = row["full_name"]
        if row.get("fork") or row.get("private"):
            continue
        state = before.get(name, {})
        # pushed_at moves with every push, to any branch: while it stands still nothing has to be asked.
        if state and state.get("pushed_at") == row.get("pushed_at"):
            seen[name] = state
            yield Kept(f"{name}/")
            continue
        commit = _head(reading, row)
        if commit is not None and commit == state.get("commit"):
            yield Kept(f"{name}/")
        elif commit is not None:
            for file in own_files(*_tarball(reading, name, commit)):
                yield Found(_document(reading, row, file))
        seen[name] = states[name] = {"pushed_at": row.get("pushed_at"), "commit": commit}
        yield Checkpoint({"repositories": dict(states)})
    yield Done({"repositories": seen, "pages": pages}, complete=True)


def _repositories(reading: Reading) -> tuple[dict[str, Any], list[dict[str, Any]] | None]:
    """(validators of the listing's pages, repositories), None for those where no page changed.

    ETags differ from token to token, so the validators are kept under a fingerprint of the token.
    """
    secret = reading.settings.github_token
    token = secret.get_secret_value() if secret else ""
    api = (reading.source.api_url or PUBLIC_API).rstrip("/")
    key = f"{api} {hashlib.blake2b(token.encode(), digest_size=4).hexdigest()}"
    kept = reading.cursor.get("pages", {})
    first = f"{api}/users/{reading.source.location}/repos?type=owner&sort=full_name&per_page=100"
    if kept.get("key") == key and len(kept["etags"]) == 1 and _get(reading, first, etag=kept["etags"][0]).not_modified:
        return kept, None
    rows: list[dict[str, Any]] = []
    etags = []
    url: str | None = first
    while url:
        response = _get(reading, url)
        rows += _json(response)
        etags.append(response.etag)
        url = response.next_url
    return {"key": key, "etags": etags}, rows


def _head(reading: Reading, row: Mapping[str, Any]) -> str | None:
    """Commit of the default branch, None for an empty repository."""
    try:
        response = _get(reading, f"{_repository(reading, row['full_name'])}/commits/{row['default_branch']}")
    except FetchError as error:
        if error.status == 409:
            return None
        raise
    return str(_json(response)["sha"])


def _tarball(reading: Reading, name: str, commit: str) -> tuple[bytes, str]:
    url = f"{_repository(reading, name)}/tarball/{commit}"
    response = _get(reading, url, timeout=TARBALL_SECONDS, max_bytes=TARBALL_BYTES)
    return response.content, shown(url)


def _document(reading: Reading, row: Mapping[str, Any], file: OwnFile) -> RawDocument:
    """A file as a document; its hash moves with its content alone, so the date is the repository's birthday."""
    readme = PurePosixPath(file.path).stem.lower() == "readme"
    return reading.document(
        external_id=f"{row['full_name']}/{file.path}",
        category=file.category,
        url=f"{row['html_url']}/blob/{row['default_branch']}/{file.path}",
        title=file.title or (row["name"] if readme else f"{row['name']}/{file.path}"),
        content=file.content,
        content_type=file.content_type,
        published_at=moment(row.get("created_at")),
        metadata={"repository": row["full_name"], "path": file.path, "language": file.language},
    )


def _repository(reading: Reading, name: str) -> str:
    return f"{(reading.source.api_url or PUBLIC_API).rstrip('/')}/repos/{name}"


def _get(reading: Reading, url: str, **options: Any) -> WebResponse:
    token = reading.settings.github_token
    secret = token.get_secret_value() if token else None
    try:
        return reading.web.get(url, headers=_HEADERS, token=secret, **options)
    except FetchError as error:
        if error.status == 404 and url.partition("?")[0].endswith("/repos"):
            raise SourceError(
                f"There is no GitHub user {reading.source.location!r} at {shown(url)}; correct the name."
            ) from error
        if error.status == 401:
            raise SourceError(f"GitHub does not take the token in TWIN_GITHUB_TOKEN ({shown(url)}).") from error
        raise


def _json(response: WebResponse) -> Any:
    try:
        return json.loads(response.content)
    except ValueError as error:
        raise SourceError(f"{shown(response.url)} is no JSON ({error}); try again later.") from error


PLATFORM = Platform(
    name="github",
    title="GitHub",
    hint="https://github.com/your-name",
    order=40,
    reads="link",
    normalise=normalise,
    collect=collect,
)
