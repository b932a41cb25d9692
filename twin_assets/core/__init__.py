"""Plain Python that the pipelines and serving share. Imports no dagster, no web framework; heavy libraries only inside functions."""
