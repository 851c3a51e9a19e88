"""Passwords: hashed with Argon2id, checked for strength, and made at random for a first log-in."""

from __future__ import annotations

import secrets
import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

LEAST_LENGTH = 10
MOST_LENGTH = 200  # longer ones only cost time
_LEGIBLE = "abcdefghjkmnpqrstuvwxyz23456789"  # no i l o 0 1: it is read from a screen and typed by hand
_one_at_a_time = threading.Lock()  # each hash takes 64 MiB: many log-ins at once must not starve the box


class PasswordRefused(ValueError):  # noqa: N818 - a verdict on what a person typed
    """The new password is not acceptable; the text says why."""


def hash_password(password: str) -> str:
    """The Argon2id hash to keep (RFC 9106, second recommended option)."""
    with _one_at_a_time:
        return PasswordHasher().hash(password)


def matches(kept: str, password: str) -> bool:
    """Whether this is the password that was hashed."""
    with _one_at_a_time:
        try:
            return PasswordHasher().verify(kept, password[: MOST_LENGTH + 1])
        except (VerificationError, InvalidHashError):
            return False


def first_password() -> str:
    """A random one-time password of 12 legible characters (59 bits)."""
    letters = [secrets.choice(_LEGIBLE) for _ in range(12)]
    return "-".join("".join(letters[i : i + 4]) for i in (0, 4, 8))


def check_new(name: str, old: str, new: str) -> None:
    """Refuse a new password that is too short or easily guessed. Raises PasswordRefused."""
    if len(new) < LEAST_LENGTH:
        raise PasswordRefused(f"The new password needs at least {LEAST_LENGTH} characters.")
    if len(new) > MOST_LENGTH:
        raise PasswordRefused(f"The new password may have at most {MOST_LENGTH} characters.")
    if new == old:
        raise PasswordRefused("The new password is the old one.")
    if name.lower() in new.lower() or len(set(new)) < 4:
        raise PasswordRefused("The new password is too easy to guess.")
