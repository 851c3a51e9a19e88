"""patloop sensor ...: make, judge, govern and use soft sensors from the command line."""

from __future__ import annotations

import click

from soft_sensors.console import LazyGroup

# Name -> module and attribute; a command is imported when it is called, so that a box loads no offline package.
COMMANDS = {
    "calibrate": "soft_sensors.calibrate_command:calibrate",
    "validate": "soft_sensors.use_commands:validate",
    "predict": "soft_sensors.use_commands:predict_command",
    "wrap": "soft_sensors.wrap_command:wrap",
    "transfer": "soft_sensors.transfer_command:transfer",
    "show": "soft_sensors.use_commands:show",
    "list": "soft_sensors.registry_running_commands:list_command",
    "verify": "soft_sensors.registry_commands:verify",
    "dossier": "soft_sensors.dossier_command:dossier",
    "quarantine": "soft_sensors.dossier_command:quarantine",
    "challenge": "soft_sensors.challenge_command:challenge_command",
    "watch": "soft_sensors.watch_commands:watch_command",
    "instrument": "soft_sensors.watch_commands:instrument_command",
    "key": "soft_sensors.registry_commands:key_command",
    "registry": "soft_sensors.registry_commands:registry_group",
    "register": "soft_sensors.registry_commands:register",
    "approve": "soft_sensors.registry_commands:approve",
    "activate": "soft_sensors.registry_commands:activate",
    "retire": "soft_sensors.registry_commands:retire",
    "rollback": "soft_sensors.registry_running_commands:rollback",
    "shadow": "soft_sensors.registry_running_commands:shadow",
    "promote": "soft_sensors.registry_running_commands:promote",
    "bias": "soft_sensors.registry_running_commands:bias",
    "history": "soft_sensors.registry_running_commands:history",
}


@click.group(cls=LazyGroup, commands_at=COMMANDS)
def sensor() -> None:
    """Make, judge, govern and use soft sensors.

    \b
    Example:
      patloop sensor calibrate --spectra S.csv --reference R.csv --target api_pct --out api_nir
    """
