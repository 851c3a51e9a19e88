"""`patloop publish`: the publishers of one line, one command each."""

from __future__ import annotations

import click


@click.group()
def publish() -> None:
    """Hand the record on to other systems; the loop does not notice whether anybody listens.

    \b
    Example:
      patloop publish mqtt deploy/lines/cdc_ref_1.toml
    """
