"""Transfer to another instrument: the map in the graph, its choice, and when the answer is no."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from click.testing import CliRunner, Result

from soft_sensors.bundle import GRAPH, Bundle, load_bundle
from soft_sensors.calibrate.package import card_toml
from soft_sensors.calibrate.transfer.choose import folds, pick
from soft_sensors.calibrate.transfer.embed import embed
from soft_sensors.calibrate.transfer.maps import Map, spectral_maps, value_maps
from soft_sensors.calibrate.transfer.move import Paired, move
from soft_sensors.card import read_card
from soft_sensors.commands import sensor
from soft_sensors.errors import BundleError, TransferError
from soft_sensors.signals import FloatArray

from .conftest import Blends, make_blends, write_table


def second_instrument(blends: Blends, seed: int) -> FloatArray:
    """The blends on an instrument with another gain, a tilted baseline, a wavelength shift and noise of its own."""
    moved = np.array([np.interp(blends.axis + 6.0, blends.axis, row) for row in blends.spectra])
    tilt = 0.08 * (blends.axis - 1300.0) / 400.0
    return 0.9 * moved + 0.15 + tilt + np.random.default_rng(seed).normal(0.0, 0.002, moved.shape)


PAIRS, TEST = make_blends(25, seed=11), make_blends(60, seed=12)


def values(bundle: Bundle, spectra: FloatArray) -> FloatArray:
    return np.array([bundle.infer(row)["value"] for row in spectra])


def rms(difference: FloatArray) -> float:
    return float(np.sqrt(np.mean(difference**2)))


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(sensor, ["transfer", *(str(a) for a in arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A.csv and B.csv: 25 pairs, in another order, and one sample in each that the other lacks."""
    folder = tmp_path_factory.mktemp("pairs")
    ids = [f"p{k}" for k in range(25)]
    new = second_instrument(PAIRS, seed=1)
    write_table(folder / "A.csv", PAIRS.axis, [*ids, "only_a"], [*PAIRS.spectra, TEST.spectra[0]])
    write_table(folder / "B.csv", PAIRS.axis, [*ids[::-1], "only_b"], [*new[::-1], new[0]])
    return folder


@pytest.fixture(scope="module")
def moved_path(bundle_path: Path, files: Path) -> Path:
    result = run(bundle_path, "--from", files / "A.csv", "--to", files / "B.csv", "--out", files / "moved")
    assert result.exit_code == 0, result.output
    for sample_id in ("only_a", "only_b"):
        assert sample_id in result.stderr
    assert "transferred from" in result.stdout
    return files / "moved"


def test_the_moved_model_holds_on_the_new_instrument(bundle: Bundle, moved_path: Path) -> None:
    moved, new = load_bundle(moved_path), second_instrument(TEST, seed=2)
    at_home = rms(values(bundle, TEST.spectra) - TEST.concentration)
    without = rms(values(bundle, new) - TEST.concentration)
    error = values(moved, new) - TEST.concentration
    assert without > 10 * at_home
    assert rms(error) < 3 * at_home
    assert np.mean(np.abs(error) <= moved.card.half_width) >= 0.85
    inside = [(out["t2"] <= moved.card.t2_limit) and (out["q"] <= moved.card.q_limit)
              for out in (moved.infer(row) for row in new)]
    assert np.mean(inside) > 0.9


def test_a_fault_on_the_new_instrument_is_still_seen(moved_path: Path) -> None:
    moved, new = load_bundle(moved_path), second_instrument(TEST, seed=2)[0]
    strange = new + 0.2 * np.exp(-0.5 * ((TEST.axis - 1550.0) / 15.0) ** 2)
    assert moved.infer(strange)["q"] > moved.card.refuse_factor * moved.card.q_limit


def test_the_card_tells_where_the_model_comes_from(bundle: Bundle, moved_path: Path) -> None:
    card = load_bundle(moved_path).card
    assert card.transfer is not None
    assert card.transfer.parent_hash == bundle.bundle_hash
    assert sorted(card.transfer.pairs) == sorted(f"p{k}" for k in range(25))
    assert card.transfer.rmse_after < card.transfer.rmse_before / 5
    assert card.half_width == pytest.approx(np.hypot(bundle.card.half_width, card.transfer.agreement_half_width))
    assert card.rmsecv > bundle.card.rmsecv
    back = read_card(card_toml(card), "card.toml")
    assert back.transfer == card.transfer
    with pytest.raises(BundleError, match="card"):
        read_card(card_toml(card).replace("parent_hash", "parent"), "card.toml")


def test_the_report_stands_alone(moved_path: Path) -> None:
    page = (moved_path / "report.html").read_text()
    assert page.count("data:image/png;base64,") == len(list((moved_path / "figures").glob("*.png"))) == 4
    assert "http" not in page
    assert "nested cross-validation" in page


def test_the_same_files_give_the_same_bundle(bundle_path: Path, files: Path, moved_path: Path) -> None:
    result = run(bundle_path, "--from", files / "A.csv", "--to", files / "B.csv", "--out", files / "again",
                 "--name", "moved")
    assert result.exit_code == 0
    assert load_bundle(files / "again").bundle_hash == load_bundle(moved_path).bundle_hash


def all_maps(bundle: Bundle) -> dict[str, Map]:
    used = bundle.card.window
    old, new = PAIRS.spectra[:, used], second_instrument(PAIRS, seed=1)[:, used]
    of_values = value_maps(values(bundle, PAIRS.spectra), values(bundle, second_instrument(PAIRS, seed=1)))
    return {**spectral_maps(old, new), **of_values}


def run_graph(graph: bytes, row: FloatArray) -> FloatArray:
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return np.array([float(o.item()) for o in session.run(["value", "lower", "upper", "t2", "q"],
                                                          {"spectrum": row[None, :]})])


def test_every_map_in_the_graph_equals_the_map_by_hand(bundle: Bundle, bundle_path: Path) -> None:
    maps, graph, used = all_maps(bundle), (bundle_path / GRAPH).read_bytes(), bundle.card.window
    assert {name.split("(")[0] for name in maps} == {"mean difference", "SST", "DS", "PDS", "bias", "slope and bias"}
    row = second_instrument(TEST, seed=2)[3]
    for name, one in maps.items():
        by_hand = row.copy()
        by_hand[used] = one.spectra(row[None, used])[0]
        wanted = bundle.infer(by_hand)
        value = one.slope * wanted["value"] + one.intercept
        got = run_graph(embed(graph, one, 0.5), row)
        np.testing.assert_allclose(got, [value, value - 0.5, value + 0.5, wanted["t2"], wanted["q"]], rtol=1e-9,
                                   err_msg=name)


def test_two_transfers_in_a_row_undo_the_last_instrument_first(bundle: Bundle, bundle_path: Path) -> None:
    used, row = bundle.card.window, TEST.spectra[5]
    graph = (bundle_path / GRAPH).read_bytes()
    channels = used.stop - used.start
    band = all_maps(bundle)["PDS(5, 2)"]
    shift = Map("shift", offset=np.linspace(0.0, 0.3, channels))
    by_hand = row.copy()
    by_hand[used] = band.spectra(shift.spectra(row[None, used]))[0]
    got = run_graph(embed(embed(graph, band, 0.5), shift, 0.5), row)
    assert got[0] == pytest.approx(bundle.infer(by_hand)["value"], rel=1e-9)


def test_the_same_instrument_twice_is_refused(bundle_path: Path, files: Path, tmp_path: Path) -> None:
    result = run(bundle_path, "--from", files / "A.csv", "--to", files / "A.csv", "--out", tmp_path / "m")
    assert result.exit_code == 1
    assert "nothing to gain" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("gain", "text"), [(1.0, "no transfer helps"), (0.5, "sample_id pairs the same samples")])
def test_pairs_that_are_not_the_same_samples_are_refused(
    bundle: Bundle, bundle_path: Path, gain: float, text: str
) -> None:
    strangers = gain * second_instrument(make_blends(25, seed=99), seed=3)
    paired = Paired(tuple(f"p{k}" for k in range(25)), PAIRS.spectra, strangers)
    with pytest.raises(TransferError, match=text):
        move(bundle, (bundle_path / GRAPH).read_bytes(), paired, "m")


def test_a_swapped_label_is_named_and_left_out(bundle: Bundle, bundle_path: Path) -> None:
    new = second_instrument(PAIRS, seed=1)
    order = np.argsort(PAIRS.concentration)
    new[order[[0, -1]]] = new[order[[-1, 0]]]
    ids = tuple(f"p{k}" for k in range(25))
    moved = move(bundle, (bundle_path / GRAPH).read_bytes(), Paired(ids, PAIRS.spectra, new), "m")
    assert set(np.flatnonzero(moved.suspect)) == set(order[[0, -1]])
    assert moved.card.transfer is not None
    assert not {ids[order[0]], ids[order[-1]]} & set(moved.card.transfer.pairs)
    assert any(ids[order[0]] in text for text in moved.warnings)


def test_pairs_in_a_narrow_range_are_warned_of(bundle: Bundle, bundle_path: Path) -> None:
    near = np.abs(TEST.concentration - 10.0) < 2.0
    paired = Paired(tuple(f"p{k}" for k in range(int(near.sum()))), TEST.spectra[near],
                    second_instrument(TEST, seed=4)[near])
    moved = move(bundle, (bundle_path / GRAPH).read_bytes(), paired, "m")
    assert any("beyond the pairs" in text for text in moved.warnings)


def test_little_to_gain_is_warned_of(bundle: Bundle, bundle_path: Path) -> None:
    paired = Paired(tuple(f"p{k}" for k in range(25)), PAIRS.spectra, PAIRS.spectra * 1.005)
    wide = replace(bundle, card=replace(bundle.card, half_width=10.0))
    moved = move(wide, (bundle_path / GRAPH).read_bytes(), paired, "m")
    assert any("little to gain" in text for text in moved.warnings)


def test_a_graph_from_elsewhere_is_not_touched(bundle: Bundle) -> None:
    import onnx
    from onnx import TensorProto, helper

    node = helper.make_node("Identity", ["spectrum"], ["value"])
    info = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, [1, 3]) for name in ("spectrum", "value")]
    foreign = helper.make_model(helper.make_graph([node], "g", info[:1], info[1:]))
    assert isinstance(foreign, onnx.ModelProto)
    with pytest.raises(BundleError, match="cannot be transferred"):
        embed(foreign.SerializeToString(), Map("shift", offset=np.zeros(3)), 1.0)


def test_what_is_wrong_with_the_files_is_one_line(bundle_path: Path, files: Path, tmp_path: Path) -> None:
    other = make_blends(3, seed=5)
    write_table(tmp_path / "axis.csv", other.axis + 3.0, ["p1", "p2", "p3"], other.spectra)
    write_table(tmp_path / "few.csv", other.axis, ["p1", "p2", "p3"], other.spectra)
    write_table(tmp_path / "nobody.csv", other.axis, ["x", "y", "z"], other.spectra)
    write_table(tmp_path / "nan.csv", other.axis, ["p1", "p2", "p3"], np.full((3, 80), np.nan))
    for name, text in (("axis", "axis differs"), ("few", "at least 6"), ("nobody", "no sample_id is both in"),
                       ("nan", "left out, no finite spectrum"), ("absent", "no such file")):
        result = run(bundle_path, "--from", files / "A.csv", "--to", tmp_path / f"{name}.csv", "--out", tmp_path / "m")
        assert result.exit_code == 2
        assert text in result.stderr
        assert "Error: " in result.stderr.splitlines()[-1]


def test_folds_span_the_range_and_the_steady_method_is_preferred() -> None:
    assert folds(np.array([3.0, 1.0, 2.0])).tolist() == [2, 0, 1]
    noise = np.random.default_rng(1).normal(0, 1.0, (3, 20))
    near = {"bias": 3.0 * noise[0], "SST(3)": 0.9 * noise[2][::-1], "DS(3e-05)": noise[2]}
    assert pick(near) == "DS(3e-05)"
    assert pick({**near, "SST(3)": 0.1 * noise[1]}) == "SST(3)"
    assert pick({"bias": noise[0], "mean difference": 0.1 * noise[1]}) == "mean difference"


def test_a_card_without_transfer_is_read_as_before(bundle: Bundle) -> None:
    text = card_toml(bundle.card)
    assert "transfer" not in text
    assert read_card(text, "card.toml").transfer is None


