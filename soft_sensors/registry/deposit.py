"""bundle folder -> registry: a copy of every file under the bundle's hash, whole or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

from soft_sensors.bundle import Bundle, load_bundle
from soft_sensors.errors import AlteredError, RegistryError
from soft_sensors.registry.entries import Registry
from soft_sensors.registry.log import MODELS

LEAST = 8  # characters of a hash that name a bundle


def deposit(bundle: Path, folder: Path) -> Bundle:
    """Copy a bundle into the registry's folder and load the copy; one that is there and sound is left as it is."""
    model = load_bundle(bundle)
    there = folder / MODELS / model.bundle_hash
    if there.exists():
        return deposited(folder, model.bundle_hash)
    partial = there.with_name(there.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(bundle, partial)
    partial.rename(there)
    return deposited(folder, model.bundle_hash)


def deposited(folder: Path, bundle_hash: str) -> Bundle:
    """The registry's copy of a bundle, checked. Raises BundleError, AlteredError when it is another one."""
    there = folder / MODELS / bundle_hash
    model = load_bundle(there)
    if model.bundle_hash != bundle_hash:
        raise AlteredError(f"{there}: is bundle {model.bundle_hash[:12]}; restore the registered one")
    return model


def named_bundle(registry: Registry, bundle: str) -> str:
    """The hash of a registered bundle that is named by its folder, its hash or the hash's first characters."""
    path = Path(bundle)
    digest = load_bundle(path).bundle_hash if path.is_dir() else bundle.lower()
    found = [known for known in registry.entries if len(digest) >= LEAST and known.startswith(digest)]
    if len(found) != 1:
        known = ", ".join(sorted(h[:12] for h in registry.entries)) or "none"
        raise RegistryError(f"{bundle}: not one bundle of this registry; give its folder or hash (registered: {known})")
    return found[0]
