"""Tables of figures: means with intervals, who is best, and who cannot be told from it."""

from __future__ import annotations

import math

import pytest

from hil_sim.summary import markdown, mean_interval, report, standing, table, within_noise


def rows(scenario: str, controller: str, values: list[float], **more: float | None) -> list[dict[str, object]]:
    return [
        {"scenario": scenario, "controller": controller, "seed": i + 1, "rsd_pct": v, "time_outside_3pct": v, **more}
        for i, v in enumerate(values)
    ]


def test_mean_and_students_interval() -> None:
    mean, half = mean_interval([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert half == pytest.approx(4.303 / math.sqrt(3), rel=1e-3)
    assert math.isnan(mean_interval([1.0])[1])


def test_a_figure_nobody_has_is_left_out_and_one_never_met_says_so() -> None:
    given = [
        *rows("loss", "ratio", [1.0, 2.0], back_within_1pct_min=None),
        *rows("loss", "mpc", [1.0], back_within_1pct_min=9.0),
        *rows("nominal", "ratio", [1.0], back_within_1pct_min=None),
    ]
    lines = table(given)  # type: ignore[arg-type]
    head, by = lines[0], {(line[0], line[1]): line for line in lines[1:]}
    assert "settling min" not in head
    back = head.index("back in ±1 % min")
    assert [by[k][back] for k in (("loss", "ratio"), ("loss", "mpc"), ("nominal", "ratio"))] == ["never", "9.00", "-"]
    assert by["loss", "ratio"][head.index("n")] == "2"


def test_standing_pairs_seeds() -> None:
    # Differences of 1 on values that scatter by tens from seed to seed: only pairing shows that they are real.
    a = rows("s", "a", [10.0, 20.0, 35.0, 12.0])
    b = rows("s", "b", [11.1, 20.9, 36.0, 13.0])
    c = rows("s", "c", [9.0, 22.0, 34.0, 13.5])
    assert standing([*a, *b, *c], "rsd_pct")[1] == ["s", "**19.25**", "20.25", "19.62 ≈"]  # type: ignore[list-item]
    assert within_noise({1: 2.0}, {1: 2.0})
    assert not within_noise({1: 2.0}, {1: 1.0})


def test_report_is_markdown_with_standings() -> None:
    page = report([*rows("s", "a", [1.0, 2.0]), *rows("s", "b", [3.0, 4.0])])  # type: ignore[list-item]
    assert "| s | a | 2 |" in page
    assert page.count("best bold") == 2, "travel is not there, so it has no standing"
    assert markdown([["x", "y"], ["1", "2"]]) == "| x | y |\n|---|---|\n| 1 | 2 |"
