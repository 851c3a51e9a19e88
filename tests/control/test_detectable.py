"""A model whose lasting unknowns cannot be told apart is found out before the loop is closed on it."""

from __future__ import annotations

import numpy as np

from control.bundle import ControllerBundle
from control.observe import Observer
from control.observe.detectable import undetectable, untold
from control.settings import ControlSettings
from control.signals import FloatArray, Target

TARGET = Target(10.0, 20.0, 250.0)
INPUTS = np.array([2.0, 10.8, 7.0, 0.2, 9.55])


def operating(bundle: ControllerBundle) -> FloatArray:
    known = {"main_force_kn": 9.55, "api_gain": 1.0}
    known |= dict.fromkeys(("nir_bias_pct", "weight_bias_mg", "api_flow_bias_kg_h"), 0.0)
    flows = dict(zip((f"flow_{n}" for n in bundle.inputs), INPUTS, strict=True))
    return np.array([known.get(n, flows.get(n, 10.0)) for n in bundle.states])


class Blinded(ControllerBundle):
    """The line without some of its measurements."""

    blind: tuple[str, ...] = ()

    def call(self, name: str, *arguments: FloatArray) -> tuple[FloatArray, ...]:
        found = super().call(name, *arguments)
        if name != "measure":
            return found
        keep = [i for i, n in enumerate(self.measurements) if n not in self.blind]
        return found[0][keep], found[1][keep]


def without(bundle: ControllerBundle, *names: str) -> ControllerBundle:
    class Less(Blinded):
        blind = names

    return Less(bundle.card, bundle.kernels, bundle.bundle_hash)


def test_the_line_tells_all_its_lasting_unknowns(bundle: ControllerBundle) -> None:
    assert undetectable(bundle, operating(bundle), INPUTS, TARGET) == ()


def test_without_laboratory_loss_and_nir_cannot_be_told_apart(bundle: ControllerBundle) -> None:
    told = undetectable(without(bundle, "y_lab_assay"), operating(bundle), INPUTS, TARGET)
    assert "nir_bias_pct" in told


def test_without_weights_their_bias_is_named(bundle: ControllerBundle) -> None:
    assert undetectable(without(bundle, "y_lab_weight"), operating(bundle), INPUTS, TARGET) == ("weight_bias_mg",)


def test_a_dying_state_needs_no_measurement(bundle: ControllerBundle) -> None:
    flow = f"y_flow_{bundle.inputs[1]}"
    assert undetectable(without(bundle, flow), operating(bundle), INPUTS, TARGET) == ()


def test_an_observer_knows_what_its_model_leaves_untold(settings: ControlSettings, bundle: ControllerBundle) -> None:
    assert untold(Observer(bundle, settings)) == ()
    assert untold(Observer(without(bundle, "y_lab_weight"), settings)) == ("weight_bias_mg",)
