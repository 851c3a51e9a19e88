"""The reference line's control settings, and a controller bundle built once from them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from control.build import build_bundle
from control.bundle import ControllerBundle, load_controller
from control.commands import read_settings
from control.observe import Observer
from control.settings import ControlSettings

sys.path.insert(0, str(Path(__file__).parent))  # lets the tests here share track_toy
LINE = Path(__file__).parents[2] / "deploy" / "lines" / "cdc_ref_1.toml"


@pytest.fixture(scope="session")
def settings() -> ControlSettings:
    return read_settings(LINE)


@pytest.fixture(scope="session")
def bundle_folder(settings: ControlSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("controller") / "bundle"
    build_bundle(settings, folder)
    return folder


@pytest.fixture(scope="session")
def bundle(settings: ControlSettings, bundle_folder: Path) -> ControllerBundle:
    return load_controller(settings, bundle_folder)


@pytest.fixture(scope="session")
def observer(settings: ControlSettings, bundle: ControllerBundle) -> Observer:
    return Observer(bundle, settings)
