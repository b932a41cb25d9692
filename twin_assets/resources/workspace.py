"""WorkspaceResource: a deployment's stores for assets, checks and sensors; S3 credentials come from dagster-aws."""

import dagster as dg
from dagster_aws.s3 import S3Resource
from pydantic import PrivateAttr

from twin_assets.core.lake import Lake
from twin_assets.core.workspace import Workspace
from twin_assets.settings import Settings


def s3_resource(settings: Settings) -> S3Resource:
    """The S3 connection the settings describe; without keys in them, boto3's own chain finds the credentials."""
    identifier, secret = settings.s3_access_key_id, settings.s3_secret_access_key
    return S3Resource(
        endpoint_url=settings.s3_endpoint_url,
        region_name=settings.s3_region,
        aws_access_key_id=identifier.get_secret_value() if identifier else None,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
    )


def storage_options(s3: S3Resource) -> dict[str, str]:
    """What Delta Lake needs to reach the same S3 as this resource's client, with the credentials boto3 resolved."""
    client = s3.get_client()
    options = {"AWS_REGION": client.meta.region_name, "AWS_ENDPOINT_URL": client.meta.endpoint_url}
    if client.meta.endpoint_url.startswith("http://"):
        options["AWS_ALLOW_HTTP"] = "true"
    # boto3 offers no public way from a client back to its credentials.
    credentials = client._request_signer._credentials
    if credentials is not None:
        frozen = credentials.get_frozen_credentials()
        options |= {"AWS_ACCESS_KEY_ID": frozen.access_key, "AWS_SECRET_ACCESS_KEY": frozen.secret_key}
        if frozen.token:
            options["AWS_SESSION_TOKEN"] = frozen.token
    return options


class WorkspaceResource(dg.ConfigurableResource):
    """Opens the stores once per process.

    home: folder of everything the user makes; None: what the settings say.
    """

    home: str | None = None
    s3: dg.ResourceDependency[S3Resource]
    _workspace: Workspace | None = PrivateAttr(default=None)

    def open(self) -> Workspace:
        """The workspace, the same one each time."""
        if self._workspace is None:
            settings = Settings() if self.home is None else Settings(home=self.home)  # type: ignore[arg-type]
            workspace = Workspace(settings)
            if settings.lake_location.startswith("s3://"):
                workspace.lake = Lake(settings.lake_location, storage_options(self.s3))
            self._workspace = workspace
        return self._workspace
