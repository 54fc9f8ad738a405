"""A group of commands by name: no command pays for what another one imports. [S]"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import click


@dataclass(frozen=True, slots=True)
class Lazy:
    """A subcommand by name: its module is imported when it is called."""

    module: str
    attribute: str
    short_help: str


class LazyGroup(click.Group):
    """lazy: subcommands beside those that are there already, by their names."""

    def __init__(self, *arguments: Any, lazy: Mapping[str, Lazy], **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *self._lazy])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        lazy = self._lazy.get(cmd_name)
        if lazy is None:
            return super().get_command(ctx, cmd_name)
        command: click.Command = getattr(import_module(lazy.module), lazy.attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        eager = {name: command.get_short_help_str(160) for name, command in self.commands.items()}
        rows = sorted({**eager, **{name: lazy.short_help for name, lazy in self._lazy.items()}}.items())
        with formatter.section("Commands"):
            formatter.write_dl(rows)
