"""Every command line that help texts, README and docs show is one that the command line takes."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from deploy.cli import patloop

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
STANDS_FOR = {"T": "2026-03-01T06:00", "N": "3", "WHO": "ann", "DIR": "backup", "VERSION": "1"}


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


def examples(text: str) -> Iterator[str]:
    """The lines of a help text that begin with patloop, continued ones joined: what stands deeper belongs to it."""
    lines = text.replace("\\\n", " ").splitlines()
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if line.strip().startswith("patloop "):
            assert not after.startswith(line[: len(line) - len(line.lstrip())] + " "), f"no \\ before: {after}"
            yield line.strip()


def in_pages() -> Iterator[tuple[str, str]]:
    """Where, and what: code blocks' lines, and spans of code that give more than a command's name."""
    for page in PAGES:
        text = page.read_text()
        for block in re.findall(r"```sh\n(.*?)```", text, flags=re.S):
            yield from ((page.name, line) for line in examples(block))
        for span in re.findall(r"`(patloop [^`]+)`", text):
            if re.search(r"[/.][a-z]|[A-Z]{2}|--", span) and "..." not in span:
                yield page.name, span


def in_units() -> Iterator[tuple[str, str]]:
    """What the units start, for a line named cdc."""
    for unit in sorted((ROOT / "deploy" / "systemd").glob("*.service")):
        [line] = re.findall(r"^ExecStart=\S+/(patloop .+)$", unit.read_text(), flags=re.M)
        yield unit.name, line.replace("%i", "cdc").replace("${PORT}", "8480")


SHOWN = [("patloop " + " ".join(path), line) for path, c in commands(patloop) for line in examples(c.help or "")]
SHOWN += [*in_pages(), *in_units()]


def parsed(line: str) -> None:
    """Raises click.UsageError when the command line would."""
    line = line.partition(" > ")[0]
    words = [STANDS_FOR.get(word, word.split("|")[0]) for word in shlex.split(line, comments=True)[1:]]
    command: click.Command = patloop
    context: click.Context | None = None
    while True:
        context = command.make_context(words[0] if words else "patloop", list(words), parent=context)
        if not isinstance(command, click.Group):
            return
        words = [*context._protected_args, *context.args]
        found = command.get_command(context, words[0])
        assert found is not None, f"no command {words[0]}"
        command, words = found, words[1:]


@pytest.fixture(autouse=True)
def any_file_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(self: click.Path, value: Any, param: object, ctx: object) -> Any:
        return Path(value) if self.type is Path else value

    monkeypatch.setattr(click.Path, "convert", taken)


@pytest.mark.parametrize(("where", "line"), SHOWN, ids=[f"{where}: {line[:70]}" for where, line in SHOWN])
def test_what_is_shown_is_taken(where: str, line: str) -> None:
    try:
        with contextlib.suppress(click.exceptions.Exit):  # --help and the like
            parsed(line)
    except click.UsageError as error:
        pytest.fail(f"{where} shows '{line}': {error.format_message()}")


def test_much_is_shown() -> None:
    assert len(SHOWN) > 90


@pytest.mark.parametrize(
    "line", ["patloop journal genealogy a.sqlite", "patloop draw a.toml --colour", "patloop certs nowhere a b c"]
)
def test_a_line_that_would_not_be_taken_is_found(line: str) -> None:
    with pytest.raises(click.UsageError):
        parsed(line)
