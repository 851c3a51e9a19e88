"""Design files: what they may say, the points they make, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.errors import ConfigError
from hil_sim.campaign import identity
from hil_sim.design import Design, jobs, load_design, points
from hil_sim.variants import bundle_for, variant

LINE_FILE = Path(__file__).parents[2] / "deploy" / "lines" / "cdc_ref_1.toml"
HEAD = f'line = "{LINE_FILE}"\nscenarios = ["nominal"]\n'


def design(tmp_path: Path, text: str) -> Design:
    path = tmp_path / "design.toml"
    path.write_text(text)
    return load_design(path)


def test_lists_are_combined_with_each_other_and_with_every_draw(tmp_path: Path) -> None:
    made = design(
        tmp_path,
        HEAD + "seeds = 2\npoints = 4\n[factors]\n'a.x' = [1, 2]\n'a.y' = ['p', 'q', 'r']\n"
        "'a.z' = { low = 0.01, high = 1.0, scale = 'log' }\n",
    )
    found = points(made)
    assert len(found) == len(set(found)) == 4 * 2 * 3
    drawn = sorted({dict(point)["a.z"] for point in found})
    assert [int(np.floor((np.log10(z) + 2) * 2)) for z in drawn] == [0, 1, 2, 3], "one in each quarter"
    assert points(made) == found, "the same design gives the same points"
    assert len(jobs(made, tmp_path)) == 24 * 2


def test_without_factors_there_is_one_point(tmp_path: Path) -> None:
    assert points(design(tmp_path, HEAD)) == [()]


def test_paths_start_from_the_designs_folder(tmp_path: Path) -> None:
    made = design(tmp_path, 'line = "lines/x.toml"\nscenarios = ["bridge", "mine.toml"]\n')
    assert made.line == tmp_path / "lines" / "x.toml"
    assert made.scenarios == ("bridge", str(tmp_path / "mine.toml"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("line = ", "not valid TOML"),
        (HEAD + "wind = 1\n", "wind"),
        (HEAD + "controllers = ['magic']\n", "controllers"),
        (HEAD + "[factors]\n'a' = []\n", "factors.a"),
        (HEAD + "[factors]\n'a' = { low = 2.0, high = 1.0 }\n", "must be below"),
        (HEAD + "[factors]\n'a' = { low = 0.0, high = 1.0, scale = 'log' }\n", "above 0"),
        ("scenarios = ['nominal']\n", "line"),
    ],
)
def test_wrong_designs_are_refused_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        design(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_settings_reach_the_line_by_name_or_are_refused() -> None:
    changed = (("controller.pid.gain", 0.5), ("mv.FeederApi.trim_cap_pct", 9.0))
    config, digest = variant(LINE_FILE, "pid", changed)
    plain, plain_digest = variant(LINE_FILE, "pid", ())
    assert config.controller is not None
    assert config.controller.pid.gain == 0.5
    assert next(mv for mv in config.mv if mv.name == "FeederApi").trim_cap_pct == 9.0
    assert next(mv for mv in plain.mv if mv.name == "FeederApi").trim_cap_pct == 5.0
    assert digest != plain_digest
    for wrong, said in (("controller.pid.color", "color"), ("mv.FeederTea.low", "FeederTea"), ("mv", "mv"),
                        ("controller.name.x", "no table")):  # fmt: skip
        with pytest.raises(ConfigError, match=said):
            variant(LINE_FILE, "pid", ((wrong, 1.0),))


def test_a_controller_is_built_only_for_settings_that_are_baked_into_one(tmp_path: Path) -> None:
    tuned, _ = variant(LINE_FILE, "mpc", (("controller.pid.gain", 0.5),))
    assert tuned.controller is not None
    assert bundle_for(tuned, tmp_path) == tuned.controller.bundle
    heavier, _ = variant(LINE_FILE, "mpc", (("controller.mpc.move_rel", 0.0123),))
    built = bundle_for(heavier, tmp_path)
    assert built.parent == tmp_path
    card = (built / "card.toml").stat().st_mtime_ns
    assert bundle_for(heavier, tmp_path) == built
    assert (built / "card.toml").stat().st_mtime_ns == card, "the second time it is there already"


def test_a_run_is_named_by_everything_that_makes_it(tmp_path: Path) -> None:
    made = [
        identity(job)
        for text in ("", "hours = 1.0\n", "[factors]\n'controller.pid.gain' = [0.5]\n", "controllers = ['pid']\n")
        for job in jobs(design(tmp_path, HEAD + text), tmp_path)
    ]
    assert len(set(made)) == len(made) == 4 * 3


def test_a_row_of_other_code_or_other_models_is_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = jobs(design(tmp_path, HEAD), tmp_path)[0]
    before = identity(job)
    monkeypatch.setattr("hil_sim.campaign._code", lambda: "changed")
    assert identity(job) != before
