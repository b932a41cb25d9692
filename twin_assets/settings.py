"""Settings: the only reader of environment variables. Every field is `TWIN_<NAME>`; README and docs list them."""

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


def default_home() -> Path:
    """`.twin` beside the packages in a checkout, `~/.twin` where the project is installed as a wheel."""
    checkout = Path(__file__).resolve().parent.parent
    return checkout / ".twin" if (checkout / "pyproject.toml").is_file() else Path.home() / ".twin"


class Settings(BaseSettings):
    """What a deployment can set; secrets come from here and are never logged."""

    model_config = SettingsConfigDict(env_prefix="TWIN_", extra="ignore", env_ignore_empty=True)

    home: Path = Field(default_factory=default_home, description="Folder of everything the user makes.")

    lake_uri: str | None = Field(
        default=None, description="Where the Delta tables live; default `<home>/lake`, or s3://…"
    )
    lake_retention_days: float = Field(
        default=30.0, ge=1, description="Days for which every version of every table can be read."
    )
    s3_endpoint_url: str | None = None
    s3_region: str = "us-east-1"
    s3_access_key_id: SecretStr | None = None
    s3_secret_access_key: SecretStr | None = None

    qdrant_url: str | None = Field(default=None, description="Qdrant server; default: embedded Qdrant Edge under home.")
    qdrant_api_key: SecretStr | None = None
    index_quantization: Literal["none", "scalar", "turbo"] = Field(
        default="none", description="How the index keeps vectors for searching; what is found is scored exactly."
    )
    reranker_folder: Path | None = Field(
        default=None, description="Folder of a cross-encoder (config, tokenizer, model.onnx) for searches that want it."
    )
    question_model_url: str | None = Field(
        default=None, description="OpenAI-compatible endpoint (…/v1) that reads questions; default: rules do."
    )
    question_model: str = Field(default="default", description="Name of the model asked there.")
    question_model_key: SecretStr | None = None
    mlflow_tracking_uri: str | None = Field(default=None, description="Default: SQLite under home.")

    embedding_model: str = Field(
        default="all-MiniLM-L6-v2", description="all-MiniLM-L6-v2 | all-MiniLM-L6-v2-fp32 | <hub id> | <folder>"
    )
    base_model: str = Field(default="auto", description="auto | nano | <hub id> | <folder>")
    hub_endpoint: str = Field(default="https://huggingface.co", description="Model hub that base models come from.")
    approval: Literal["auto", "manual"] = "auto"
    forget_policy: Literal["withdraw", "retrain", "keep"] = Field(
        default="withdraw",
        description="Models that learned a forgotten document: withdraw | retrain (withdraw and train anew) | keep.",
    )
    training_recipe: dict[str, Any] = Field(
        default_factory=dict,
        description='Numbers of the training set otherwise, as JSON: {"rank": 32, "method": "dora"}; see docs.',
    )
    training_launcher: Path | None = Field(
        default=None, description="accelerate configuration (deploy/accelerate/…) of a training in several processes."
    )
    training_minutes: float = Field(default=1.0, description="Time budget of one training of the nano model.")

    training_automatic: bool = Field(
        default=True, description="Whether training starts by itself; an author may differ."
    )
    minimum_new_samples: int = Field(default=20, ge=1, description="New samples that start a training by itself.")
    minimum_new_share: float = Field(
        default=0.02, ge=0, le=1, description="Share of the samples learned before that the new ones must make up."
    )
    minimum_new_pairs: int = Field(
        default=10, ge=1, description="New edits and choices of drafts that start a preference tuning by itself."
    )
    training_quiet_minutes: float = Field(default=10.0, ge=0, description="Wait after the dataset's last change.")
    training_runs_per_week: int = Field(
        default=14, ge=0, description="Trainings that may start by themselves in 7 days."
    )
    training_minutes_per_week: float | None = Field(
        default=None, ge=0, description="Minutes of trainings in 7 days after which none starts by itself; unset: any."
    )

    gate_margin: float = Field(
        default=0.001, ge=-1, le=1, description="Share by which held-out loss must be below the base's."
    )
    gate_champion: Literal["measured", "not_worse", "better"] = Field(
        default="measured", description="How sure it must be that a candidate holds against the version that is served."
    )
    gate_champion_margin: float = Field(
        default=0.01, ge=0, le=1, description="Share by which its held-out loss may be above the served version's."
    )
    gate_voice_points: float = Field(
        default=10.0, ge=0, le=100, description="Voice points it may be behind the served version and the baseline."
    )
    gate_judged_margin: float = Field(
        default=0.1, ge=0, le=1, description="Share of a judge's scale it may be behind, likewise."
    )
    gate_memorised_words: int = Field(default=25, ge=5, description="Longest copied run of words in what it writes.")
    gate_format_failures: float = Field(
        default=0.5, ge=0, le=1, description="Share of texts that may break their format."
    )
    gate_required: str = Field(
        default="base_loss,memorised,leaks",
        description="Comma-separated rules without whose figures nothing is decided.",
    )

    judge_url: str | None = Field(
        default=None,
        description="OpenAI-compatible endpoint (…/v1) that judges texts; default: judge-free figures only.",
    )
    judge_model: str = Field(default="default", description="Name of the model asked there.")
    judge_key: SecretStr | None = None
    judge_timeout: float = Field(default=60.0, gt=0, description="Seconds one answer of the judge may take.")
    judge_minutes: float = Field(default=30.0, gt=0, description="Minutes the judge may take for one evaluation.")
    judge_input_price: float = Field(default=0.0, ge=0, description="Price of a million tokens read by the judge.")
    judge_output_price: float = Field(default=0.0, ge=0, description="Price of a million tokens it writes.")

    teacher_url: str | None = Field(
        default=None, description="OpenAI-compatible endpoint (…/v1) that writes instructions; default: rules do."
    )
    teacher_model: str = Field(default="default", description="Name of the model asked there.")
    teacher_key: SecretStr | None = None
    teacher_timeout: float = Field(default=60.0, gt=0, description="Seconds one answer of the teacher may take.")
    teacher_connections: int = Field(default=2, ge=1, description="Requests to the teacher at once.")
    teacher_input_price: float = Field(default=0.0, ge=0, description="Price of a million tokens read by the teacher.")
    teacher_output_price: float = Field(default=0.0, ge=0, description="Price of a million tokens it writes.")
    teacher_budget: float | None = Field(
        default=None,
        ge=0,
        description="Most that the teacher may cost in one run; what is beyond it waits for the next.",
    )
    context_share: float = Field(
        default=0.3, ge=0, le=1, description="Share of samples that carry passages of the author's other documents."
    )
    preference_answers: int | None = Field(
        default=None,
        ge=0,
        description="Answers of the base model (never of nano) set against the author's words; unset: 32, as soon as "
        "the author's own pairs are enough for preference tuning.",
    )

    allowed_hosts: str = Field(
        default="",
        description="Comma-separated host or host:port names that fetches may open although private.",
    )
    github_token: SecretStr | None = None
    linkedin_token: SecretStr | None = Field(
        default=None, description="OAuth token of LinkedIn's Member Data Portability API."
    )
    request_timeout: float = Field(default=20.0, description="Seconds a remote read may take.")
    time_zone: str = Field(default="UTC", description="IANA name of the zone that authors' timetables are read in.")
    alert_webhook: SecretStr | None = Field(
        default=None, description="Address that is told of failed runs; may hold a token, so it is kept out of logs."
    )

    keep_prompts: bool = Field(
        default=False, description="Whether traces in MLflow hold prompts and texts; without, steps and figures alone."
    )
    input_price: float = Field(default=0.0, ge=0, description="Price of a million tokens that served models read.")
    output_price: float = Field(default=0.0, ge=0, description="Price of a million tokens that they write.")

    host: str = Field(default="127.0.0.1", description="Address the serving API binds to.")
    port: int = Field(default=8100, description="Port of the serving API.")
    api_key: SecretStr | None = Field(
        default=None, description="The operator's key; where it is set, whoever asks must send it or a client's."
    )
    serving_rows: int = Field(default=16, ge=1, description="Answers that are written at once.")
    serving_queue: int = Field(
        default=64, ge=0, description="Requests to models that may wait; beyond, clients are told to come again (429)."
    )
    serving_compositions: int = Field(
        default=16,
        ge=1,
        le=32,  # each holds one of the web process's 40 threads
        description="Compositions that are made at once; beyond, clients are told to come again (429).",
    )
    serving_seconds: float = Field(default=240.0, gt=0, description="Seconds one answer may take, waiting included.")
    serving_drain_seconds: float = Field(
        default=30.0, ge=0, description="Seconds that running answers have to finish when the server is to end."
    )
    adapter_memory_mb: int = Field(
        default=1000, ge=0, description="Adapters on one base stay loaded up to this size together."
    )
    engine: Literal["auto", "reference"] = Field(
        default="auto",
        description="What computes answers: auto (the fastest there is: vLLM, an exported model) or the reference.",
    )
    export_memory_mb: int = Field(default=2000, ge=0, description="Exported models stay loaded up to this size.")
    generator_url: str | None = Field(
        default=None, description="OpenAI-compatible endpoint (…/v1) that writes drafts where no model does."
    )
    generator_model: str = Field(default="default", description="Name of the model asked there.")
    generator_key: SecretStr | None = None
    generator: Literal["fallback", "always"] = Field(
        default="fallback", description="Whether it writes for authors without an approved model, or for all."
    )
    generator_context: int = Field(default=8192, ge=512, description="Tokens its prompt and answer may have together.")
    serving_url: str = Field(default="http://127.0.0.1:8100", description="Where clients find the serving API.")
    dagster_url: str = Field(default="http://127.0.0.1:3000", description="Where the page finds Dagster's webserver.")
    mlflow_ui_url: str = Field(default="http://127.0.0.1:5000", description="Where the page links MLflow's UI.")
    dagster_port: int = 3000
    ui_port: int = 8501
    mlflow_port: int = 5000

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        # Processes started from here have other working folders.
        return value.expanduser().resolve()

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ValueError, ZoneInfoNotFoundError) as error:
            raise ValueError(f"TWIN_TIME_ZONE {value!r} is no time zone; write one such as Europe/Amsterdam") from error
        return value

    @model_validator(mode="after")
    def _own_serving_url(self) -> Self:
        if "serving_url" not in self.model_fields_set:
            self.serving_url = f"http://127.0.0.1:{self.port}"
        return self

    @property
    def lake_location(self) -> str:
        """URI of the lake's root folder."""
        return self.lake_uri or str(self.home / "lake")

    @property
    def storage_options(self) -> dict[str, str] | None:
        """Options object_store wants for an S3 lake; None for local disk."""
        if not self.lake_location.startswith("s3://"):
            return None
        options = {"AWS_REGION": self.s3_region}
        if self.s3_endpoint_url:
            options["AWS_ENDPOINT_URL"] = self.s3_endpoint_url
            if self.s3_endpoint_url.startswith("http://"):
                options["AWS_ALLOW_HTTP"] = "true"
        if self.s3_access_key_id and self.s3_secret_access_key:
            options["AWS_ACCESS_KEY_ID"] = self.s3_access_key_id.get_secret_value()
            options["AWS_SECRET_ACCESS_KEY"] = self.s3_secret_access_key.get_secret_value()
        return options

    @property
    def tracking_uri(self) -> str:
        """MLflow tracking URI."""
        return self.mlflow_tracking_uri or f"sqlite:///{self.home / 'mlflow' / 'mlflow.db'}"

    @property
    def authors_folder(self) -> Path:
        """Folder of the author files."""
        return self.home / "authors"

    @property
    def inbox_folder(self) -> Path:
        """Exports dropped into `<inbox>/<author>/` are imported by a sensor."""
        return self.home / "inbox"

    @property
    def imports_folder(self) -> Path:
        """Imported exports, kept as they came: `<imports>/<author>/<platform>/<file>`."""
        return self.home / "imports"

    @property
    def index_folder(self) -> Path:
        """Publications of the embedded index."""
        return self.home / "index"

    @property
    def models_folder(self) -> Path:
        """The embedder's ONNX export, nano bases, downloaded adapters."""
        return self.home / "models"

    @property
    def clients_file(self) -> Path:
        """The keys of the serving API's clients, as hashes."""
        return self.home / "clients.json"

    @property
    def allowed_host_names(self) -> frozenset[str]:
        """Host names (or host:port) the operator allows although they resolve to private addresses."""
        return frozenset(name.strip().lower() for name in self.allowed_hosts.split(",") if name.strip())


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The process's settings, read once; tests call `get_settings.cache_clear()` after changing the environment."""
    return Settings()
