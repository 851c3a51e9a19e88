"""python -m deploy.faults.service_end: `patloop run`, the real thing, with its size written down beside it.

A task inside the service writes service.jsonl in the state folder: open files and sockets, tasks, objects and resident
memory of the process, every two seconds. Nothing else is different; a number behind the line file
makes it read so many more tags (deploy.scale).
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any, TextIO

import edge.acquire.learn
import edge.service
from deploy.cli import main
from deploy.faults.line_end import extra_tags
from edge.acquire import tags
from edge.config import LineConfig

LOG = "service.jsonl"
EVERY_S = 2.0


def _size(loop: asyncio.AbstractEventLoop) -> dict[str, float]:
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    targets = list(_open_files())
    return {
        "wall_s": time.time(),
        "rss_mb": int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20,
        "files": len(targets),
        "sockets": sum(target.startswith("socket:") for target in targets),
        "tasks": len(asyncio.all_tasks(loop)) - 1,  # without the one that counts
        "objects": len(gc.get_objects()),
    }


def _open_files() -> Iterator[str]:
    for name in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the listing itself, closed meanwhile
            yield str(name.readlink())


async def _write_down(out: TextIO) -> None:
    while True:
        out.write(json.dumps(_size(asyncio.get_running_loop())) + "\n")
        out.flush()
        await asyncio.sleep(EVERY_S)


def _watched(serve: Callable[..., Awaitable[None]], out: TextIO) -> Callable[..., Awaitable[None]]:
    @wraps(serve)
    async def serve_watched(*given: Any, **named: Any) -> None:
        watcher = asyncio.create_task(_write_down(out))
        try:
            await serve(*given, **named)
        finally:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)

    return serve_watched


def _widened(extra: int) -> None:
    """The service reads so many more tags a cycle: it learns, reads, judges and records them like its own."""

    def wanted(config: LineConfig) -> tuple[str, ...]:
        return (*tags.wanted(config), *extra_tags(extra))

    vars(edge.acquire.learn)["wanted"] = wanted


if __name__ == "__main__":
    if len(sys.argv) > 2 and int(sys.argv[2]):
        _widened(int(sys.argv[2]))
    folder = Path(sys.argv[1]).resolve().parent
    with (folder / LOG).open("a", encoding="utf-8") as log:
        edge.service.serve = _watched(edge.service.serve, log)  # type: ignore[assignment]
        sys.argv = ["patloop", "run", sys.argv[1]]
        main()
