"""Dataset: an author's samples at one moment, now or as of any version that can still be read."""

from dataclasses import dataclass

import polars as pl

from twin_assets.core.documents import content_hash
from twin_assets.core.lake import Lake

SPLITS = ("train", "validation", "test")
# What a sample is made of: the dataset's version is the hash of these over all samples in use.
CONTENT = ("document_id", "position", "form", "instruction", "context", "target", "split")


@dataclass(frozen=True, slots=True)
class Dataset:
    """An author's samples at one moment.

    samples: rows of table `samples`, excluded ones among them; version: hash of the content of those in use, the same
    wherever and whenever the content is the same; delta_version: the table's version it can be read again with
    (None: nothing was ever written).
    """

    author: str
    samples: pl.DataFrame
    version: str
    delta_version: int | None

    def split(self, name: str) -> pl.DataFrame:
        """Samples in use of "train", "validation" or "test", in a stable order."""
        used = self.samples.filter(pl.col("excluded").is_null(), pl.col("split") == name)
        return used.sort("document_id", "position")

    @property
    def counts(self) -> dict[str, int]:
        """Samples in use per split."""
        return {name: self.split(name).height for name in SPLITS}


def load_dataset(lake: Lake, author: str, version: int | None = None) -> Dataset:
    """The author's dataset, as it is now or as of a Delta version of table `samples`."""
    delta_version = lake.version("samples") if version is None else version
    frame = lake.read("samples", author, version=delta_version)
    used = frame.filter(pl.col("excluded").is_null()).sort("document_id", "position")
    return Dataset(author, frame, content_hash(used.select(CONTENT).rows()), delta_version)
