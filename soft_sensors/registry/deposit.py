"""bundle folder -> registry: a copy of every file under the bundle's hash, whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from soft_sensors.bundle import Bundle, load_bundle
from soft_sensors.errors import AlteredError, RegistryError
from soft_sensors.registry.entries import Registry
from soft_sensors.registry.log import MODELS

LEAST = 8  # characters of a hash that name a bundle


class Loaded(Protocol):
    """A bundle of any kind that was loaded and checked; bundle_hash: SHA-256, in hex, over all that it is made of."""

    @property
    def bundle_hash(self) -> str:
        """What it is called in the registry."""
        ...


L = TypeVar("L", bound=Loaded)
Load = Callable[[Path], L]
"""Loads and checks the bundle in a folder. Raises a SensorError, AlteredError when it is not what was written."""


def deposit(bundle: Path, folder: Path) -> Bundle:
    """Copy a soft sensor into the registry's folder and load the copy; one that is there and sound is left as it is."""
    return deposit_by(load_bundle, bundle, folder)


def deposited(folder: Path, bundle_hash: str) -> Bundle:
    """The registry's copy of a soft sensor, checked. Raises BundleError, AlteredError when it is another one."""
    return deposited_by(load_bundle, folder, bundle_hash)


def named_bundle(registry: Registry, bundle: str) -> str:
    """The hash of a registered bundle that is named by a soft sensor's folder, its hash or its first characters."""
    return named_by(load_bundle, registry, bundle)


def deposit_by(load: Load[L], bundle: Path, folder: Path) -> L:
    """As deposit, for the kind of bundle that `load` loads."""
    model = load(bundle)
    there = folder / MODELS / model.bundle_hash
    if there.exists():
        return deposited_by(load, folder, model.bundle_hash)
    partial = there.with_name(there.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(bundle, partial)
    partial.rename(there)
    return deposited_by(load, folder, model.bundle_hash)


def deposited_by(load: Load[L], folder: Path, bundle_hash: str) -> L:
    """As deposited, for the kind of bundle that `load` loads."""
    there = folder / MODELS / bundle_hash
    model = load(there)
    if model.bundle_hash != bundle_hash:
        raise AlteredError(f"{there}: is bundle {model.bundle_hash[:12]}; restore the registered one")
    return model


def named_by(load: Load[L], registry: Registry, bundle: str) -> str:
    """As named_bundle, for the kind of bundle that `load` loads."""
    path = Path(bundle)
    digest = load(path).bundle_hash if path.is_dir() else bundle.lower()
    found = [known for known in registry.entries if len(digest) >= LEAST and known.startswith(digest)]
    if len(found) != 1:
        known = ", ".join(sorted(h[:12] for h in registry.entries)) or "none"
        raise RegistryError(f"{bundle}: not one bundle of this registry; give its folder or hash (registered: {known})")
    return found[0]
