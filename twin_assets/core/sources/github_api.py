"""Asking GitHub: REST with or without a token, GraphQL with one; every caller's validators are its token's."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from twin_assets.core.errors import FetchError, SourceError
from twin_assets.core.sources.base import Reading
from twin_assets.core.web import WebResponse, shown
from twin_assets.core.web_answers import asked_wait, rate_limited

PUBLIC_API = "https://api.github.com"
# 900 points a minute, of which a read costs one, and at most 100 requests at once (GitHub's secondary limits).
RULE: Mapping[str, Any] = {"interval": 0.1, "connections": 4}
_HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}


class GitHubApi:
    """GitHub's API as one reading asks it; `login` is whose work is read, `key` stands for the token in caches."""

    def __init__(self, reading: Reading) -> None:
        self._web = reading.web
        secret = reading.settings.github_token
        self.token = secret.get_secret_value() if secret else None
        self.login = reading.source.location
        self.base = (reading.source.api_url or PUBLIC_API).rstrip("/")
        # ETags differ from token to token, so that one's are never shown under another.
        self.key = f"{self.base} {hashlib.blake2b((self.token or '').encode(), digest_size=4).hexdigest()}"

    def get(self, address: str, **options: Any) -> WebResponse:
        """One answer; `address` is a path below the API or a whole URL. Raises SourceError, FetchError."""
        url = address if address.startswith("http") else f"{self.base}{address}"
        try:
            return self._web.get(url, headers=_HEADERS, token=self.token, **RULE, **options)
        except FetchError as error:
            if error.status == 404 and "/users/" in url:
                raise SourceError(
                    f"There is no GitHub user {self.login!r} at {shown(url)}; correct the name."
                ) from error
            if error.status == 401:
                raise SourceError(f"GitHub does not take the token in TWIN_GITHUB_TOKEN ({shown(url)}).") from error
            raise

    def json(self, address: str, **options: Any) -> Any:
        """One answer's JSON; raises what get() raises."""
        return parsed(self.get(address, **options))

    def pages(self, address: str, **options: Any) -> Iterator[WebResponse]:
        """An answer and those that follow it; the options are of the first one."""
        response = self.get(address, **options)
        yield response
        while response.next_url:
            response = self.get(response.next_url)
            yield response

    def graphql(self, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The data of a GraphQL query; needs the token. Raises SourceError where GitHub does not answer it whole."""
        address = f"{self.base.removesuffix('/v3')}/graphql"
        body = json.dumps({"query": query, "variables": dict(variables)}).encode()
        response = self._web.post(address, body, headers=_HEADERS, token=self.token, **RULE)
        answer = parsed(response)
        problems = answer.get("errors") or []
        if any(problem.get("type") == "RATE_LIMITED" for problem in problems):  # GraphQL says so under status 200
            raise rate_limited(address, 429, asked_wait(replace(response, status=429)) or 3600.0)
        data = answer.get("data")
        if problems or not isinstance(data, dict):
            said = problems[0].get("message") if problems else "no data"
            raise SourceError(f"GitHub did not answer a question about {self.login} ({said}); try again later.")
        return data


def parsed(response: WebResponse) -> Any:
    """An answer's JSON; raises SourceError."""
    try:
        return json.loads(response.content)
    except ValueError as error:
        raise SourceError(f"{shown(response.url)} is no JSON ({error}); try again later.") from error
