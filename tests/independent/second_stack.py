"""The second OPC UA stack: installed once from the lock file, its programs started with what they are told."""

from __future__ import annotations

import asyncio
import fcntl
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from edge.pki import make_server_certificate

HERE = Path(__file__).parent
LEAST_NODE = 20
INSTALL_S = 120
WHY = "the second OPC UA stack is missing"


def installed() -> Path:
    """The node program, with the stack in place; skips with the reason where it cannot be had."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip(f"{WHY}: it needs node {LEAST_NODE} and npm")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.strip().lstrip("v").partition(".")[0]) < LEAST_NODE:
        pytest.skip(f"{WHY}: node {version.strip()} is older than {LEAST_NODE}")
    with (HERE / ".install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may want it at once
        mark = HERE / "node_modules" / ".ready"
        wanted = (HERE / "package-lock.json").read_text()
        if not mark.exists() or mark.read_text() != wanted:
            _install(npm)
            mark.write_text(wanted)
    return Path(node)


def _install(npm: str) -> None:
    asked = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(asked, cwd=HERE, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{WHY}: the package registry did not answer within {INSTALL_S} s")
    if done.returncode != 0:
        reason = next((line for line in done.stderr.splitlines() if line.strip()), "npm gave no reason")
        pytest.skip(f"{WHY}: npm could not install it ({reason[:120]})")


def identity(folder: Path, stem: str, uri: str) -> dict[str, str]:
    """A certificate of client and server use as PEM and DER files, and its key."""
    der = make_server_certificate(folder, stem, uri, ("127.0.0.1",))
    pem = pem_of(der, folder / f"{stem}_cert.pem")
    return {"certificate": str(pem), "privateKey": str(folder / f"{stem}_key.pem"), "der": str(der)}


def pem_of(der: Path, pem: Path) -> Path:
    """The certificate in the form that the second stack reads."""
    pem.write_bytes(x509.load_der_x509_certificate(der.read_bytes()).public_bytes(Encoding.PEM))
    return pem


async def told_by(node: Path, program: str, told: dict[str, Any], patience_s: float = 180.0) -> dict[str, Any]:
    """What a program that is told JSON and answers with one line of JSON has to say."""
    process = await asyncio.create_subprocess_exec(
        node, HERE / program, cwd=HERE,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        out, err = await asyncio.wait_for(process.communicate(json.dumps(told).encode()), patience_s)
    except TimeoutError:
        process.kill()
        raise
    lines = [line for line in out.decode().splitlines() if line.startswith("{")]
    assert lines, f"{program} said nothing: {err.decode()[-2000:]} {out.decode()[-2000:]}"
    found: dict[str, Any] = json.loads(lines[-1])
    return found
