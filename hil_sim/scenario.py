"""Scenarios: what happens to the line in one run, from a TOML file that refuses unknown keys."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hil_sim.faults import Fault
from hil_sim.line.parameters import ParameterError, load_parameters, scaled

FOLDER = Path(__file__).with_name("scenarios")
ASKED = {"run_down": ("run_down", "start"), "cancel_run_down": ("run_down", "cancel")}
"""Acts that are asked of the controller, and the request's action and value."""
SCHEMA_FILE = FOLDER / "scenario.schema.json"


class ScenarioError(ValueError):
    """A scenario cannot be used; the text says where and how to mend it."""


class RecipeStep(BaseModel):
    """A change of the recipe; what is not named stays."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at_min: float = Field(ge=0)
    api_pct: float | None = Field(default=None, ge=5, le=20, description="% w/w")
    throughput_kg_h: float | None = Field(default=None, ge=10, le=30)
    tablet_weight_mg: float | None = Field(default=None, ge=200, le=300)


class OperatorAct(BaseModel):
    """Something the operator does; a pause holds feeders, blender and press with the powder in them.

    run_down, cancel_run_down: asked of the controller, by whoever plays its operator; stop_feeders: all of them at
    once, while blender and press go on with what is in the line.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    at_min: float = Field(ge=0)
    action: Literal["enable", "disable", "reset", "pause", "resume", "run_down", "cancel_run_down", "stop_feeders"]


class Scenario(BaseModel):
    """One run of the line."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    description: str = Field(min_length=10)
    hours: float = Field(gt=0, le=240)
    fault: tuple[Fault, ...] = ()
    recipe: tuple[RecipeStep, ...] = ()
    operator: tuple[OperatorAct, ...] = (OperatorAct(at_min=0.5, action="enable"),)
    reset_after_s: float | None = Field(
        default=60.0, ge=0, description="The operator resets a shed this long after it (absent request); null never."
    )
    lab_every_min: float = Field(default=20.0, gt=0, description="Interval of laboratory samples, the first after one.")
    gate_when_silent: Literal["release", "reject"] = Field(
        default="release", description="What the gate does while a controller that was in charge is not heard."
    )
    filled_with: Literal["product", "placebo"] = Field(
        default="product", description="Powder in the line at the start: at recipe, or the same without API."
    )
    judged_from_min: float = Field(default=10.0, ge=0, description="Figures count from this minute on.")
    scale: dict[str, float] = Field(
        default={}, description="Parameters of the line's truth and what they are multiplied with: 'blender.holdup_kg'."
    )


def scenario_names() -> list[str]:
    """Names of the scenarios that come with the product."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_scenario(name_or_path: str) -> Scenario:
    """Load a scenario by name, or from a .toml path; raises ScenarioError with one line on what to mend."""
    given = Path(name_or_path)
    path = given if given.suffix == ".toml" else FOLDER / f"{name_or_path}.toml"
    if not path.is_file():
        known = ", ".join(scenario_names())
        raise ScenarioError(f"scenario '{name_or_path}' not found: use one of {known}, or the path of a .toml file")
    try:
        scenario = Scenario.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        if scenario.scale:
            scaled(load_parameters(), scenario.scale)
        return scenario
    except ParameterError as error:
        raise ScenarioError(f"{path}: scale: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "file"
        raise ScenarioError(f"{path}: {place}: {first['msg']}: mend or remove it") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ScenarioError(f"{path}: cannot be read as TOML: {error}") from error


def schema_text() -> str:
    """The JSON schema of scenario files as kept in the repository."""
    return json.dumps(Scenario.model_json_schema(), indent=2, sort_keys=True) + "\n"
