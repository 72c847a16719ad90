"""Judge documents by their signals: which rule drops each, if any. No text is read.

The first rule that fails gives the *reason*, its rule set (`rule_sets.py`) the *step*. A signal
that is NULL or not a number drops the document as `unmeasured`: what is not known is not kept.

Over signals of `measure`, datatrove 0.10 gave the same verdict and reason in 9,018 of 9,028 cases
(2,257 English web pages, repository texts and code files times four rule sets).
"""

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from cuvee.configs.errors import RecipeError
from cuvee.filters.rule_sets import RULE_SETS, Rule, RuleSet

UNMEASURED = "unmeasured"


@dataclass(frozen=True)
class RuleUse:
    """A rule set in use: limits by name that replace the defaults; None turns a test off."""

    rules: str
    limits: Mapping[str, float | None] = field(default_factory=dict)


_NOT_EMPTY = Rule("empty", "n_nonspace", "below", "", 1)  # always first, of step `text`


def _nearest(name: str, known: Iterable[str]) -> str:
    """Return the hint to a misspelt name."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.4)
    return f"Did you mean {close[0]!r}?" if close else ""


def rule_set(name: str) -> RuleSet:
    """Return the rule set of this name, or raise `RecipeError` with the names there are."""
    if name not in RULE_SETS:
        raise RecipeError(
            f"there is no rule set {name!r}.",
            f"Known are {', '.join(RULE_SETS)}.",
            _nearest(name, RULE_SETS),
        )
    return RULE_SETS[name]


def limits_of(use: RuleUse) -> dict[str, float | None]:
    """Return all limits of a rule set in use; RecipeError for a limit that cannot be."""
    limits: dict[str, float | None] = {r.limit: r.default for r in rule_set(use.rules).rules}
    for name, value in use.limits.items():
        if name not in limits:
            raise RecipeError(
                f"{use.rules} has no limit {name!r}.",
                f"Its limits are {', '.join(limits)}.",
                _nearest(name, limits),
            )
        if value is not None and not math.isfinite(value):
            raise RecipeError(
                f"limit {name} of {use.rules} is {value}.",
                "A limit is a finite number, or null to turn its test off.",
            )
        limits[name] = value
    return limits


def _tests(uses: Sequence[RuleUse]) -> list[tuple[str, Rule, float]]:
    """Step, rule and limit of every test in order."""
    tests = [("text", _NOT_EMPTY, _NOT_EMPTY.default)]
    for use in uses:
        limits = limits_of(use)
        for rule in rule_set(use.rules).rules:
            limit = limits[rule.limit]
            if limit is not None:
                tests.append((use.rules, rule, limit))
    return tests


def _reason(rule: Rule, limit: float) -> pl.Expr:
    """Reason to drop, NULL to keep."""
    value = pl.col(rule.signal).cast(pl.Float64)
    fails = {"below": value < limit, "above": value > limit, "reaches": value >= limit}[rule.drop]
    unknown = value.is_null() | value.is_nan()
    return (
        pl.when(unknown).then(pl.lit(UNMEASURED)).when(fails).then(pl.lit(rule.reason))
    )  # otherwise NULL


def judge(signals: pl.DataFrame, uses: Sequence[RuleUse]) -> pl.DataFrame:
    """Apply rule sets in order: columns kept (bool), step and reason (str, NULL when kept).

    Row i judges row i of `signals`, which must hold every signal that a test reads. First of all,
    step `text` drops for `empty` what has only white space and control characters. Raises
    `RecipeError` for an unknown rule set or limit, and for a signal that was not measured.

    >>> row = pl.DataFrame({"n_nonspace": [0, 9]})
    >>> judge(row, [])["reason"].to_list()
    ['empty', None]
    """
    tests = _tests(uses)
    missing = [f"{rule.signal} ({step})" for step, rule, _ in tests if rule.signal not in signals]
    if missing:
        raise RecipeError(
            f"signals that a rule reads were not measured: {', '.join(dict.fromkeys(missing))}.",
            do="Measure with this rule set, or leave it out.",
        )
    reasons = [_reason(rule, limit) for _, rule, limit in tests]
    steps = [
        pl.when(reason.is_not_null()).then(pl.lit(step))
        for (step, _, _), reason in zip(tests, reasons, strict=True)
    ]
    judged = signals.select(step=pl.coalesce(steps), reason=pl.coalesce(reasons))
    return judged.select(pl.col("reason").is_null().alias("kept"), "step", "reason")
