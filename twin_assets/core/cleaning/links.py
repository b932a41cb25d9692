"""Addresses in HTML: what of them a document keeps."""

import json
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from twin_assets.core.cleaning.boilerplate import is_tracking_parameter

_NO_ADDRESS = re.compile(r"\s*(?:javascript|vbscript|data|about|blob):|\s*\Z", re.IGNORECASE)
_LAZY = ("data-src", "data-lazy-src", "data-original")


def link_address(href: str) -> str | None:
    """The address of a link as Markdown can hold it, without tracking; None where it leads nowhere."""
    if _NO_ADDRESS.match(href):
        return None
    return _for_markdown(_without_tracking(href.strip()))


def image_address(attributes: Mapping[str, str]) -> str:
    """The address of an image, also of one that is loaded when it comes into view; "" where it has none."""
    candidates = [attributes.get("src", ""), *(attributes.get(name, "") for name in _LAZY)]
    candidates.append((attributes.get("srcset") or attributes.get("data-srcset") or "").strip().split(" ")[0])
    return next((_for_markdown(address.strip()) for address in candidates if not _NO_ADDRESS.match(address)), "")


def web_address(address: str | None) -> str | None:
    """The address if it is one of the web, with a scheme; else None."""
    address = (address or "").strip()
    address = f"https:{address}" if address.startswith("//") else address
    return _for_markdown(address) if address.startswith(("http://", "https://")) else None


def embedded_address(payload: str) -> str | None:
    """The link an embed's payload carries (Substack keeps tweets, videos and previews in `data-attrs`)."""
    try:
        values = json.loads(payload)
    except json.JSONDecodeError:
        return None
    if not isinstance(values, dict):
        return None
    if isinstance(values.get("videoId"), str):
        return f"https://www.youtube.com/watch?v={values['videoId']}"
    address = values.get("url") or values.get("href")
    return web_address(address) if isinstance(address, str) else None


def _without_tracking(href: str) -> str:
    if "?" not in href:
        return href
    try:
        parts = urlsplit(href)
        pairs = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return href
    kept = [(name, value) for name, value in pairs if not is_tracking_parameter(name, value)]
    return href if len(kept) == len(pairs) else urlunsplit(parts._replace(query=urlencode(kept)))


def _for_markdown(address: str) -> str:
    """Without what would end a Markdown address early: white space, and parentheses that do not match."""
    address = re.sub(r"\s+", "%20", address)
    if address.count("(") != address.count(")"):
        address = address.replace("(", "%28").replace(")", "%29")
    return address
