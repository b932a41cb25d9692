"""Whose files a repository's are where several people work on it: by the lines, which GitHub tells to a token."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from twin_assets.core.sources.github_api import GitHubApi

OWN_LINES = 0.5  # share of a file's lines that makes it the person's
OWN_COMMITS = 0.5  # and of a repository's commits, where lines cannot be asked for
AT_ONCE = 20  # files of one question
MOST_FILES = 400  # files of one repository that are asked for: 20 questions


def lines_share(api: GitHubApi, name: str, commit: str, paths: Sequence[str]) -> dict[str, float]:
    """Path to the share of its lines the person wrote last; `paths` of one commit, at most MOST_FILES are asked."""
    owner, _, repository = name.partition("/")
    shares: dict[str, float] = {}
    asked = list(paths)[:MOST_FILES]
    for start in range(0, len(asked), AT_ONCE):
        some = asked[start : start + AT_ONCE]
        # Paths are written into the question as JSON strings, which are GraphQL strings as well.
        parts = "\n".join(
            f"f{number}: blame(path: {json.dumps(path)}) {{ ranges {{ startingLine endingLine "
            "commit { author { user { login } } } } }"
            for number, path in enumerate(some)
        )
        query = (
            "query($owner: String!, $name: String!, $commit: GitObjectID!) { repository(owner: $owner, name: $name) "
            f"{{ object(oid: $commit) {{ ... on Commit {{ {parts} }} }} }} }}"
        )
        answer = api.graphql(query, {"owner": owner, "name": repository, "commit": commit})
        found = ((answer.get("repository") or {}).get("object")) or {}
        for number, path in enumerate(some):
            shares[path] = _share(api.login, (found.get(f"f{number}") or {}).get("ranges") or [])
    return shares


def _share(login: str, ranges: Sequence[Mapping[str, Any]]) -> float:
    own = total = 0
    for lines in ranges:
        count = int(lines["endingLine"]) - int(lines["startingLine"]) + 1
        user = ((lines["commit"].get("author") or {}).get("user") or {}).get("login") or ""
        total += count
        own += count * (user.lower() == login.lower())
    return own / total if total else 1.0
