"""Read a plan's params: decimal strings to numbers within limits, unknown names refused."""

import re
from collections.abc import Collection, Mapping
from fractions import Fraction
from typing import Final

from serai.errors import Malformed

# Bounded in every part: an exponent of nine digits would cost memory before any range check could refuse it.
_NUMBER: Final = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?(e-?[0-9]{1,2})?|[0-9]{1,20}/[0-9]{1,20}")


class Parameters:
    """A plan's params, each to be read once.

    Args:
        recipe: the recipe's name, for messages.
        given: the params as the plan has them.

    """

    def __init__(self, recipe: str, given: Mapping[str, str]) -> None:
        self._recipe = recipe
        self._given = dict(given)

    def integer(self, name: str, default: int | None, least: int, most: int) -> int:
        """A whole number.

        Raises:
            Malformed: missing without a default, not a whole number, or out of range.

        """
        number = self.number(name, None if default is None else str(default), Fraction(least), Fraction(most))
        if number.denominator != 1:
            raise Malformed("recipe-param", f"{self._recipe}: expected a whole number for {name}, got {number}")
        return int(number)

    def number(self, name: str, default: str | None, least: Fraction, most: Fraction) -> Fraction:
        """A number, written as a decimal (``0.001``, ``1e-8``) or a fraction (``1/3``), kept exact.

        Raises:
            Malformed: missing without a default, not a number, or out of range.

        """
        text = self._take(name, default)
        try:
            number = Fraction(text) if _NUMBER.fullmatch(text) else None
        except ZeroDivisionError:
            number = None
        if number is None or not least <= number <= most:
            raise Malformed(
                "recipe-param",
                f"{self._recipe}: expected {name} from {least} to {most} as a decimal, got {text[:80]!r}",
            )
        return number

    def choice(self, name: str, default: str, known: Collection[str]) -> str:
        """One of some words.

        Raises:
            Malformed: another word.

        """
        text = self._take(name, default)
        if text not in known:
            raise Malformed(
                "recipe-param", f"{self._recipe}: expected {name} to be one of {', '.join(known)}, got {text[:80]!r}"
            )
        return text

    def word(self, name: str, default: str | None, form: str) -> str:
        """A text of a known form.

        Args:
            name: of the setting.
            default: unless given; None if it must be.
            form: a regular expression that the whole text matches.

        Raises:
            Malformed: missing without a default, or of another form.

        """
        text = self._take(name, default)
        if not re.fullmatch(form, text):
            raise Malformed("recipe-param", f"{self._recipe}: expected {name} as {form}, got {text[:80]!r}")
        return text

    def finish(self) -> None:
        """Refuse what nobody read: a misspelt setting must not run with a default.

        Raises:
            Malformed: a param is unknown to the recipe.

        """
        if self._given:
            raise Malformed("recipe-param", f"{self._recipe} has no setting {min(self._given)!r}")

    def _take(self, name: str, default: str | None) -> str:
        text = self._given.pop(name, default)
        if text is None:
            raise Malformed("recipe-param", f"{self._recipe} needs the setting {name!r}")
        return text
