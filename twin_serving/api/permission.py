"""Who asks, and whether they may: the one place where keys, levels and authors are weighed against a request."""

import json
import math
import re
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from starlette.requests import HTTPConnection

from twin_assets.core.clients import EVERYONE, LEVELS, Client, ClientStore, Level, digest_of
from twin_assets.core.errors import TwinError

# What may be asked with "read" and "write" beside GET, which is "read"; everything else wants "admin".
READ = frozenset({"/v1/search"})
WRITE = frozenset({"/v1/chat/completions", "/v1/compose", "/v1/feedback"})
# Requests that concern no author: lists name those alone that may be seen, and /mcp weighs each call of a tool.
# What is not among them (/metrics, /info, and whatever comes to be) is for keys of all authors.
GENERAL = frozenset({"/", "/v1/twins", "/v1/models", "/v1/platforms", "/mcp", "/docs", "/redoc", "/openapi.json"})
PRINCIPAL = "twin.principal"
# What a sentence about an unknown author says of those there are.
KNOWN = re.compile(r" \(known: [^)]*\)")


class NotPermittedError(TwinError):
    """The key is known and may not do this."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. client None: the operator, who may do everything, or the server itself."""

    client: Client | None = None
    internal: bool = False

    def may_see(self, author: str) -> bool:
        """Whether this author may be named to who asks."""
        return self.client is None or self.client.may_see(author)

    def told(self, sentence: str) -> str:
        """A sentence as who asks may read it: without the names of other authors."""
        return sentence if self.client is None else KNOWN.sub("", sentence)

    def demand(self, author: str, level: Level) -> None:
        """Raise NotPermittedError unless who asks may do this for this author."""
        if self.client is None:
            return
        self.demand_level(level)
        if not self.client.may_see(author):
            # Not whether there is such an author.
            raise NotPermittedError(f"The key of {self.client.name} is not for the author {author!r}.")

    def demand_level(self, level: Level) -> None:
        """Raise NotPermittedError where the key's level is below this."""
        if self.client is not None and LEVELS.index(self.client.may) < LEVELS.index(level):
            raise NotPermittedError(
                f"The key of {self.client.name} may {self.client.may}; this takes a key that may {level}."
            )


OPERATOR = Principal()
INTERNAL = Principal(internal=True)


def principal_of(request: HTTPConnection) -> Principal:
    """Who asks, as the guard found out."""
    found = request.scope.get(PRINCIPAL)
    if not isinstance(found, Principal):
        raise NotPermittedError("Nobody said who asks; the guard stands before every route.")
    return found


def refuse_folders(principal: Principal) -> None:
    """Raise NotPermittedError for clients: the folders of this machine are the operator's to name, on it."""
    if principal.client is not None:
        raise NotPermittedError(
            f"The key of {principal.client.name} cannot name folders of the server's machine; its operator adds them."
        )


class Keys:
    """The keys a server takes. open: who has no key is the operator, as long as there is none at all."""

    def __init__(self, operator_key: str | None, clients: ClientStore | None, *, open_without: bool) -> None:
        self._operator = None if operator_key is None else digest_of(operator_key)
        self.clients = clients
        self._open_without = open_without
        # The composer asks this server's own chat endpoint; the web process is forked with it.
        self.internal = secrets.token_urlsafe(32)
        self._internal = digest_of(self.internal)

    @property
    def open(self) -> bool:
        """Whether no key is asked for: none is set, none is given out, and only this machine can ask."""
        return self._open_without and self._operator is None and not (self.clients and self.clients.list())

    def principal(self, key: str | None) -> Principal | None:
        """Who has this key; None for nobody. Raises ConfigurationError where the clients cannot be read."""
        digest = digest_of(key or "")
        internal = secrets.compare_digest(digest, self._internal)
        operator = self._operator is not None and secrets.compare_digest(digest, self._operator)
        if internal or operator:
            return INTERNAL if internal else OPERATOR
        client = self.clients.find(key) if self.clients and key else None
        if client is not None:
            return Principal(client)
        return OPERATOR if self.open else None


def needs(method: str, path: str) -> Level:
    """The level that a request takes."""
    if method in ("GET", "HEAD", "OPTIONS") or path in READ:
        return "read"
    # What an agent may do by MCP is weighed with each tool.
    return "read" if path == "/mcp" else "write" if path in WRITE else "admin"


def authors_named(path: str, query: Mapping[str, str], body: bytes) -> set[str]:
    """Every author a request names: in its path, as `author`, as `model` (author[@version]) or, for a new one, `id`."""
    parts = path.split("/")
    found = {parts[3]} if path.startswith("/v1/twins/") and len(parts) > 3 else set()
    fields: Any = {}
    with suppress(ValueError, RecursionError):  # the route says what is wrong with it
        # As FastAPI reads it: of a name that is there twice the last counts.
        fields = json.loads(body) if body else {}
    fields = fields if isinstance(fields, dict) else {}
    for named in (query.get("author"), fields.get("author"), fields.get("id") if path == "/v1/twins" else None):
        if isinstance(named, str):
            found.add(named.strip())
    if isinstance(model := fields.get("model"), str):
        found.add(model.partition("@")[0].strip())
    return found


def check(principal: Principal, method: str, path: str, query: Mapping[str, str], body: bytes) -> None:
    """Raise NotPermittedError unless who asks may ask this; what is not known to concern an author is refused."""
    client = principal.client
    if client is None:
        return
    principal.demand_level(needs(method, path))
    authors = authors_named(path, query, body)
    for author in authors:
        principal.demand(author, "read")
    if not authors and path not in GENERAL and EVERYONE not in client.authors:
        raise NotPermittedError(
            f"Name an author that the key of {client.name} is for ({', '.join(client.authors)}); this request names "
            "none, or concerns all of them."
        )


class Buckets:
    """A token bucket for each client: a minute's requests may come at once, then they come at the rate."""

    def __init__(self) -> None:
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, client: Client, now: float | None = None) -> int | None:
        """Take one request; None where there is one left, else the whole seconds until there is."""
        rate = client.requests_per_minute
        if rate == 0:
            return None
        now = time.monotonic() if now is None else now
        left, since = self._left.get(client.digest, (float(rate), now))
        left = min(float(rate), left + (now - since) * rate / 60)
        # Who waits as long as told gets in: the sum of the parts of a second may lack the last digit.
        allowed = left >= 1 - 1e-9
        self._left[client.digest] = (max(0.0, left - allowed), now)
        return None if allowed else max(1, math.ceil((1 - left) * 60 / rate))
