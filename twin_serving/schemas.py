"""What the routes accept, as pydantic models; answers are plain JSON as CONTRACTS and docs list them."""

from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from twin_assets.core.search_options import SearchOptions

# The forms that are asked for; the others are what models learn from.
COMPOSED = ("linkedin_post", "thread", "instagram_caption", "article", "reply", "post")
Length = Literal["short", "usual", "long"]
Wish = Annotated[str, StringConstraints(max_length=200)]
# Ids and names of things, and addresses: what is longer is none.
Name = Annotated[str, StringConstraints(max_length=200)]
Address = Annotated[str, StringConstraints(max_length=2_000)]


class Strict(BaseModel):
    """A field that is not known is a mistake of the caller's, and is said to be one."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class SearchRequest(Strict):
    """Search what the author has written."""

    author: Name
    query: str = Field(min_length=1, max_length=4_000)
    limit: int = Field(default=8, ge=1, le=50)
    category: Literal["post", "article", "code"] | None = None
    platforms: list[Name] = Field(default_factory=list, max_length=20)
    languages: list[Name] = Field(default_factory=list, max_length=20, description="ISO 639-1 codes")
    published_from: AwareDatetime | None = None
    published_until: AwareDatetime | None = Field(default=None, description="the first moment that is too late")
    options: SearchOptions = Field(default_factory=SearchOptions, description="the stages of the search")


class ComposeRequest(Strict):
    """Draft a text; variants: how many drafts of each kind; max_tokens limits each of the model's."""

    author: Name
    prompt: str = Field(min_length=1, max_length=20_000)
    links: list[Address] = Field(default_factory=list, max_length=5)
    format: Name = "linkedin_post"
    reply_to: str | None = Field(default=None, max_length=20_000, description="the text that a reply answers")
    length: Length = "usual"
    tone: Wish | None = None
    audience: Wish | None = None
    call_to_action: Wish | None = None
    language: str | None = Field(default=None, pattern="^[a-z]{2}$", description="ISO 639-1 code")
    variants: int = Field(default=1, ge=1, le=4)
    max_tokens: int | None = Field(default=None, ge=1, le=4_096)
    stream: bool = False

    @field_validator("format")
    @classmethod
    def _known_format(cls, value: str) -> str:
        if value not in COMPOSED:
            raise ValueError(f"there is no format {value!r}; the formats are {', '.join(COMPOSED)}")
        return value

    @model_validator(mode="after")
    def _what_is_answered(self) -> Self:
        if self.format == "reply" and not self.reply_to:
            raise ValueError("a reply needs reply_to, the text that it answers")
        if self.format != "reply" and self.reply_to:
            raise ValueError("reply_to goes with the format reply")
        return self


class SourceRequest(Strict):
    """A place the author publishes."""

    platform: Name
    location: Address = Field(min_length=1)


class ScheduleRequest(Strict):
    """When an author is collected by itself: a cron expression, or None for never."""

    schedule: str | None = Field(max_length=200)


class NamesRequest(Strict):
    """Every other name the author signs with."""

    names: list[Name] = Field(max_length=50)


class TwinRequest(Strict):
    """A new author, with where they publish."""

    id: Name
    name: Name = Field(min_length=1)
    sources: list[SourceRequest] = Field(default_factory=list, max_length=50)


class DecisionRequest(Strict):
    """Why a version is approved or rejected."""

    reason: str = Field(default="decided by hand", max_length=2_000)


class FeedbackRequest(Strict):
    """What the author thinks of a draft, or has made of it."""

    author: Name
    draft_id: Name = Field(min_length=1)
    rating: int | None = Field(default=None, ge=1, le=5, description="1 far off … 5 post it")
    edited_text: str | None = Field(default=None, max_length=100_000)
    comment: str | None = Field(default=None, max_length=10_000)
    chosen: bool | None = Field(default=None, description="this draft was taken over the others of its answer")
