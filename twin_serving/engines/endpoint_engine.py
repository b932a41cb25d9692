"""The generator: any OpenAI-compatible server that writes where no model of the author does; never called a twin."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

from twin_assets.core.chat_endpoint import estimated_tokens
from twin_assets.core.chat_streaming import StreamingEndpoint
from twin_assets.core.errors import EndpointError, ModelError
from twin_assets.settings import Settings
from twin_serving.engines.streaming import Generation, Piece, possible_stop, room_for, stop_at

GENERATOR = "generator"
SERVER_STOPS = 4  # stop strings that OpenAI's form takes; all are looked for here as well
# What an answer ends with that was cut off; every other reason is an end.
CUT_OFF = "length"


class EndpointEngine:
    """An endpoint as an engine. context: tokens that prompt and answer may have together there."""

    def __init__(self, endpoint: StreamingEndpoint, context: int) -> None:
        self.endpoint = endpoint
        self._context = context

    @property
    def context(self) -> int:
        """Tokens that prompt and answer may have together."""
        return self._context

    def generate(self, generation: Generation) -> Iterator[Piece]:
        """Pieces of the answer; the last has `finish`; tokens are estimated until the server has told them.

        Raises InputError where the prompt does not fit and ModelError where the server does not answer.
        """
        prompt = estimated_tokens("".join(message["content"] for message in generation.messages))
        limit = room_for(generation, prompt, self.context)
        options: dict[str, Any] = {
            "max_tokens": limit, "temperature": generation.temperature, "top_p": generation.top_p,
        }  # fmt: skip
        if generation.seed is not None:
            options["seed"] = generation.seed
        if generation.stop:
            options["stop"] = list(generation.stop[:SERVER_STOPS])
        held, text = "", ""
        try:
            with closing(self.endpoint.stream(generation.messages, options, generation.seconds)) as deltas:
                for delta in deltas:
                    held, text = held + delta.text, text + delta.text
                    cut = stop_at(held, generation.stop)
                    written = delta.usage.output_tokens if delta.usage else estimated_tokens(text)
                    prompt = delta.usage.input_tokens if delta.usage else prompt
                    if cut is not None:
                        yield Piece(held[:cut], prompt, written, "stop")
                        return
                    if delta.finish is not None:
                        yield Piece(held, prompt, written, "length" if delta.finish == CUT_OFF else "stop")
                        return
                    ready = len(held) - possible_stop(held, generation.stop)
                    if ready:
                        yield Piece(held[:ready], prompt, written)
                        held = held[ready:]
        except EndpointError as error:
            raise ModelError(f"The generator does not answer: {error}") from error


def generator_of(settings: Settings) -> EndpointEngine | None:
    """The generator of a deployment, None where none is set."""
    if settings.generator_url is None:
        return None
    key = settings.generator_key.get_secret_value() if settings.generator_key else None
    endpoint = StreamingEndpoint(settings.generator_url, settings.generator_model, key)
    return EndpointEngine(endpoint, settings.generator_context)


def generator_name(settings: Settings) -> str:
    """What answers of the generator carry in place of a version."""
    return f"{GENERATOR}:{settings.generator_model}"
