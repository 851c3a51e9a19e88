"""registry -> the controller bundle that a line may run: effective, unexpired and the very one that was approved."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from control.bundle import ControllerBundle, load_bundle_for, settings_hash
from control.compiled import FUNCTIONS
from control.errors import ControlError
from control.settings import ControllerSettings, ControlSettings
from soft_sensors.errors import AlteredError, BundleError, SensorError
from soft_sensors.registry.entries import Entry, Kind, Registry, Slots, State, standing
from soft_sensors.registry.log import MODELS, read_registry

PARTS = frozenset({"golden.npz", *(f"{name}.casadi" for name in FUNCTIONS)})


@dataclass(frozen=True)
class Release:
    """The bundle that a registry released for a model, and the newest event that was seen of that registry.

    valid_until_s: seconds since the epoch, UTC.
    """

    folder: Path
    bundle_hash: str
    model: str
    valid_until_s: float
    registry_id: str
    head_seq: int
    head_hash: str


def load_any(path: Path) -> ControllerBundle:
    """The controller bundle in a folder, for whatever settings it was built; every part hashed and reproduced.

    BundleError when it is none, AlteredError when a hash or a golden vector does not agree.
    """
    card = _card(path)
    try:
        return load_bundle_for(str(card["settings_hash"]), path)
    except ControlError as error:
        raise AlteredError(str(error)) from error
    except (KeyError, RuntimeError, ValueError) as error:
        raise BundleError(f"{path}: cannot be loaded ({type(error).__name__}); build it again") from error


def released(chosen: ControllerSettings, now_s: float) -> Release:
    """What the registry of [controller] has in effect at this time. ControlError when there is nothing that may run."""
    registry = registry_of(chosen)
    entry = _effective(registry, chosen)
    if not now_s < entry.criteria.valid_until_s:
        raise ControlError(
            f"[controller] model {chosen.model!r}: bundle {entry.bundle[:12]} expired on "
            f"{day(entry.criteria.valid_until_s)}; register, verify and approve a new one"
        )
    return Release(
        _place(chosen, entry), entry.bundle, entry.model, entry.criteria.valid_until_s, registry.registry_id,
        len(registry.line_hashes) - 1, registry.line_hashes[-1],
    )  # fmt: skip


def load_released(settings: ControlSettings, release: Release) -> ControllerBundle:
    """The released bundle, checked against the line's settings and the registry's record. Raises ControlError."""
    try:
        _card(release.folder)
    except SensorError as error:
        raise ControlError(f"[controller] {error}") from error
    bundle = load_bundle_for(settings_hash(settings), release.folder)
    if bundle.bundle_hash != release.bundle_hash:
        raise ControlError(
            f"[controller] {release.folder}: is bundle {bundle.bundle_hash[:12]}; restore the approved bundle"
        )
    return bundle


def bundle_folder(chosen: ControllerSettings) -> Path:
    """Where the bundle of [controller] lies: as it is named, or as its registry has it. Raises ControlError."""
    if chosen.bundle is not None:
        return chosen.bundle
    return _place(chosen, _effective(registry_of(chosen), chosen))


def registry_of(chosen: ControllerSettings) -> Registry:
    """The registry of [controller], every line checked. Raises ControlError."""
    if chosen.registry is None or chosen.registry_id is None:
        raise ControlError("[controller] names no registry; give 'registry', 'registry_id' and 'model'")
    try:
        return read_registry(chosen.registry, chosen.registry_id)
    except SensorError as error:
        raise ControlError(f"[controller] {error}") from error


def unfit(registry: Registry, release: Release, now_s: float) -> str:
    """Why a bundle that was released at a start may not close the loop now; empty when it may.

    One that a newer bundle has taken over from goes on until the next start; one that was rolled back from does not.
    """
    entry = registry.entries.get(release.bundle_hash)
    slots = registry.slots.get(release.model, Slots())
    if entry is None or release.bundle_hash not in (slots.effective, slots.standby):
        state = "gone" if entry is None else entry.state.value
        return f"controller bundle {release.bundle_hash[:12]} is {state}: start again with an effective one"
    if not now_s < entry.criteria.valid_until_s:
        return f"controller bundle {release.bundle_hash[:12]} expired on {day(entry.criteria.valid_until_s)}"
    return ""


def day(time_s: float) -> str:
    """Seconds since the epoch as a date, UTC."""
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d")


def _effective(registry: Registry, chosen: ControllerSettings) -> Entry:
    found = standing(registry, str(chosen.model))
    entry, known = found.effective, found.shown
    if known is not None and known.kind is not Kind.CONTROLLER:
        raise ControlError(f"[controller] {chosen.model!r} is a {known.kind.value} there; name a controller")
    if entry is None or entry.state is not State.EFFECTIVE:
        newest = "" if known is None else f" (the newest is {known.state.value})"
        raise ControlError(f"[controller] the registry has no effective {chosen.model!r}{newest}; activate one")
    return entry


def _place(chosen: ControllerSettings, entry: Entry) -> Path:
    if chosen.registry is None:
        raise ControlError("[controller] names no registry; give 'registry', 'registry_id' and 'model'")
    return chosen.registry / MODELS / entry.bundle


def _card(path: Path) -> dict[str, object]:
    """The card, after a look that it is a controller's and that its hashes leave no part out. Raises BundleError."""
    try:
        card = tomllib.loads((path / "card.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{path}: no controller bundle: card.toml cannot be read ({error})") from error
    if "problem" not in card or "settings_hash" not in card:
        raise BundleError(f"{path}: no controller bundle; give the folder that 'patloop control build' wrote")
    hashes = card.get("hashes")
    if not isinstance(hashes, dict) or not set(hashes) >= PARTS or any(Path(name).name != name for name in hashes):
        raise BundleError(f"{path}: card.toml does not hash every part of the bundle; build it again")
    return card
