"""Thin Dagster resources around core: they hold configuration and open stores, and decide nothing."""
