"""Makes the bucket of an S3 lake if it is missing: `python -m twin_assets.resources.bucket`, for docker-compose."""

from urllib.parse import urlsplit

from twin_assets.core.errors import ConfigurationError
from twin_assets.resources.workspace import s3_resource
from twin_assets.settings import Settings, get_settings


def make_bucket(settings: Settings) -> str:
    """Create the lake's bucket unless it exists, and return its name; raises ConfigurationError for a local lake."""
    location = urlsplit(settings.lake_location)
    if location.scheme != "s3":
        raise ConfigurationError(f"The lake at {settings.lake_location} is not on S3; set TWIN_LAKE_URI to s3://….")
    client = s3_resource(settings).get_client()
    if location.netloc not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
        client.create_bucket(Bucket=location.netloc)
    return location.netloc


if __name__ == "__main__":
    print(f"bucket {make_bucket(get_settings())} is there")
