"""The exception tree: what a user can meet is a TwinError with one sentence that says what, where and what to do."""


class TwinError(Exception):
    """Base of every error this project raises on purpose."""


class ConfigurationError(TwinError):
    """A setting, an author file or an option is wrong."""


class BrokenFileError(ConfigurationError):
    """A file that this project keeps cannot be read: nothing that whoever asks could ask otherwise."""


class UnknownAuthorError(ConfigurationError):
    """The named author has not been added."""


class InputError(TwinError):
    """Something the user handed in cannot be used: not an export, not a profile link, no text."""


class FetchError(TwinError):
    """A remote read failed; carries the URL and, where there was an answer, the HTTP status."""

    def __init__(self, message: str, *, url: str, status: int | None = None) -> None:
        super().__init__(message)
        self.url = url
        self.status = status


class BlockedAddressError(FetchError):
    """The URL leads to an address the guarded client does not open (private, loopback, metadata)."""


class DisallowedError(FetchError):
    """The site's robots.txt does not let programs read the page."""


class RateLimitedError(FetchError):
    """The platform asked to wait; `retry_at` is the epoch second at which to go on, if it said so."""

    def __init__(self, message: str, *, url: str, status: int | None = None, retry_at: float | None = None) -> None:
        super().__init__(message, url=url, status=status)
        self.retry_at = retry_at


class SourceError(TwinError):
    """A source could not be read; it fails alone."""


class LakeError(TwinError):
    """The lake could not be read or written."""


class VersionGoneError(LakeError):
    """A version of a table that lies before the retention: its files were removed."""


class IndexMissingError(TwinError):
    """No index has been published for this author yet."""

    def __init__(self, author: str) -> None:
        super().__init__(f"Nothing is indexed for {author!r} yet; run `twin run {author}` first.")


class TooLittleTextError(InputError):
    """There is not enough writing to train on or to compose from."""


class ModelError(TwinError):
    """A base model, adapter or model version cannot be found, loaded or trained."""


class UnknownModelError(ModelError):
    """The named base model or model version does not exist or cannot be reached."""


class GateError(TwinError):
    """A promotion was asked for that the gate or the registry does not allow."""


class ServingError(TwinError):
    """The serving API could not be reached or answered with an error."""


class VectorIndexError(TwinError):
    """The vector index could not be read or written."""


class EndpointError(TwinError):
    """A configured OpenAI-compatible endpoint is down, slow, refuses or keeps asking to wait."""


class EndpointAnswerError(EndpointError):
    """The endpoint answered, and after all re-asks still not in the form that was asked for.

    usage: what those answers took (chat_endpoint.Usage).
    """

    def __init__(self, message: str, *, usage: object = None) -> None:
        super().__init__(message)
        self.usage = usage


def first_line(error: Exception) -> str:
    """The first line of what an error of a library says, at most 300 characters, without its full stop."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300].rstrip(".")
