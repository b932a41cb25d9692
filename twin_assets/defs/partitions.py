"""The one partitioning: by author."""

import dagster as dg

AUTHOR_PARTITION = "author"
authors = dg.DynamicPartitionsDefinition(name=AUTHOR_PARTITION)
