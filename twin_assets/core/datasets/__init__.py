"""Datasets: samples whose targets are the author's own words, verbatim, splits that nothing leaks across, and pairs of
what the author prefers. What is trained on them belongs in core/training."""

from twin_assets.core.datasets.checks import balance, leakage, lengths, personal_data, size
from twin_assets.core.datasets.dataset import CONTENT, SPLITS, Dataset, load_dataset
from twin_assets.core.datasets.preferences import (
    Preferences,
    load_preferences,
    preference_leakage,
    unused_feedback,
    update_preferences,
)
from twin_assets.core.datasets.splits import split_groups
from twin_assets.core.datasets.update import SamplesUpdate, update_samples

__all__ = [
    "CONTENT", "SPLITS", "Dataset", "Preferences", "SamplesUpdate", "balance", "leakage", "lengths", "load_dataset",
    "load_preferences", "personal_data", "preference_leakage", "size", "split_groups", "unused_feedback",
    "update_preferences", "update_samples",
]  # fmt: skip
