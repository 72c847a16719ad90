"""Numbers as people read them: three or four figures and a unit.

Counts take decimal units (K M B T), sizes decimal bytes (kB MB GB TB), shares per cent.
"""

import json
from typing import Final

_COUNTS: Final = ("", "K", "M", "B", "T")
_BINARY: Final = ("Ki", "Mi", "Gi", "Ti")
_SIZES: Final = (" B", " kB", " MB", " GB", " TB")
EXACT_BELOW: Final = 10_000  # smaller counts are written out


def count(number: float) -> str:
    """Return a count.

    >>> count(9876), count(12_345_678), count(999_960)
    ('9,876', '12.3M', '1.0M')
    """
    return f"{number:,.0f}" if number < EXACT_BELOW else _scaled(number, _COUNTS)


def amount(number: float, digits: int = 3) -> str:
    """Return a budget or a total to three figures or more, without zeros behind the point.

    >>> amount(15_600_000_000_000), amount(251_658_240), amount(999_960_000), amount(8192)
    ('15.6T', '252M', '1B', '8,192')
    """
    if number < EXACT_BELOW:
        return f"{number:,.0f}"
    rounded = float(f"{number:.{digits}g}")
    power = min(len(_COUNTS) - 1, (len(f"{rounded:.0f}") - 1) // 3)
    scaled = rounded / 1000**power
    return (f"{scaled:,.0f}" if scaled >= 10**digits else f"{scaled:.{digits}g}") + _COUNTS[power]


def place(number: float) -> str:
    """Return how many tokens a way has at some place, to tell near ones apart: four figures."""
    return amount(number, 4)


def shape(number: int) -> str:
    """Return a length or a batch: in binary units where these are exact, as people say them.

    >>> shape(4096), shape(131072), shape(4_194_304), shape(4_000_000), shape(1_000_001)
    ('4,096', '128Ki', '4Mi', '4M', '1,000,001')
    """
    for power in range(len(_BINARY), 0, -1):
        if number >= EXACT_BELOW and number % 1024**power == 0 and number < 1024 ** (power + 1):
            return f"{number // 1024**power:,}{_BINARY[power - 1]}"
    rounded = amount(number)
    return rounded if float(f"{number:.3g}") == number else f"{number:,}"


def size(n_bytes: float) -> str:
    """Return a number of bytes.

    >>> size(999), size(4_100_000)
    ('999 B', '4.1 MB')
    """
    return f"{n_bytes:.0f} B" if n_bytes < 1000 else _scaled(n_bytes, _SIZES)


def share(part: float, whole: float = 1.0) -> str:
    """Return a part of a whole in per cent; a dash when there is no whole.

    >>> share(1, 8), share(1, 1_000_000), share(0, 0)
    ('12.5%', '<0.1%', '-')
    """
    if not whole:
        return "-"
    percent = 100 * part / whole
    return "<0.1%" if 0 < percent < 0.05 else f"{percent:.1f}%"


def plain(value: object) -> str:
    """Return a setting of a recipe as a person would write it.

    >>> plain(500000.0), plain(1e-07), plain("yarn"), plain(True), plain({"a": [1]})
    ('500,000', '1e-07', 'yarn', 'true', '{"a": [1]}')
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:,.15g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _scaled(number: float, units: tuple[str, ...]) -> str:
    """Return `number` with one decimal in the largest unit that leaves it above one."""
    power = 0
    while power < len(units) - 1 and round(number, 1) >= 1000:
        number, power = number / 1000, power + 1
    return f"{number:,.1f}{units[power]}"
