"""password files: read only where nobody else may read them."""

from __future__ import annotations

from pathlib import Path

from edge.errors import ConfigError


def password(file: Path) -> str:
    """The password in a file that only its owner may read. Raises ConfigError naming the file and the mend."""
    try:
        if file.stat().st_mode & 0o077:
            raise ConfigError(f"{file} can be read by others; mend: chmod 600")
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: the password cannot be read ({error})") from error
