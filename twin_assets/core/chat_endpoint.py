"""ChatEndpoint: an OpenAI-compatible model the operator configured (a teacher, a judge), asked for text or an object.

Built for small local models as much as for paid ones: the form is asked for through `response_format` where the server
takes it and in the prompt always; the object is looked for in whatever was answered; an answer that does not fit is
asked for again with what is wrong with it. Waits as long as the endpoint says, a bounded number of times. What is sent
and answered is never logged nor part of an error. The operator named the host, so it alone may be a private address;
redirects are not followed and no proxy is used.
"""

import json
import random
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar, overload
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, ValidationError

from twin_assets.core.errors import ConfigurationError, EndpointAnswerError, EndpointError, FetchError
from twin_assets.core.network_guard import Deadline, GuardedBackend, GuardedTransport
from twin_assets.core.prompts import Message
from twin_assets.core.web_answers import PassingError, WebResponse, asked_wait, read_body, shown

Value = TypeVar("Value")
Schema = TypeVar("Schema", bound=BaseModel)

RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
# Statuses by which servers refuse a `response_format` they do not know.
UNKNOWN_FORMAT = frozenset({400, 404, 415, 422, 501})
MAXIMUM_BYTES = 4_000_000
CHARACTERS_PER_TOKEN = 4.0  # of English under common tokenizers; only for estimates
_THOUGHT = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Usage:
    """What answers took: tokens in and out, and requests sent.

    estimated: tokens of these that the endpoint did not count, so that they were estimated from the length.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    requests: int = 0
    estimated: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input_tokens + other.input_tokens, self.output_tokens + other.output_tokens,
            self.requests + other.requests, self.estimated + other.estimated,
        )  # fmt: skip

    def cost(self, input_price: float, output_price: float) -> float:
        """Cost at these prices per million tokens."""
        return (self.input_tokens * input_price + self.output_tokens * output_price) / 1e6


@dataclass(frozen=True, slots=True)
class Answer(Generic[Value]):
    """A text, or the object asked for, and what it took."""

    value: Value
    usage: Usage


class ChatEndpoint:
    """Context manager over one connection pool; safe to use from several threads.

    url: base address (…/v1); api_key: sent as a bearer token to that host alone; timeout: seconds one answer may take;
    attempts: requests per question while the endpoint is in trouble; re_asks: further questions where an answer does
    not fit; longest_wait: seconds; an endpoint that asks to wait longer is given up for now; sleep: how to wait.
    Raises ConfigurationError for an address that is none.
    """

    def __init__(
        self,
        url: str,
        model: str,
        api_key: str | None = None,
        *,
        timeout: float = 60.0,
        attempts: int = 4,
        re_asks: int = 2,
        longest_wait: float = 60.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(f"{shown(url)!r} is no endpoint; give its base address, such as https://host/v1.")
        self.url, self.model = url.rstrip("/"), model
        self.timeout, self.attempts, self.re_asks, self.longest_wait = timeout, attempts, re_asks, longest_wait
        self._sleep = sleep
        self._headers = {"Content-Type": "application/json", "Accept-Encoding": "gzip"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._deadline = Deadline()
        self._client = httpx.Client(
            transport=GuardedTransport(GuardedBackend(frozenset({parts.hostname.lower()}), self._deadline)),
            trust_env=False, follow_redirects=False,
        )  # fmt: skip
        self._takes_format = True
        self._quiet_until = 0.0  # monotonic; what one thread was told to wait, all wait
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    @overload
    def complete(
        self, messages: Sequence[Message], schema: None = None, max_tokens: int = ..., temperature: float = ...
    ) -> Answer[str]: ...
    @overload
    def complete(
        self, messages: Sequence[Message], schema: type[Schema], max_tokens: int = ..., temperature: float = ...
    ) -> Answer[Schema]: ...
    def complete(
        self,
        messages: Sequence[Message],
        schema: type[BaseModel] | None = None,
        max_tokens: int = 1_000,
        temperature: float = 0.0,
    ) -> Answer[Any]:
        """The model's answer: its text, or with a `schema` an object of it.

        Raises EndpointError where no answer is to be had, EndpointAnswerError (with the Usage of what was paid for
        nothing in `usage`) where all answers are empty or do not fit.
        """
        conversation = [dict(message) for message in messages]
        if schema is not None:
            conversation = _asking_for(schema, conversation)
        asked = conversation
        usage, problem = Usage(), ""
        for _ in range(1 + self.re_asks):
            text, spent = self._ask(conversation, schema, max_tokens, temperature)
            usage += spent
            text = _THOUGHT.sub("", text).strip()
            if schema is None and text:
                return Answer(text, usage)
            if schema is not None:
                value, problem = read_object(text, schema)
                if value is not None:
                    return Answer(value, usage)
                conversation = [
                    *asked, {"role": "assistant", "content": text or "(nothing)"},
                    {"role": "user", "content": f"That does not fit: {problem}. Answer again, with the JSON alone."},
                ]  # fmt: skip
        raise EndpointAnswerError(
            f"The model {self.model} at {shown(self.url)} did not answer as asked in {1 + self.re_asks} attempts"
            f"{f' ({problem})' if problem else ' (empty answers)'}.",
            usage=usage,
        )

    def _ask(
        self, messages: Sequence[Message], schema: type[BaseModel] | None, max_tokens: int, temperature: float
    ) -> tuple[str, Usage]:
        body: dict[str, Any] = {
            "model": self.model, "messages": list(messages), "max_tokens": max_tokens, "temperature": temperature,
        }  # fmt: skip
        if schema is not None and self._takes_format:
            named = {"name": schema.__name__.strip("_"), "schema": schema.model_json_schema()}
            response = self._send(body | {"response_format": {"type": "json_schema", "json_schema": named}})
            if response.status in UNKNOWN_FORMAT:
                refused, response = response, self._send(body)
                # Refused for another reason where it is refused without the format as well.
                self._takes_format = response.status == refused.status
        else:
            response = self._send(body)
        if response.status != 200:
            raise EndpointError(
                f"The endpoint {shown(self.url)} refuses with status {response.status}; check its address, the name of "
                f"the model ({self.model}) and the key."
            )
        try:
            answer = json.loads(response.content)
            text = answer["choices"][0]["message"]["content"] or ""
            if not isinstance(text, str):
                raise TypeError("content is no text")
        except (ValueError, KeyError, IndexError, TypeError):
            # What is no chat completion at all counts as an answer that does not fit: it is asked for again.
            text, answer = "", {}
        return text, _usage(answer, messages, text)

    def _send(self, body: dict[str, Any]) -> WebResponse:
        """One request, again after a pause where that may help."""
        for attempt in range(1, self.attempts + 1):
            self._keep_quiet()
            wait: float | None = None
            try:
                response = self._once(json.dumps(body, ensure_ascii=False).encode())
            except PassingError as error:
                if attempt == self.attempts:
                    raise EndpointError(f"The endpoint {shown(self.url)} {error}; see that it runs.") from error
            else:
                if response.status not in RETRIED:
                    return response
                wait = asked_wait(response)
                if attempt == self.attempts or (wait or 0.0) > self.longest_wait:
                    what = f"asks to wait {wait:.0f} seconds" if wait else f"answers with status {response.status}"
                    raise EndpointError(f"The endpoint {shown(self.url)} {what}; try again later.")
            wait = 0.5 * 2 ** (attempt - 1) * random.uniform(0.5, 1.0) if wait is None else wait
            with self._lock:
                self._quiet_until = max(self._quiet_until, time.monotonic() + wait)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _keep_quiet(self) -> None:
        with self._lock:
            wait = self._quiet_until - time.monotonic()
        if wait > 0:
            self._sleep(wait)

    def _once(self, body: bytes) -> WebResponse:
        url = f"{self.url}/chat/completions"
        self._deadline.start(self.timeout)
        try:
            with self._client.stream(
                "POST", url, headers=self._headers, content=body, timeout=self.timeout
            ) as response:
                content = read_body(response, MAXIMUM_BYTES, url)
                return WebResponse(response.status_code, url, response.headers, content)
        except httpx.TimeoutException as error:
            raise PassingError(f"took longer than {self.timeout:g} seconds") from error
        except (httpx.TransportError, OSError) as error:
            raise PassingError(f"is not reached ({type(error).__name__})") from error
        except FetchError as error:
            raise EndpointError(f"The endpoint {shown(self.url)} sends no readable answer: {error}") from error


def read_object(text: str, schema: type[Schema]) -> tuple[Schema | None, str]:
    """(object, "") from the first JSON object in a text that fits the schema, else (None, what is wrong)."""
    problem = "there is no JSON object in it"
    decoder = json.JSONDecoder(strict=False)  # small models leave line breaks in strings
    at = text.find("{")
    while at >= 0:
        try:
            found, end = decoder.raw_decode(text, at)
        except ValueError:
            problem = "the JSON is not complete or not valid"
            at = text.find("{", at + 1)
            continue
        try:
            return schema.model_validate(found), ""
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            problem = f"{'.'.join(map(str, first['loc'])) or 'the object'}: {first['msg']}"
        at = text.find("{", end)
    return None, problem


def estimated_tokens(text: str) -> int:
    """About how many tokens a text has."""
    return round(len(text) / CHARACTERS_PER_TOKEN + 0.5)


def _asking_for(schema: type[BaseModel], messages: Sequence[Message]) -> list[Message]:
    """The conversation with a last request that says which object is wanted."""
    form = json.dumps(schema.model_json_schema(), ensure_ascii=False)
    wanted = f"Answer with one JSON object and nothing else. It must fit this JSON schema:\n{form}"
    *before, last = messages
    return [*before, {**last, "content": f"{last['content']}\n\n{wanted}"}]


def _usage(answer: Any, messages: Sequence[Message], text: str) -> Usage:
    counted = answer.get("usage") if isinstance(answer, dict) else None
    if isinstance(counted, dict):
        sent, got = counted.get("prompt_tokens"), counted.get("completion_tokens")
        if isinstance(sent, int) and isinstance(got, int):
            return Usage(sent, got, 1)
    sent = estimated_tokens("".join(message["content"] for message in messages))
    got = estimated_tokens(text)
    return Usage(sent, got, 1, sent + got)
