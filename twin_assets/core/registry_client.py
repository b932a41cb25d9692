"""The registry's way to MLflow: a client that says in one sentence when MLflow or its database is away."""

import functools
import logging
import os
from typing import TYPE_CHECKING, Any

from twin_assets.core.errors import ModelError, first_line

if TYPE_CHECKING:
    from mlflow import MlflowClient

# What MLflow calls a server that does not answer and a database that cannot be read or written; what it says of a run
# or a version that is not there has codes of its own.
AWAY = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE")


def open_client(tracking_uri: str, place: str) -> "MlflowClient":
    """A client of the tracking server or database; its methods raise ModelError where that is away.

    place: the server or database as messages name it.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    # Of its own it asks a server that is away for four minutes before it says so.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    from mlflow import MlflowClient

    for name in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.WARNING)

    class Client(MlflowClient):
        def __getattribute__(self, name: str) -> Any:
            value = super().__getattribute__(name)
            return value if name.startswith("_") or not callable(value) else _telling(value, place)

    client: MlflowClient = _telling(Client, place)(tracking_uri, registry_uri=tracking_uri)
    return client


def _telling(method: Any, place: str) -> Any:
    from alembic.util import CommandError
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    @functools.wraps(method, updated=())
    def told(*args: Any, **named: Any) -> Any:
        try:
            return method(*args, **named)
        except (RequestException, SQLAlchemyError, CommandError) as error:
            raise _away(place, error) from error
        except MlflowException as error:
            if error.error_code not in AWAY:
                raise
            raise _away(place, error) from error

    return told


def _away(place: str, error: Exception) -> ModelError:
    return ModelError(
        f"The model registry at {place} cannot be used: {first_line(error)}; see that MLflow runs there and that its "
        "disk has room, and do this again."
    )
