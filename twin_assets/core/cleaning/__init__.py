"""Cleaning: raw documents into the author's own words, every visible character kept.

What goes is markup, tracking, widgets, boilerplate, secrets and people's addresses; by category, not by platform: a
platform's habits belong in its source.
"""

from twin_assets.core.cleaning.documents import CLEANER_VERSION, clean_documents
from twin_assets.core.cleaning.duplicates import near_duplicate_groups
from twin_assets.core.cleaning.markdown import html_to_markdown
from twin_assets.core.cleaning.pages import main_text
from twin_assets.core.cleaning.quotes import own_spans, own_text, with_own_text

__all__ = [
    "CLEANER_VERSION",
    "clean_documents",
    "html_to_markdown",
    "main_text",
    "near_duplicate_groups",
    "own_spans",
    "own_text",
    "with_own_text",
]
