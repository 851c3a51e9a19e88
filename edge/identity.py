"""Whether the names we import as ours are ours: 'control' is also another distribution's package."""

from __future__ import annotations

from importlib.metadata import packages_distributions

from edge.errors import ConfigError

OURS = ("soft_sensors", "control", "edge", "hil_sim", "deploy")
DISTRIBUTION = "patloop"


def foreign_owners() -> dict[str, list[str]]:
    """Our top-level package names that another installed distribution also claims, with its name."""
    owners = packages_distributions()
    return {
        name: sorted({o for o in owners.get(name, ()) if o.lower() != DISTRIBUTION})
        for name in OURS
        if any(o.lower() != DISTRIBUTION for o in owners.get(name, ()))
    }


def require_own_names() -> None:
    """Raise ConfigError when another distribution claims one of our package names."""
    for name, others in foreign_owners().items():
        raise ConfigError(
            f"the package '{name}' also belongs to {', '.join(others)}: install patloop in an environment of its own"
        )
