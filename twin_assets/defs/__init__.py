"""Dagster definitions: assets, checks, sensors and schedules; short, and calling core for everything they know."""

import warnings

from dagster_shared.utils.warnings import PreviewWarning

# Partitioned checks are marked as a preview in Dagster 1.13; the gates need them, and a warning for each of fifteen
# checks would drown what a person reads in the terminal.
warnings.filterwarnings("ignore", category=PreviewWarning)
