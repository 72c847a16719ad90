"""What a recipe's marks say of its plan: which slots are assumed, and where its numbers come from.

A *slot* is a marked key of the recipe's file. One that an override sets has its value from the
person who set it, and its mark no longer holds.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import yaml

from cuvee.configs.counts import parse_count
from cuvee.configs.load import apply_override
from cuvee.configs.marks import MARKS, Document
from cuvee.corpus.plan_accounts import Slot

SET: Final = "set"  # the mark of what an override sets
UNMARKED: Final = "unmarked"
MAX_VALUE: Final = 120  # characters of a value that are shown


class Marks:
    """The marks of a recipe's file under some overrides, by dotted key with items by name."""

    def __init__(self, document: Document, overrides: Sequence[str]) -> None:
        self.values = document.values
        self.marks = dict(document.marks)
        for override in overrides:
            apply_override(self.values, override)
            key = _named(self.values, override.partition("=")[0].split("."))
            self.marks = {
                other: mark
                for other, mark in self.marks.items()
                if other != key and not other.startswith(f"{key}.")
            }
            self.marks[key] = SET

    def of(self, key: str) -> str:
        """Return the mark of a key: its own, or that of the nearest key above it; "" for none."""
        steps = key.split(".")
        above = (".".join(steps[:n]) for n in range(len(steps), 0, -1))
        return next((self.marks[name] for name in above if name in self.marks), "")

    def assumed(self) -> list[Slot]:
        """Return the slots that are assumed, in the order of the file."""
        return [
            Slot(key, _shown(_at(self.values, key.split("."))))
            for key, mark in self.marks.items()
            if mark == "assumed"
        ]

    def counts(self) -> dict[str, int]:
        """Return how many numbers have each mark; none at all for a file without marks."""
        if not any(mark in MARKS for mark in self.marks.values()):
            return {}
        found = dict.fromkeys((*MARKS, SET, UNMARKED), 0)
        for key in _numbers(self.values, ()):
            found[self.of(key) or UNMARKED] += 1
        return {mark: count for mark, count in found.items() if count}

    def budget(self, stage: str, phase: int | None) -> str:
        """Return the mark of a stage's budget, or of where one of its phases ends."""
        held = _at(self.values, ["stages", stage])
        if not isinstance(held, Mapping):
            return ""  # a probe's stage, which the file has under another key
        if phase is not None and "until" in held["phases"][phase]:
            return self.of(f"stages.{stage}.phases.{phase}.until")
        given = ("tokens", "steps", "sequences", "examples", "epochs")
        return next((self.of(f"stages.{stage}.{key}") for key in given if key in held), "")


def _numbers(value: Any, path: tuple[str, ...]) -> Iterator[str]:
    """Yield the keys that hold a number, also one with a unit."""
    if isinstance(value, Mapping):
        for key, held in value.items():
            yield from _numbers(held, (*path, str(key)))
    elif isinstance(value, list):
        for number, held in enumerate(value):
            yield from _numbers(held, (*path, _item(held, number)))
    elif not isinstance(value, bool) and _is_number(value):
        yield ".".join(path)


def _is_number(value: Any) -> bool:
    """Say whether a value is a number or a text that writes one."""
    if isinstance(value, int | float):
        return True
    try:
        return isinstance(value, str) and parse_count(value) >= 0
    except ValueError:
        return False


def _named(values: Any, steps: Sequence[str]) -> str:
    """Return a dotted key with items of lists by their names, as marks have it."""
    named: list[str] = []
    for step in steps:
        if isinstance(values, list):
            items = {_item(held, n): held for n, held in enumerate(values)}
            at = list(items)[int(step)] if step.isdecimal() and int(step) < len(items) else step
            values = items.get(at)
            named.append(at)
        else:
            values = values.get(step) if isinstance(values, Mapping) else None
            named.append(step)
    return ".".join(named)


def _at(values: Any, steps: Sequence[str]) -> Any:
    """Return what a key holds, None where there is no such key."""
    for step in steps:
        if isinstance(values, list):
            values = {_item(held, n): held for n, held in enumerate(values)}.get(step)
        else:
            values = values.get(step) if isinstance(values, Mapping) else None
    return values


def _item(held: Any, position: int) -> str:
    """Return what an item of a list is called: its name, else its position."""
    return str(held.get("name", position)) if isinstance(held, Mapping) else str(position)


def _shown(value: Any) -> str:
    """Return a value as a recipe writes it, on one line."""
    if isinstance(value, str):
        return value
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, sort_keys=False)
    text = text.removesuffix("\n").removesuffix("\n...")
    return text if len(text) <= MAX_VALUE else f"{text[: MAX_VALUE - 1]}…"
