"""Plain Python that the pipelines and serving share.

Imports no dagster and no web framework; heavy libraries are imported inside functions.
"""
