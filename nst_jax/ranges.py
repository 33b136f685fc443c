"""Ranges of numbers, and the error for a number outside."""

import dataclasses
import math
from typing import Any

from nst_jax.errors import UserError

_LARGEST = 3.4028234663852886e38
"""The largest number in single precision, the precision of all computation."""


@dataclasses.dataclass(frozen=True)
class Range:
    """A range of single-precision numbers.

    Attributes:
        least: the smallest number allowed.
        most: the largest number allowed.
        above: a number that every allowed one exceeds.
        below: a number that every allowed one falls short of.
    """

    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf
    below: float = math.inf

    def __contains__(self, number: float) -> bool:
        """Returns whether a number is allowed; NaN, infinities and numbers beyond single precision never are."""
        return abs(number) <= _LARGEST and self.least <= number <= self.most and self.above < number < self.below

    def __str__(self) -> str:
        """Returns the range in words, such as `0 to 1` or `0 or more and less than 1`."""
        if -math.inf < self.least and self.most < math.inf:
            return f"{self.least} to {self.most}"
        bounds = (
            (self.least, f"{self.least} or more"),
            (self.most, f"at most {self.most}"),
            (self.above, f"more than {self.above}"),
            (self.below, f"less than {self.below}"),
        )
        return " and ".join(text for bound, text in bounds if math.isfinite(bound)) or "a finite number"

    def check(self, name: str, value: Any) -> None:
        """Checks a value, and every item of a tuple; anything that is no number passes.

        Args:
            name: the first word of the error, such as a flag.
            value: a number, a tuple of values, or anything else.

        Raises:
            UserError: a number is out of the range.
        """
        if isinstance(value, tuple):
            for item in value:
                self.check(name, item)
        elif isinstance(value, int | float) and value not in self:
            expected: object = self
            if not math.isfinite(value):
                expected = "a finite number"
            elif value > _LARGEST and not math.isfinite(min(self.most, self.below)):
                expected = f"at most {_LARGEST:.2g}"
            elif value < -_LARGEST and not math.isfinite(max(self.least, self.above)):
                expected = f"{-_LARGEST:.2g} or more"
            raise UserError(f"{name}: expected {expected}, found {value}")
