"""One module a platform. A module here that defines PLATFORM makes its asset, form field and CLI option by itself."""

import importlib
import pkgutil
from pathlib import Path

from twin_assets.core.archives import Archive
from twin_assets.core.errors import InputError
from twin_assets.core.sources.base import Platform


def _discover() -> dict[str, Platform]:
    modules = [importlib.import_module(f"{__name__}.{entry.name}") for entry in pkgutil.iter_modules(__path__)]
    found: list[Platform] = [module.PLATFORM for module in modules if hasattr(module, "PLATFORM")]
    return {platform.name: platform for platform in sorted(found, key=lambda each: each.order)}


PLATFORMS: dict[str, Platform] = _discover()


def platform_named(name: str) -> Platform:
    """The platform of that name; raises InputError."""
    if name not in PLATFORMS:
        raise InputError(f"There is no platform {name!r}; the platforms are {', '.join(PLATFORMS)}.")
    return PLATFORMS[name]


def recognise(path: Path) -> str:
    """Name of the platform whose export this ZIP, folder or file is, by its contents.

    Raises InputError where it is no export this project reads, or one that holds no text.
    """
    with Archive(path) as archive:
        for platform in PLATFORMS.values():
            if platform.is_export is not None and platform.is_export(archive):
                return platform.name
    known = ", ".join(platform.title for platform in PLATFORMS.values() if platform.archive)
    raise InputError(
        f"{path.name} is not an export of {known}; give the ZIP exactly as the platform sent it (it is recognised "
        "by the files inside, so its name does not matter)."
    )
