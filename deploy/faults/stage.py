"""the shipped line file -> a line of its own in a folder: address, cycle time, bundle built for it, certificates."""

from __future__ import annotations

import re
import threading
import tomllib
from pathlib import Path

from control.build import build_bundle
from deploy.demo import Stage, prepare
from edge.config import read_config
from edge.errors import ConfigError

TIMEOUT_OF_CYCLE = 0.4  # as in the shipped line: 2 s of 5 s
BUNDLE = "controller"
_BUILDING = threading.Lock()  # CasADi counts references to its expressions without a lock: one thread at a time


def stage_line(
    out: Path, url: str, cycle_s: float, *, follow_tag: bool, port: int = 48400, bundle: Path | None = None,
    channel_s: float | None = None, remember_s: float | None = None,
) -> Stage:  # fmt: skip
    """Prepare a folder for one line; a bundle that was built for the same cycle may be handed in. Raises ConfigError.

    follow_tag: the service's clock is the line's own tag, as shipped; else it is the wall's. channel_s: life of the
    secure channel before it is renewed, and remember_s: what the observer remembers, where it is not the shipped one.
    """
    stage = prepare(out, port)
    text = stage.line_file.read_text()
    text = _put(text, "url", f'"{url}"')
    text = _put(text, "cycle_s", f"{cycle_s}")
    text = _put(text, "timeout_s", f"{TIMEOUT_OF_CYCLE * cycle_s:g}")
    if channel_s is not None:
        text = text.replace("\ntimeout_s = ", f"\nsecure_channel_timeout_s = {channel_s:g}\ntimeout_s = ", 1)
    if remember_s is not None:
        text = text.replace("\n[observer]\n", f"\n[observer]\nmemory_s = {remember_s:g}\n", 1)
    if not follow_tag:
        text = re.sub(r"^clock_tag = .*\n", "", text, flags=re.M)
    built = bundle or (out / BUNDLE).resolve()
    text = re.sub(r'^bundle = ".*/cdc_mpc"$', f'bundle = "{built.as_posix()}"', text, flags=re.M)
    stage.line_file.write_text(text)
    if bundle is None:
        settings = read_config(stage.line_file)[0].control()
        if settings is None:
            raise ConfigError(f"{stage.line_file}: has no controller to build")
        with _BUILDING:
            build_bundle(settings, built)
    return stage


def _put(text: str, key: str, value: str) -> str:
    """Set the first key of that name; the shipped file has it."""
    found, n = re.subn(rf"^{key} = .*$", f"{key} = {value}", text, count=1, flags=re.M)
    if n != 1:
        raise ConfigError(f"the shipped line file has no key {key}")
    tomllib.loads(found)
    return found
