"""Dagster definitions: assets, checks, sensors and schedules; short, and calling core for everything they know."""
