"""How a figure is written for a reader: sensible digits, units, and an en dash where nothing was measured."""

import math
from collections.abc import Callable, Iterable, Sequence

from truing.report.contents import Estimate

MISSING = "–"
"""Never 0, and never an empty cell."""
MINUS = "−"

SMALL, LARGE = 1e-3, 1e7
"""Outside, figures are written with a power of ten."""

Number = Callable[[float | None], str]


def missing(value: float | None) -> bool:
    """None and NaN: nobody measured it."""
    return value is None or math.isnan(value)


def decimal(value: float | None) -> str:
    """Three significant digits: 0.0123, 1.23, 12.3, 1 234; beyond 0.001 and ten millions in the manner of 2.1e-05."""
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return f"{MINUS if value < 0 else ''}∞"
    size = float(f"{abs(value):.2e}")
    if 0 < size < SMALL or size >= LARGE:
        return f"{value:.1e}".replace("-", MINUS)
    digits = max(0, 2 - math.floor(math.log10(size))) if size else 0
    return _signed(f"{value:,.{digits}f}".replace(",", "\u202f"))


def fixed(digits: int) -> Number:
    """Always `digits` decimals, so that a column lines up at the point."""

    def written(value: float | None) -> str:
        if value is None or not math.isfinite(value):
            return decimal(value)
        return _signed(f"{value:.{digits}f}")

    return written


def percent(value: float | None) -> str:
    """A share in [0, 1] as 12.3 %."""
    if value is None or not math.isfinite(value):
        return decimal(value)
    return _signed(f"{100 * value:.1f}\u202f%")


def count(value: float | None) -> str:
    """A whole number, thousands apart."""
    if value is None or not math.isfinite(value):
        return decimal(value)
    return _signed(f"{value:,.0f}".replace(",", "\u202f"))


def p_value(value: float | None) -> str:
    """Three decimals, or "< 0.001"."""
    if value is None or not math.isfinite(value):
        return decimal(value)
    return "<\u202f0.001" if value < 0.001 else f"{value:.3f}"


def duration(seconds: float | None) -> str:
    """3.2 s, 4 min 05 s, or 2 h 03 min."""
    if seconds is None or not math.isfinite(seconds):
        return decimal(seconds)
    if seconds < 59.95:
        return f"{seconds:.1f}\u202fs"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}\u202fmin {whole % 60:02d}\u202fs"
    minutes = round(seconds / 60)
    return f"{minutes // 60}\u202fh {minutes % 60:02d}\u202fmin"


def aligned(values: Iterable[float | None]) -> Number:
    """One number of decimals for a whole column: three significant digits in its largest value."""
    sizes = [abs(value) for value in values if value is not None and math.isfinite(value)]
    largest = max(sizes, default=0.0)
    if largest == 0:
        return fixed(0)
    if largest < SMALL or largest >= LARGE:
        return decimal
    return fixed(max(0, 2 - math.floor(math.log10(largest))))


def column(cells: Sequence[str | float | int | None]) -> list[str]:
    """The cells of one column of a printed table: text as it is, whole numbers whole, the others lined up."""
    number = aligned(cell for cell in cells if isinstance(cell, float))
    return [_cell(cell, number) for cell in cells]


def numeric(cells: Sequence[str | float | int | None]) -> bool:
    """Whether a column holds numbers only, so that it is set flush right."""
    return any(cell is not None for cell in cells) and not any(isinstance(cell, str) for cell in cells)


def interval(estimate: Estimate | None, number: Number = decimal) -> str:
    """[low, high], or an en dash where there is none."""
    if estimate is None or missing(estimate.low) or missing(estimate.high):
        return MISSING
    return f"[{number(estimate.low)}, {number(estimate.high)}]"


def _signed(text: str) -> str:
    """With a true minus sign, and none before a figure that has been rounded to 0."""
    if not text.startswith("-"):
        return text
    return MINUS + text[1:] if any(digit in text for digit in "123456789") else text[1:]


def _cell(cell: str | float | None, number: Number) -> str:
    if cell is None or isinstance(cell, float):
        return number(cell)
    return cell if isinstance(cell, str) else count(cell)
