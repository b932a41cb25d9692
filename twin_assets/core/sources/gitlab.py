"""GitLab, gitlab.com or one's own: the files and release notes of the public projects a person owns.

Files come as one archive per changed commit; forks are left out, and so are, by linguist's conventions, files that are
not the owner's own, and projects where more than half of the commits are other people's.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from twin_assets.core.errors import FetchError, InputError, SourceError
from twin_assets.core.sources.base import Checkpoint, Done, Event, Found, Kept, Platform, Reading, moment, web_address
from twin_assets.core.sources.repository_files import own_files
from twin_assets.core.web import WebResponse, shown

ARCHIVE_SECONDS, ARCHIVE_BYTES = 120.0, 200_000_000
OWN_COMMITS = 0.5
WORDS = 12  # release notes with fewer words are a label
_NAME = re.compile(r"[A-Za-z0-9_][\w.-]{0,254}")


def normalise(location: str) -> str:
    """`https://gitlab.com/<name>` (or of another host) of a profile link or a bare name."""
    text = location.strip().removeprefix("@")
    if _NAME.fullmatch(text) and not text.lower().endswith((".com", ".org", ".net")):
        return f"https://gitlab.com/{text}"
    origin, host, parts = web_address(text)
    if len(parts) != 1 or not _NAME.fullmatch(parts[0]) or re.search(r"(^|\.)(github|linkedin|medium)\.com$", host):
        raise InputError(
            f"{location!r} is not a GitLab profile; its link looks like https://gitlab.com/your-name (one source reads "
            "every project of the person)."
        )
    return f"{origin}/{parts[0]}"


def collect(reading: Reading) -> Iterator[Event]:
    """Own files and release notes of every project with activity since the last reading; the others are kept."""
    origin, _, login = reading.source.location.rpartition("/")
    api = (reading.source.api_url or f"{origin}/api/v4").rstrip("/")
    people = _json(reading.web.get(f"{api}/users", params={"username": login}))
    if not people:
        raise SourceError(f"There is no GitLab user {login!r} at {shown(origin)}; correct the name.")
    before: Mapping[str, Any] = reading.cursor.get("projects", {})
    states = dict(before)
    seen, foreign = {}, []
    listing = f"{api}/users/{people[0]['id']}/projects?owned=true&visibility=public&order_by=id&per_page=100"
    for project in _pages(reading, listing):
        name = project["path_with_namespace"]
        if project.get("forked_from_project") or project.get("visibility", "public") != "public":
            continue
        state = before.get(name, {})
        now = {"active": project.get("last_activity_at"), "commit": _head(reading, api, project)}
        if state and state.get("active") == now["active"] and state.get("commit") == now["commit"]:
            yield Kept(f"{name}/")
        else:
            yield from _releases(reading, api, project, login)
            if _share(reading, api, project, people[0]) < OWN_COMMITS:
                foreign.append(name)
            elif now["commit"] is not None and now["commit"] == state.get("commit"):
                yield Kept(f"{name}/")
            elif now["commit"] is not None:
                yield from _files(reading, api, project, str(now["commit"]))
        seen[name] = states[name] = now
        yield Checkpoint({"projects": states})
    message = f"The files of {', '.join(foreign)} are mostly other people's and were left out." if foreign else ""
    yield Done({"projects": seen}, complete=True, message=message)


def _files(reading: Reading, api: str, project: Mapping[str, Any], commit: str) -> Iterator[Found]:
    address = f"{api}/projects/{project['id']}/repository/archive.tar.gz"
    packed = reading.web.get(
        address, params={"sha": commit}, timeout=ARCHIVE_SECONDS, max_bytes=ARCHIVE_BYTES
    ).content  # fmt: skip
    name, branch = project["path_with_namespace"], project["default_branch"]
    for file in own_files(packed, shown(address)):
        readme = PurePosixPath(file.path).stem.lower() == "readme"
        yield Found(
            reading.document(
                external_id=f"{name}/{file.path}",
                category=file.category,
                url=f"{project['web_url']}/-/blob/{branch}/{quote(file.path)}",
                title=file.title or (project["name"] if readme else f"{project['name']}/{file.path}"),
                content=file.content,
                content_type=file.content_type,
                published_at=moment(project.get("created_at")),
                metadata={"repository": name, "path": file.path, "language": file.language},
            )
        )


def _releases(reading: Reading, api: str, project: Mapping[str, Any], login: str) -> Iterator[Found]:
    name = project["path_with_namespace"]
    for row in _pages(reading, f"{api}/projects/{project['id']}/releases?per_page=100"):
        text = str(row.get("description") or "").strip()
        author = str((row.get("author") or {}).get("username") or "")
        if author.lower() == login.lower() and len(text.split()) >= WORDS:
            yield Found(
                reading.document(
                    external_id=f"{name}/:releases/{row['tag_name']}",
                    category="post",
                    url=f"{project['web_url']}/-/releases/{quote(row['tag_name'], safe='')}",
                    title=row.get("name") or row["tag_name"],
                    content=text,
                    content_type="text/markdown",
                    published_at=moment(row.get("released_at")),
                    metadata={"kind": "release", "repository": name},
                )
            )


def _share(reading: Reading, api: str, project: Mapping[str, Any], person: Mapping[str, Any]) -> float:
    """Share of the project's commits that carry the person's name; 1 for a project without any."""
    try:
        rows = list(_pages(reading, f"{api}/projects/{project['id']}/repository/contributors?per_page=100"))
    except FetchError as error:
        if error.status in (403, 404):
            return 1.0
        raise
    names = {str(person.get("name")).casefold(), str(person.get("username")).casefold()}
    own = sum(int(row["commits"]) for row in rows if str(row.get("name")).casefold() in names)
    total = sum(int(row["commits"]) for row in rows)
    return own / total if total else 1.0


def _head(reading: Reading, api: str, project: Mapping[str, Any]) -> str | None:
    """Commit of the default branch, None for an empty repository."""
    branch = project.get("default_branch")
    if not branch or project.get("empty_repo"):
        return None
    address = f"{api}/projects/{project['id']}/repository/commits/{quote(branch, safe='')}"
    try:
        return str(_json(reading.web.get(address))["id"])
    except FetchError as error:
        if error.status in (403, 404):  # the repository is switched off or empty
            return None
        raise


def _pages(reading: Reading, url: str) -> Iterator[dict[str, Any]]:
    following: str | None = url
    while following:
        response = reading.web.get(following)
        yield from _json(response)
        following = response.next_url


def _json(response: WebResponse) -> Any:
    try:
        return json.loads(response.content)
    except ValueError as error:
        raise SourceError(f"{shown(response.url)} is no JSON ({error}); check that this is a GitLab.") from error


PLATFORM = Platform(
    name="gitlab",
    title="GitLab",
    hint="https://gitlab.com/your-name",
    order=45,
    reads="link",
    normalise=normalise,
    collect=collect,
)
