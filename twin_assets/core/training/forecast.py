"""What a training would take here: an author's data on a base model, or on every size there is a recipe for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twin_assets.core.datasets import Dataset, load_dataset
from twin_assets.core.errors import InputError
from twin_assets.core.training.bases import AUTO_BASES, BaseModel, resolve_base, shape_of
from twin_assets.core.training.plan import workload_of
from twin_assets.core.training.preflight import GIB, SHAPES, Machine, ModelShape, preflight
from twin_assets.core.training.recipes import BY_SIZE, Recipe, changed, recipe_for

if TYPE_CHECKING:
    from twin_assets.core.workspace import Workspace


# The nano base (nano.py) at its usual vocabulary.
NANO_SHAPE = ModelShape(2_000_000, 192, 4, 2_048, 512, tied=True)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What training on one base takes: GiB of memory and disk, minutes; where it does not fit, why and what would."""

    base: str
    method: str
    memory_gib: float
    minutes: float
    disk_gib: float
    fits: bool
    reason: str = ""
    nearest: str = ""


def forecast(
    workspace: "Workspace", author: str, base: str | None = None, changes: Mapping[str, Any] | None = None
) -> tuple[Machine, list[Forecast]]:
    """This machine, and what training on an author's dataset takes.

    base: a size such as "7B" or what base_model may be, else every size; changes: of the recipe, before the settings'.

    Raises InputError for a base whose size is not known here, UnknownModelError, ConfigurationError, LakeError.
    """
    dataset = load_dataset(workspace.lake, workspace.authors.get(author).id)
    settings = workspace.settings
    machine = Machine.measure(settings.models_folder)
    wanted = {**settings.training_recipe, **(changes or {})}
    shapes = dict(SHAPES) if base is None else {base: SHAPES[base]} if base in SHAPES else None
    on_disk = False
    if shapes is None:
        found = resolve_base(str(base), settings)
        if found.kind == "nano":
            minutes = settings.training_minutes
            return machine, [_told("nano", NANO_SHAPE, changed(recipe_for("nano"), wanted), dataset, machine, minutes)]
        shapes, on_disk = {found.name: _shape(found)}, found.path is not None
    return machine, [
        _told(name, shape, changed(recipe_for("hub", shape.parameters), wanted), dataset, machine, on_disk=on_disk)
        for name, shape in shapes.items()
    ]


def _told(
    name: str,
    shape: ModelShape,
    recipe: Recipe,
    dataset: Dataset,
    machine: Machine,
    minutes: float | None = None,
    on_disk: bool = False,
) -> Forecast:
    """minutes: that it may take whatever there is to do."""
    plan = preflight(shape, workload_of(dataset, recipe), machine, on_disk=on_disk)
    return Forecast(
        name, recipe.method, round(plan.memory / GIB, 1), round(minutes or plan.seconds / 60, 1),
        round(plan.disk / GIB, 1), plan.ok, plan.reason, plan.nearest,
    )  # fmt: skip


def _shape(base: BaseModel) -> ModelShape:
    if base.path is not None:
        return shape_of(base.path)
    known = dict(AUTO_BASES)
    if base.name not in known:
        sizes = ", ".join(name for name, _, _ in BY_SIZE)
        raise InputError(f"{base.name} is not on this machine, so its size is not known; ask for one of {sizes}.")
    return known[base.name]
