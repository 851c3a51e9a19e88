"""The dossier as a whole: every heading, in two forms, the same each time, and none without evidence."""

from __future__ import annotations

import html as html_library
import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from soft_sensors.commands import sensor
from soft_sensors.dossier.build import HTML, PDF, WRITERS, build, compose
from soft_sensors.dossier.document import Outcome
from soft_sensors.dossier.findings import find
from soft_sensors.dossier.headings import HEADINGS, UnsupportedError
from soft_sensors.dossier.material import Inputs, Material, gather
from soft_sensors.dossier.plan import PlanError
from soft_sensors.errors import TableError

from .conftest import make_blends, write_table
from .dossier_hand import write_case


@pytest.fixture(scope="module")
def case(bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """A complete case."""
    return write_case(tmp_path_factory.mktemp("case"), bundle_path)


@pytest.fixture(scope="module")
def built(case: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its dossier."""
    out = tmp_path_factory.mktemp("dossier") / "out"
    assert build(case, out) is Outcome.MEETS
    return out


def test_the_page_has_every_heading_and_needs_no_other_file(built: Path) -> None:
    page = (built / HTML).read_text(encoding="utf-8")
    headings = re.findall(r"<h2>(\d+)&ensp;(.*?)</h2>", page)
    assert [(int(n), html_library.unescape(t)) for n, t in headings] == [(h.number, h.title) for h in HEADINGS]
    assert "http" not in page
    assert all(source.startswith("data:image/png;base64,") for source in re.findall(r'src="(.*?)"', page))
    numbers = [int(n) for n in re.findall(r"<figcaption>Figure (\d+)\.", page)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= 7
    assert "compliant" not in page
    assert "Decision: meets its plan" in page


def test_the_pdf_embeds_its_fonts_and_has_an_outline(built: Path) -> None:
    content = (built / PDF).read_bytes()
    assert content.startswith(b"%PDF-")
    assert content.count(b"/FontFile2") >= 3
    assert b"Helvetica" not in content
    assert len(re.findall(rb"/Type /Page\b", content)) >= 8
    assert content.count(b"/Title") >= len(HEADINGS)


def test_the_same_files_give_the_same_bytes(case: Inputs, built: Path, tmp_path: Path) -> None:
    build(case, tmp_path / "again")
    for name in (HTML, PDF):
        assert (tmp_path / "again" / name).read_bytes() == (built / name).read_bytes()


def test_a_heading_that_has_nothing_to_say_fails_the_build(case: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    material = gather(case)
    findings = find(material)
    for number, writer in WRITERS.items():
        blocks, sources = writer(material, findings)
        assert blocks, number
        assert sources, number
    monkeypatch.setattr("soft_sensors.dossier.build.WRITERS", {**WRITERS, 12: lambda m, f: ((), ())})
    with pytest.raises(UnsupportedError, match="12 Robustness"):
        compose(material, findings)


@pytest.mark.parametrize("missing", ["spectra", "reference", "target"])
def test_without_a_test_set_there_is_no_dossier(case: Inputs, missing: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=f"give --{missing}"):
        build(replace(case, **{missing: None}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_every_lack_is_named_at_once(bundle_path: Path, tmp_path: Path) -> None:
    case = write_case(tmp_path, bundle_path, {"use.fallback": None, "limits.action": "FILL IN", "size.reason": ""})
    with pytest.raises(UnsupportedError) as caught:
        gather(replace(case, spectra=None))
    assert [lack.number for lack in caught.value.lacks] == [2, 8, 9, 13, 14]


def test_a_known_test_sample_is_no_evidence(case: Inputs, tmp_path: Path) -> None:
    blends = make_blends(60, seed=1)  # the calibration set's own
    ids = [f"y{k}" for k in range(60)]
    spectra = write_table(tmp_path / "T.csv", [f"{a:g}" for a in blends.axis], ids, blends.spectra.tolist())
    reference = write_table(tmp_path / "R.csv", ["api"], ids, [[y] for y in blends.concentration])
    with pytest.raises(UnsupportedError, match=r"14 Independence.*identical to the spectrum of calibration sample b0"):
        gather(replace(case, spectra=spectra, reference=reference, group=None))


def test_a_failed_criterion_is_said_and_is_exit_1(bundle_path: Path, tmp_path: Path) -> None:
    case = write_case(tmp_path, bundle_path, {"criteria.max_rmsep": 0.0001})
    out = tmp_path / "out"
    done = run(case, out)
    assert done.exit_code == 1
    assert "does not meet its plan" in done.output
    page = (out / HTML).read_text(encoding="utf-8")
    assert "Decision: does not meet its plan. The soft sensor does not meet its plan: RMSEP." in page


def test_without_repeated_scans_the_decision_stays_open(case: Inputs, tmp_path: Path) -> None:
    assert build(replace(case, repeat=None), tmp_path / "out") is Outcome.OPEN
    page = (tmp_path / "out" / HTML).read_text(encoding="utf-8")
    assert "a lower bound that holds no sample presentation" in page


def test_samples_set_aside_are_shown_both_ways(bundle_path: Path, tmp_path: Path) -> None:
    more = '[[test.set_aside]]\nsample_id = "x3"\nreason = "wrong <dilution> & more"'
    case = write_case(tmp_path, bundle_path, more=more)
    material = gather(case)
    findings = find(material)
    assert (findings.judged.score.n, findings.everything.score.n) == (39, 40)
    build(case, tmp_path / "out")
    assert "wrong &lt;dilution&gt; &amp; more" in (tmp_path / "out" / HTML).read_text(encoding="utf-8")


def test_setting_aside_a_stranger_is_refused(bundle_path: Path, tmp_path: Path) -> None:
    more = '[[test.set_aside]]\nsample_id = "nobody"\nreason = "none"'
    with pytest.raises(TableError, match="nobody is not in the test set"):
        gather(write_case(tmp_path, bundle_path, more=more))


def test_a_letter_without_a_glyph_is_refused(bundle_path: Path, tmp_path: Path) -> None:
    case = write_case(tmp_path, bundle_path, {"document.site": "工場"})
    with pytest.raises(PlanError, match="no font for"):
        build(case, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_test_set_of_two_is_none(case: Inputs, tmp_path: Path) -> None:
    blends = make_blends(2, seed=30)
    spectra = write_table(tmp_path / "T.csv", [f"{a:g}" for a in blends.axis], "ab", blends.spectra.tolist())
    reference = write_table(tmp_path / "R.csv", ["api"], "ab", [[y] for y in blends.concentration])
    with pytest.raises(UnsupportedError, match="2 usable test sample"):
        gather(replace(case, spectra=spectra, reference=reference, group=None))


def test_the_commands_speak_in_lines(case: Inputs, tmp_path: Path) -> None:
    done = run(replace(case, spectra=None, repeat=None), tmp_path / "out")
    assert done.exit_code == 1
    assert "9 Performance: give --spectra of the independent test set" in done.output
    assert not (tmp_path / "out").exists()
    printed = CliRunner().invoke(sensor, ["dossier", "--template"])
    assert (printed.exit_code, printed.output.startswith("# Plan of a soft sensor's dossier")) == (0, True)
    broken = run(replace(case, plan=tmp_path / "none.toml"), tmp_path / "out")
    assert (broken.exit_code, "Traceback" in broken.output) == (2, False)


def test_the_quarantine_command_tells_fresh_from_known(case: Inputs, bundle_path: Path, tmp_path: Path) -> None:
    fresh = CliRunner().invoke(sensor, ["quarantine", str(bundle_path), "--spectra", str(case.spectra),
                                        "--reference", str(case.reference), "--group", "lot"])
    assert (fresh.exit_code, "share nothing" in fresh.output) == (0, True)
    blends = make_blends(60, seed=1)
    known = write_table(tmp_path / "K.csv", [f"{a:g}" for a in blends.axis], [f"y{k}" for k in range(60)],
                        blends.spectra.tolist())
    done = CliRunner().invoke(sensor, ["quarantine", str(bundle_path), "--spectra", str(known)])
    assert done.exit_code == 1
    assert done.output.count("identical to the spectrum of calibration sample") == 60


def run(case: Inputs, out: Path):  # type: ignore[no-untyped-def]
    options = [f"--{name}={value}" for name in ("plan", "spectra", "reference", "target", "group", "pure", "repeat")
               if (value := getattr(case, name)) is not None]
    return CliRunner().invoke(sensor, ["dossier", str(case.bundle), *options, f"--out={out}"])


def test_material_knows_its_files(case: Inputs) -> None:
    material: Material = gather(case)
    assert {"plan", "graph.onnx", "calibration.npz", "spectra", "pure", "repeat"} <= set(material.sources)
    assert material.golden_difference < 1e-12
