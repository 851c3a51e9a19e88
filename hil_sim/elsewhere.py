"""jobs -> rows, played by the workers of a Dask scheduler: for campaigns that outgrow one machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from edge.errors import ConfigError

Job = TypeVar("Job")
PATIENCE_S = 15.0


def play_there(
    address: str,
    jobs: Sequence[Job],
    run: Callable[[Job], Any],
    code: Callable[[], str],
    finished: Callable[[int, Any], None],
) -> None:
    """Run every job on some worker, and finished(number, row) as each comes back; what waits is dropped on any error.

    run and code must be importable on the workers, and the files that jobs name must be there under the same paths.
    code: fingerprint of what plays; a worker with another one would play another line. Raises ConfigError when the
    scheduler does not answer, has no workers, or a worker runs other code.
    """
    try:
        from distributed import Client, as_completed
    except ModuleNotFoundError as error:
        raise ConfigError("--scheduler needs the package 'distributed': pip install patloop[fleet]") from error
    try:
        client = Client(address, timeout=PATIENCE_S)
    except (OSError, ValueError) as error:
        raise ConfigError(f"--scheduler {address}: no scheduler answers there ({type(error).__name__})") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE_S)
        except TimeoutError as error:
            mend = f"start one: dask worker {address}"
            raise ConfigError(f"--scheduler {address}: it has no workers; {mend}") from error
        found = client.run(code)
        others = sorted(worker for worker, digest in found.items() if digest != code())
        if others:
            raise ConfigError(f"--scheduler {address}: {', '.join(others)} run another release of patloop than this")
        numbers = {future: i for i, future in enumerate(client.map(run, jobs, pure=False))}
        try:
            for future in as_completed(list(numbers)):
                finished(numbers[future], future.result())
        except BaseException:
            client.cancel(list(numbers))
            raise
