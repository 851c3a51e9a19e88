"""compiled problem -> the same one in machine code, where a C compiler is at hand: several times faster, same bits.

The C is CasADi's own, of the very functions of the bundle, with `arithmetic.c` and `window.c`, compiled without any
licence to reorder arithmetic. The libraries are kept in a cache under the hash of source, flags, compiler and machine,
and used only if they reproduce what the interpreter computes to the last bit; otherwise, or without a compiler, the
interpreter stays.
So a decision does not depend on whether it was compiled.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import shutil
import stat
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import casadi as ca
import numpy as np

from control.arithmetic import INTERPRETED, Arithmetic, padded
from control.arithmetic_native import CompiledSums
from control.compiled import Compiled
from control.kernel import Kernel
from control.window import Linearised
from soft_sensors.signals import FloatArray

log = logging.getLogger("patloop.native")

SAME_BITS = ("-fPIC", "-shared", "-ffp-contract=off", "-fno-fast-math")
MODEL_FLAGS = ("-O2", *SAME_BITS)
ARITHMETIC_FLAGS = ("-O3", "-fno-math-errno", *SAME_BITS)
ARITHMETIC = ("arithmetic.c", "window.c")  # one source, in this order
WORTH_IT = ("predict", "measure", "rollout", "linearise", "stage", "cost")
COMPILE_TIMEOUT_S = 120.0
POINTS = 3
TRIED = (3, 9, 3, 2)  # steps, states, measurements, inputs of what the sums are tried on

Problem = TypeVar("Problem", bound=Compiled)


def native(compiled: Problem, cache: Path) -> Problem:
    """The compiled problem with machine code where it can be had; `cache` is made if it is not there.

    Never raises for want of a compiler or a usable cache: says so in the log and returns what it was given.
    """
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        log.info("no C compiler: the controller's model is interpreted")
        return compiled
    try:
        library = _built(_source(compiled), MODEL_FLAGS, cache, compiler)
        source = b"".join(Path(__file__).with_name(part).read_bytes() for part in ARITHMETIC)
        sums = CompiledSums(_built(source, ARITHMETIC_FLAGS, cache, compiler))
    except (OSError, subprocess.SubprocessError, RuntimeError) as error:
        log.warning("the controller's model is interpreted: %s", error)
        return compiled
    if not _same_sums(INTERPRETED, sums):
        log.warning("the controller's model is interpreted: compiled sums differ in the last bits")
        return compiled
    found = dict(compiled.kernels)
    for name in WORTH_IT:
        kernel = Kernel(ca.external(compiled.kernels[name].function.name(), str(library)))
        if not _same_bits(compiled.kernels[name], kernel):
            log.warning("the controller's model is interpreted: compiled '%s' differs in the last bits", name)
            return compiled
        found[name] = kernel
    return replace(compiled, kernels=found, arithmetic=sums)


def cache_folder() -> Path:
    """Where compiled models are kept: the service manager's cache folder, else the user's."""
    given = os.environ.get("CACHE_DIRECTORY") or os.environ.get("XDG_CACHE_HOME")
    return (Path(given) if given else Path.home() / ".cache") / "patloop"


def _source(compiled: Compiled) -> bytes:
    """CasADi's C of a problem's functions."""
    with tempfile.TemporaryDirectory() as folder:
        generator = ca.CodeGenerator("model.c")
        for name in WORTH_IT:
            generator.add(compiled.kernels[name].function)
        generator.generate(f"{folder}{os.sep}")
        return (Path(folder) / "model.c").read_bytes()


def _built(source: bytes, flags: tuple[str, ...], cache: Path, compiler: str) -> Path:
    """The shared library of a source, from the cache or made now."""
    version = subprocess.run([compiler, "--version"], capture_output=True, check=True, timeout=10).stdout
    key = hashlib.sha256(b"\0".join([source, *(f.encode() for f in flags), version, platform.machine().encode()]))
    library = cache / f"{key.hexdigest()}.so"
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    _private(cache)
    if library.exists():
        return library
    with tempfile.TemporaryDirectory() as folder:
        written, made = Path(folder) / "source.c", Path(folder) / "source.so"
        written.write_bytes(source)
        command = [compiler, *flags, "-o", str(made), str(written), "-lm"]
        done = subprocess.run(command, capture_output=True, timeout=COMPILE_TIMEOUT_S, check=False)
        if done.returncode:
            raise RuntimeError(f"the C compiler failed: {done.stderr.decode(errors='replace')[:200]}")
        with tempfile.NamedTemporaryFile(dir=cache, suffix=".part", delete=False) as part:
            part.write(made.read_bytes())
        Path(part.name).replace(library)  # whole or not at all, whoever else is at it
    return library


def _private(cache: Path) -> None:
    """Code is only loaded from a folder that nobody else can write to."""
    found = cache.stat()
    if found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise OSError(f"{cache} can be written to by others: not used")


def _same_bits(one: Kernel, other: Kernel) -> bool:
    random = np.random.default_rng(20260101)
    for _ in range(POINTS):
        given = tuple(random.uniform(0.5, 20.0, one.function.size_in(i)) for i in range(one.function.n_in()))
        pairs = zip(one.evaluate(given), other.evaluate(given), strict=True)
        if not all(a.tobytes() == b.tobytes() for a, b in pairs):
            return False
    return True


def _same_sums(one: Arithmetic, other: Arithmetic) -> bool:
    return all(a.tobytes() == b.tobytes() for a, b in zip(_sums(one), _sums(other), strict=True))


def _sums(tried: Arithmetic) -> tuple[FloatArray, ...]:
    random, (steps, n, n_y, n_u) = np.random.default_rng(20260101), TRIED
    A, B, c = (random.normal(size=(steps, *shape)) for shape in ((n, n), (n_u, n), (n,)))
    carried, followed = np.zeros((steps + 1, n, padded(steps * n_u))), np.ones((steps + 1, n))
    tried.carry(A, B, np.arange(steps), carried[:-1], carried[1:])
    tried.follow(A, c, followed[:-1], followed[1:])
    C, (misfits, weights) = random.normal(size=(steps + 1, n, n_y)), random.uniform(0.5, 2.0, (2, steps + 1, n_y))
    X, noise = random.uniform(0.5, 2.0, (2, steps + 1, n))
    low, high, held = np.full(n, 1.0), np.full(n, 1.5), np.eye(n)[0]
    made = tried.window(Linearised(X, A, C, c, misfits, weights, noise, c[0], np.eye(n), steps, low, high, held))
    spread = tried.spread(A[0], made.cov, noise[0], C[0])
    return carried, followed, spread, made.X, made.newest_cov, made.mean, made.cov
