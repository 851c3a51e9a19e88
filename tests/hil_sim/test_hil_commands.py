"""`patloop hil`: blends and serve from the command line."""

from __future__ import annotations

import socket

import pytest
from click.testing import CliRunner

from hil_sim.commands import hil


def invoke(*words):
    return CliRunner().invoke(hil, [str(word) for word in words])


def line_file(folder, port):
    path = folder / "line.toml"
    path.write_text(f'[opcua]\nurl = "opc.tcp://127.0.0.1:{port}"\nnamespace = "urn:patloop:cdc-ref-1"\n')
    return path


def test_blends_writes_both_files_and_says_so(tmp_path):
    done = invoke("blends", "--out", tmp_path / "b", "--seed", 2)
    assert done.exit_code == 0
    assert "240 spectra of 40 blends" in done.output
    assert {f.name for f in (tmp_path / "b").iterdir()} == {"spectra.csv", "reference.csv"}


def test_blends_into_a_file_is_refused(tmp_path):
    (tmp_path / "b").write_text("")
    done = invoke("blends", "--out", tmp_path / "b")
    assert done.exit_code == 2


def test_serve_plays_a_scenario_to_its_end_and_again(tmp_path):
    path = line_file(tmp_path, 0)
    for _ in range(2):
        options = ("--scenario", "bridge", "--hours", 0.02, "--speed", 100000, "--state", tmp_path / "s")
        done = invoke("serve", path, *options)
        assert done.exit_code == 0, done.output
    assert (tmp_path / "s" / "server.der").exists()
    assert (tmp_path / "s" / "edge.password").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("missing.toml",), "missing.toml: cannot be read"),
        (("LINE", "--scenario", "flood"), "scenario 'flood' not found"),
        (("LINE", "--speed", "0"), "--speed"),
    ],
)
def test_wrong_input_is_one_line_and_exit_2(tmp_path, words, said):
    path = line_file(tmp_path, 0)
    done = invoke("serve", *(str(path) if word == "LINE" else word for word in words))
    assert done.exit_code == 2
    assert said in done.output
    assert "Traceback" not in done.output


def test_a_taken_port_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = invoke("serve", line_file(tmp_path, port), "--state", tmp_path / "s")
    assert done.exit_code == 2
    assert f"{port}: cannot be served" in done.output


@pytest.mark.parametrize("command", ["serve", "blends"])
def test_help_has_an_example(command):
    assert "Example:" in invoke(command, "--help").output
