"""`patloop draw`: the text holds what the line file says, the picture is the same each time, errors are one line."""

from __future__ import annotations

import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from deploy.draw import draw
from deploy.loop_parts import parts_of
from edge.config import read_config

ROOT = Path(__file__).parents[2]
LINE = ROOT / "deploy" / "lines" / "cdc_ref_1.toml"


def run(*words: object) -> Result:
    result = CliRunner().invoke(draw, [str(word) for word in words], env={"COLUMNS": "120"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_the_text_holds_what_the_line_file_says() -> None:
    told = run(LINE).stdout
    config, _ = read_config(LINE)
    gate = config.diversion
    assert gate is not None
    for words in (
        "opc.tcp://127.0.0.1:48400", "Nir", "model cdc_api_nir", "version 1 of 1, effective",
        f"tracked ± {gate.sigmas:g} sigma outside", f"±{gate.api_limit_lc_pct:g} % of label claim", "ceiling: closed",
        "starts in advise", f"controller {config.control().controller.name}",  # type: ignore[union-attr]
        "anything older than 12 s: hold", "FeederMgst.SP_Remote", "DivertRequest",
    ):  # fmt: skip
        assert words in told, words
    control = config.control()
    assert control is not None
    rows = {line.split()[0]: line.split() for line in told.splitlines() if line.split()[:1] and line[0] not in "│├└ "}
    for mv in config.mv:
        own = control.authority.force_cap_pct if mv.role == "force" else mv.trim_cap_pct
        cap = "-" if own is None else f"±{own:g}"
        wanted = [mv.name, mv.role, f"{mv.low:g}", f"{mv.high:g}", mv.unit, f"{mv.rate_per_s:g}", cap]
        assert rows[mv.name][:7] == wanted


def test_the_picture_is_the_same_each_time_and_complete(tmp_path: Path) -> None:
    for name in ("one.svg", "two.svg", "one.png", "two.png"):
        assert run(LINE, "--out", tmp_path / name).exit_code == 0
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    root = ET.fromstring((tmp_path / "one.svg").read_text())
    assert root.tag.endswith("svg")
    size = [float(v) for v in root.attrib["viewBox"].split()]
    assert size[2] > size[3] > 300


def test_no_text_leaves_its_box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyBboxPatch

    from deploy.loop_picture import write_picture

    kept: list[Figure] = []
    saved = Figure.savefig

    def save(self: Figure, *words: object, **named: object) -> None:
        kept.append(self)
        saved(self, *words, **named)

    monkeypatch.setattr(Figure, "savefig", save)
    config, _ = read_config(LINE)
    write_picture(parts_of(config, LINE.name), tmp_path / "f.png")
    (axes,) = kept[0].axes
    boxes = [p.get_window_extent() for p in axes.patches if isinstance(p, FancyBboxPatch)]
    assert len(boxes) == 12
    inside = 0
    for text in axes.texts:
        place = text.get_window_extent()
        of = [b for b in boxes if b.contains(place.x0 + 1, (place.y0 + place.y1) / 2)]
        inside += len(of)
        assert all(b.x0 <= place.x0 and place.x1 <= b.x1 and b.y0 <= place.y0 and place.y1 <= b.y1 for b in of), text
    assert inside > 60


def test_a_watched_line_and_a_model_that_is_not_there(tmp_path: Path) -> None:
    shutil.copy(ROOT / "deploy" / "lines" / "fermentation.toml", tmp_path / "f.toml")
    result = run(tmp_path / "f.toml")
    assert result.exit_code == 0
    assert "nothing is ever written" in result.stdout
    assert "not readable: card.toml: No such file" in result.stdout
    assert run(tmp_path / "f.toml", "--out", tmp_path / "f.svg").exit_code == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read"),
        ("[line", "not valid TOML"),
        ("[line]\nname = 1", "line.name"),
        (LINE.read_text().replace("trim_cap_pct", "trim_cap"), "trim_cap' is not a key"),
    ],
)
def test_a_wrong_line_file_is_one_line(text: str | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "line.toml"
    if text is not None:
        path.write_text(text)
    result = run(path)
    assert result.exit_code == 2
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_picture_is_svg_or_png_and_in_a_folder_that_is_there(tmp_path: Path) -> None:
    wrong = run(LINE, "--out", tmp_path / "loop.pdf")
    assert (wrong.exit_code, "a picture is .svg or .png" in wrong.stderr) == (2, True)
    nowhere = run(LINE, "--out", tmp_path / "no" / "loop.png")
    assert (nowhere.exit_code, "cannot be written" in nowhere.stderr) == (2, True)


def test_refills_that_are_kept_apart_are_shown(tmp_path: Path) -> None:
    levels = "{ low_kg = 0.9, high_kg = 2.4, early_kg = 1.65, blind_s = 45.0 }"
    table = f"\n[controller.refills.levels]\nFeederApi = {levels}\nFeederMcc = {levels}\n"
    text = LINE.read_text(encoding="utf-8").replace('"../', f'"{LINE.parent.as_posix()}/../') + table
    own = tmp_path / "line.toml"
    own.write_text(text, encoding="utf-8")
    steps = {part.verb: part for part in parts_of(read_config(own)[0], own.name).steps}
    assert "refills kept 30 s apart" in steps["decide"].lines
    assert "refill of FeederApi: low_kg = 0.9, high_kg = 2.4, early_kg = 1.65, blind_s = 45" in steps["decide"].details
    assert "RefillRequest of 2 feeders" in steps["actuate"].lines
    assert "FeederMcc.RefillRequest" in steps["actuate"].details
    assert run(own, "--out", tmp_path / "loop.svg").exit_code == 0
    assert "refills kept 30 s apart" in (tmp_path / "loop.svg").read_text(encoding="utf-8")
