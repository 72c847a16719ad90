"""Judging by signals: limits, order, and what is refused."""

import polars as pl
import pyarrow as pa
import pytest

from cuvee.configs.errors import RecipeError
from cuvee.filters.rule_sets import RULE_SETS, Rule
from cuvee.filters.rules import UNMEASURED, RuleUse, judge, rule_set
from cuvee.filters.signals import measure

# As datatrove 0.10 tries them.
ORDER = {
    "gopher_quality@datatrove": [
        "gopher_short_doc",
        "gopher_long_doc",
        "gopher_below_avg_threshold",
        "gopher_above_avg_threshold",
        "gopher_too_many_hashes",
        "gopher_too_many_ellipsis",
        "gopher_too_many_bullets",
        "gopher_too_many_end_ellipsis",
        "gopher_below_alpha_threshold",
        "gopher_enough_stop_words",
    ],
    "gopher_repetition@datatrove": [
        *("dup_para_frac", "dup_para_char_frac", "dup_line_frac", "dup_line_char_frac"),
        *("top_2_gram", "top_3_gram", "top_4_gram"),
        *(f"duplicated_{n}_n_grams" for n in range(5, 11)),
    ],
    "c4@datatrove": ["lorem_ipsum", "curly_bracket", "lorem_ipsum", "too_few_sentences"],
    "fineweb": ["line_punct_ratio", "short_line_ratio", "char_dup_ratio", "list_ratio"],
}
RULES = [(name, rule) for name, made in RULE_SETS.items() for rule in made.rules]


def good(name: str) -> dict[str, float | None]:
    """Signals that every rule of the set keeps: each at its limit, or before it."""
    row: dict[str, float | None] = {"n_nonspace": 1}
    for rule in RULE_SETS[name].rules:
        row.setdefault(rule.signal, rule.default - 1e-9 * (rule.drop == "reaches"))
    return row


def past(rule: Rule) -> float:
    """The nearest value that the rule drops."""
    return rule.default + {"below": -1e-9, "above": 1e-9, "reaches": 0}[rule.drop]


def reason(row: dict[str, float | None], *uses: RuleUse) -> tuple[str | None, str | None]:
    frame = pl.DataFrame({name: [value] for name, value in row.items()}, strict=False)
    kept, step, why = judge(frame, uses).row(0)
    assert kept == (why is None) == (step is None)
    return step, why


def test_every_tool_counts_under_a_name_of_its_own() -> None:
    assert set(RULE_SETS) - set(ORDER) == {
        *("gopher_quality@dolma", "gopher_quality@dclm"),
        *(f"gopher_repetition@{tool}" for tool in ("dolma_v1", "dclm", "nemo")),
        *("c4@fineweb", "c4@tfds", "code", "code@nemo", "gzip", "refinedweb_lines@dclm"),
        *("madlad400@datamap", "madlad400@paper"),
    }


def test_limits_differ_where_the_tools_do() -> None:
    defaults = {n: {r.limit: r.default for r in made.rules} for n, made in RULE_SETS.items()}
    assert defaults["gopher_repetition@dolma_v1"]["dup_line_char_frac"] == 0.3
    assert defaults["gopher_repetition@dclm"]["dup_line_char_frac"] == 0.2
    assert defaults["c4@tfds"]["min_num_sentences"] == 3
    assert defaults["c4@fineweb"]["min_num_sentences"] == 5
    for tool in ("datatrove", "dolma_v1", "dclm", "nemo"):
        limits = defaults[f"gopher_repetition@{tool}"]
        assert [limits[f"top_{n}_gram"] for n in (2, 3, 4)] == [0.2, 0.18, 0.16]
        assert [limits[f"duplicated_{n}_n_grams"] for n in (5, 10)] == [0.15, 0.10]


def test_rules_are_tried_in_the_order_of_datatrove() -> None:
    found = {name: [r.reason for r in RULE_SETS[name].rules] for name in ORDER}
    assert found == ORDER


@pytest.mark.parametrize("name", RULE_SETS)
def test_a_document_at_every_limit_is_kept(name: str) -> None:
    assert reason(good(name), RuleUse(name)) == (None, None)


@pytest.mark.parametrize(("name", "rule"), RULES, ids=lambda x: getattr(x, "reason", x))
def test_a_document_past_one_limit_is_dropped_for_it(name: str, rule: Rule) -> None:
    row = good(name) | {rule.signal: past(rule)}
    assert reason(row, RuleUse(name)) == (name, rule.reason)


@pytest.mark.parametrize(("name", "rule"), RULES, ids=lambda x: getattr(x, "reason", x))
def test_a_limit_of_none_turns_its_test_off(name: str, rule: Rule) -> None:
    shared = {r.signal for r in RULE_SETS[name].rules if r.limit == rule.limit}
    row = {key: None if key in shared else value for key, value in good(name).items()}
    others = {r.signal for r in RULE_SETS[name].rules if r.limit != rule.limit}
    if shared & others:  # the signal is read by another test too
        row |= {key: good(name)[key] for key in shared & others} | {rule.signal: past(rule)}
    assert reason(row, RuleUse(name, {rule.limit: None})) == (None, None)


@pytest.mark.parametrize("unknown", [None, float("nan")])
def test_what_was_not_measured_is_not_kept(unknown: float | None) -> None:
    row = good("fineweb") | {"fineweb_list_ratio": unknown}
    assert reason(row, RuleUse("fineweb")) == ("fineweb", UNMEASURED)


def test_the_first_rule_that_fails_gives_step_and_reason() -> None:
    row = good("fineweb") | good("c4@datatrove")
    row |= {"fineweb_list_ratio": 9, "c4_datatrove_sentences": 0}
    uses = RuleUse("fineweb"), RuleUse("c4@datatrove")
    assert reason(row, *uses) == ("fineweb", "list_ratio")
    assert reason(row, *uses[::-1]) == ("c4@datatrove", "too_few_sentences")
    assert reason(row | {"n_nonspace": 0}, *uses) == ("text", "empty")


def test_a_limit_of_the_recipe_replaces_the_default() -> None:
    row = good("fineweb") | {"fineweb_list_ratio": 0.4}
    assert reason(row, RuleUse("fineweb", {"new_line_ratio": 0.4})) == (None, None)


@pytest.mark.parametrize("text", ["", " \n\t", "\0\0", "\u2028\x1c\x7f"])
def test_only_white_space_and_control_characters_is_empty(text: str) -> None:
    table = measure(pa.array([text], pa.large_string()), [])
    assert judge(pl.DataFrame(table), [])["reason"].to_list() == ["empty"]


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"fineweb.*Did you mean 'fineweb'"):
        rule_set("fine_web")
    with pytest.raises(RecipeError, match=r"new_line_ratio.*Did you mean 'new_line_ratio'"):
        judge(pl.DataFrame(good("fineweb")), [RuleUse("fineweb", {"newline_ratio": 1})])
    with pytest.raises(RecipeError, match="finite"):
        judge(pl.DataFrame(good("fineweb")), [RuleUse("fineweb", {"new_line_ratio": float("nan")})])


def test_a_rule_over_a_signal_that_was_not_measured_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"fineweb_list_ratio \(fineweb\)"):
        judge(pl.DataFrame(good("fineweb")).drop("fineweb_list_ratio"), [RuleUse("fineweb")])


def test_measured_documents_are_judged_row_by_row() -> None:
    prose = "The people of the town have to be with that and go home. " * 8
    texts = [prose.replace("home", f"{word} home") for word in ("one", "two")] + ["", "too short"]
    table = measure(pa.array(texts, pa.large_string()), ["gopher_quality@datatrove"])
    judged = judge(pl.DataFrame(table), [RuleUse("gopher_quality@datatrove")])
    assert judged.schema == {"kept": pl.Boolean, "step": pl.String, "reason": pl.String}
    assert judged["reason"].to_list() == [None, None, "empty", "gopher_short_doc"]
