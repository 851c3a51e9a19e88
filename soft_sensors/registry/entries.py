"""What a registry knows of people, models and trials: frozen, and never more than its events say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from soft_sensors.registry.events import Event


class Role(StrEnum):
    """What a person may sign."""

    OWNER = "owner"
    AUTHOR = "author"
    VERIFIER = "verifier"
    APPROVER = "approver"


class Kind(StrEnum):
    """What a registered bundle is."""

    SENSOR = "soft sensor"
    CONTROLLER = "controller"


class State(StrEnum):
    """Where a bundle stands in its life. Failed and retired are final."""

    DRAFT = "draft"
    FAILED = "failed"
    VERIFIED = "verified"
    APPROVED = "approved"
    EFFECTIVE = "effective"
    RETIRED = "retired"


@dataclass(frozen=True)
class Person:
    """An enrolled key: whose it is, the public half in hex, what it may sign, and whether it was revoked."""

    name: str
    public_key: str
    roles: frozenset[Role]
    revoked: bool = False


@dataclass(frozen=True)
class Criteria:
    """What was declared before any test, in the unit of the model.

    RMSEP at most max_rmsep, coverage of the 90 % interval between the bounds (shares), on min_samples or more; the
    model expires at valid_until_s (seconds since the epoch); a bias update is at most max_bias to either side.
    """

    max_rmsep: float
    min_coverage: float
    max_coverage: float
    min_samples: int
    valid_until_s: float
    max_bias: float


@dataclass(frozen=True)
class ConductCriteria:
    """What was declared of a controller before any test of it in closed loop.

    In each of the scenarios, on min_runs runs or more of min_hours or longer, the mean time outside +-3 % of label
    claim is at most max_time_outside_3pct (% of time); it expires at valid_until_s (seconds since the epoch).
    """

    scenarios: tuple[str, ...]
    min_runs: int
    min_hours: float
    max_time_outside_3pct: float
    valid_until_s: float


@dataclass(frozen=True)
class Trial:
    """What a challenger has to show, declared before the run, and since when it counts (seconds since the epoch).

    On the first min_results laboratory results: RMSEP at most max_ratio times the champion's, coverage of the 90 %
    interval at least min_coverage (a share).
    """

    min_results: int
    max_ratio: float
    min_coverage: float
    since_s: float


@dataclass(frozen=True)
class Entry:
    """One registered bundle.

    criteria: of its kind, and what tells it; skill: over predicting the mean, None for a controller, which predicts
    nothing; bias: what the last bias update set, in the model's unit.
    """

    bundle: str
    model: str
    state: State
    author: str
    criteria: Criteria | ConductCriteria
    skill: float | None
    verifier: str = ""
    approver: str = ""
    bias: float = 0.0
    challenged: bool = False
    trial: Trial | None = None

    @property
    def kind(self) -> Kind:
        """What the bundle is."""
        return Kind.SENSOR if isinstance(self.criteria, Criteria) else Kind.CONTROLLER


@dataclass(frozen=True)
class Slots:
    """Of one model: the bundle that is effective, the one to roll back to, the one in shadow; None when there is none.
    """

    effective: str | None = None
    standby: str | None = None
    challenger: str | None = None


@dataclass(frozen=True)
class Registry:
    """A registry as its events left it; line_hashes: of every line of the log, in order."""

    registry_id: str
    people: Mapping[str, Person] = field(default_factory=dict)
    entries: Mapping[str, Entry] = field(default_factory=dict)
    slots: Mapping[str, Slots] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    line_hashes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Standing:
    """Where a model stands: what is effective, what to roll back to, what is in shadow, and else what may be shown.

    shown: the bundle to estimate with; the effective one, or without one the newest that is not failed or retired.
    """

    model: str
    effective: Entry | None
    standby: Entry | None
    challenger: Entry | None
    shown: Entry | None


def standing(registry: Registry, model: str) -> Standing:
    """Where a model stands in a registry; all None for a model that it does not know."""
    slots = registry.slots.get(model, Slots())
    effective, standby, challenger = (
        None if bundle is None else registry.entries[bundle]
        for bundle in (slots.effective, slots.standby, slots.challenger)
    )
    alive = [e for e in registry.entries.values() if e.model == model and e.state not in (State.FAILED, State.RETIRED)]
    return Standing(model, effective, standby, challenger, effective or (alive[-1] if alive else None))
