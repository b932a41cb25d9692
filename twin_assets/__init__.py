"""The data product: feature and training pipelines. Importing it imports no dagster."""
