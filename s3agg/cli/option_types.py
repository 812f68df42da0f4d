"""Click's options and their types, with one format for the help and the errors of all."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.types import OptionHelpExtra

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
DURATION = re.compile("([0-9]{1,9})([smhd])")
AS_DURATION = "in seconds or as 5m or 2h"  # in the help of an option of type Seconds


class Range(click.IntRange):
    """A range of integers. Help and errors describe it in the same words."""

    units = ""  # behind the range in an error

    @property
    def words(self) -> str:
        return f"{self.min} or more" if self.max is None else f"{self.min} to {self.max}"

    def number(self, value: Any) -> Any:
        """Return the number that a value stands for; the value itself if it may be one."""
        return value

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(self.number(value), param, ctx)
        except click.BadParameter:
            return self.fail(f"{value} ({self.words}{self.units})", param, ctx)


class Duration(Range):
    """A range of whole units of time, which may be written in another unit."""

    unit: str

    def number(self, value: Any) -> Any:
        with_unit = DURATION.fullmatch(str(value))
        if with_unit is None:
            return value
        number, rest = divmod(int(with_unit[1]) * UNITS_S[with_unit[2]], UNITS_S[self.unit])
        return value if rest else number


class Seconds(Duration):
    """Written as `90`, `90s`, `5m`, `2h` or `1d`."""

    unit = "s"
    units = " seconds, or as 5m or 2h"


class Hours(Duration):
    """Written as `24`, `24h` or `2d`."""

    unit = "h"
    units = " hours, or as 24h or 2d"


class Days(click.Choice):  # type: ignore[type-arg]  # none in the oldest click
    """A choice of numbers of days, which may be written as `30` or `30d`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert(str(value).removesuffix("d"), param, ctx)


class Option(click.Option):
    """An option whose help ends with its default and range, in one format for all options.

    `default_text` replaces the default value; `values` describes the range if the type has none.
    """

    def __init__(self, *args: Any, default_text: str = "", values: str = "", **attributes: Any) -> None:
        super().__init__(*args, **{"show_default": True, "show_envvar": True, **attributes})
        self.default_text = default_text
        self.values = values

    def get_help_extra(self, ctx: click.Context) -> OptionHelpExtra:
        extra = super().get_help_extra(ctx)
        if self.default_text or (self.is_bool_flag and not self.secondary_opts):
            extra["default"] = self.default_text or "off"
        if isinstance(self.type, Range):
            extra["range"] = self.type.words
        if self.values:
            extra["range"] = self.values
        return extra

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        """Convert the value. If it is another option, this one lacks its value: click takes any word."""
        words = value if isinstance(value, (list, tuple)) else [value]
        flags = {flag for each in ctx.command.params for flag in (*each.opts, *each.secondary_opts)}
        if not flags.isdisjoint(word for word in words if isinstance(word, str)):
            raise click.BadOptionUsage(self.opts[0], f"Option '{self.opts[0]}' requires an argument.", ctx)
        return super().process_value(ctx, value)

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """The option's name in an error, without click's quotes."""
        return super().get_error_hint(ctx).replace("'", "")


option = partial(click.option, cls=Option)
