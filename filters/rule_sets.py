"""Which rules there are: the rule sets, their limits and reasons, and what they measure.

A *rule* drops a document whose signal lies below, or above, a *limit*; a document exactly at the
limit is kept, unless the rule drops what *reaches* it. A *rule set* is an ordered list of rules
under the name of whose counting it follows: the same name counts differently elsewhere, so the name
says which is meant. Reasons are that tool's own names where it has any.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

SHARED_SIGNALS = ("n_chars", "n_nonspace", "n_lines", "n_words_rule")
_TOP_LIMITS = {2: 0.2, 3: 0.18, 4: 0.16}  # Rae et al. 2021, table A1
_DUPLICATE_LIMITS = {n: (20 - n) / 100 for n in range(5, 11)}  # 0.15 to 0.10


@dataclass(frozen=True)
class Rule:
    """Drop, for `reason`, documents whose `signal` is `drop` the limit; rules may share a limit."""

    reason: str
    signal: str
    drop: Literal["below", "above", "reaches"]
    limit: str  # name of the limit in a recipe
    default: float


@dataclass(frozen=True)
class RuleSet:
    """Rules in the order in which they are tried, and every signal that measuring them gives.

    The signals of a rule set with an `edit` are what that edit gives; they are not measured.
    """

    name: str
    signals: tuple[str, ...]
    rules: tuple[Rule, ...]
    edit: str | None = None


def _signals(prefix: str, rules: Sequence[Rule], others: Iterable[str] = ()) -> tuple[str, ...]:
    """Signals of the rules, each once, then those that no rule reads."""
    return tuple(
        dict.fromkeys([rule.signal for rule in rules] + [prefix + name for name in others])
    )


def _gopher_quality() -> RuleSet:
    """Gopher's quality rules; limits of Rae et al. 2021, table A1, counted as datatrove 0.10."""
    name, of = "gopher_quality@datatrove", "gopher_quality_datatrove_"
    rules = (
        Rule("gopher_short_doc", of + "n_words", "below", "min_doc_words", 50),
        Rule("gopher_long_doc", of + "n_words", "above", "max_doc_words", 100_000),
        Rule(
            "gopher_below_avg_threshold", of + "mean_word_length", "below", "min_avg_word_length", 3
        ),
        Rule(
            "gopher_above_avg_threshold",
            of + "mean_word_length",
            "above",
            "max_avg_word_length",
            10,
        ),
        Rule("gopher_too_many_hashes", of + "hash_ratio", "above", "max_symbol_word_ratio", 0.1),
        Rule(
            "gopher_too_many_ellipsis", of + "ellipsis_ratio", "above", "max_symbol_word_ratio", 0.1
        ),
        Rule(
            "gopher_too_many_bullets", of + "bullet_lines", "above", "max_bullet_lines_ratio", 0.9
        ),
        Rule(
            "gopher_too_many_end_ellipsis",
            of + "ellipsis_lines",
            "above",
            "max_ellipsis_lines_ratio",
            0.3,
        ),
        Rule(
            "gopher_below_alpha_threshold",
            of + "alpha_words",
            "below",
            "min_alpha_words_ratio",
            0.8,
        ),
        Rule("gopher_enough_stop_words", of + "stop_words", "below", "min_stop_words", 2),
    )
    return RuleSet(name, _signals(of, rules), rules)


def _gopher_repetition() -> RuleSet:
    """Gopher's repetition rules; limits of Rae et al. 2021, table A1, counted as datatrove 0.10."""
    name, of = "gopher_repetition@datatrove", "gopher_repetition_datatrove_"
    limits = {"dup_para_frac": 0.3, "dup_para_char_frac": 0.2}
    limits |= {"dup_line_frac": 0.3, "dup_line_char_frac": 0.2}
    limits |= {f"top_{n}_gram": limit for n, limit in _TOP_LIMITS.items()}
    limits |= {f"duplicated_{n}_n_grams": limit for n, limit in _DUPLICATE_LIMITS.items()}
    rules = tuple(Rule(key, of + key, "above", key, limit) for key, limit in limits.items())
    return RuleSet(name, _signals(of, rules), rules)


def _c4(name: str, sentences: int) -> RuleSet:
    """C4's document rules as one tool runs them; `sentences` is the least that it keeps."""
    of = name.replace("@", "_") + "_"
    lorem, curly = "max_lorem_ipsum_lines", "max_curly_bracket_lines"
    rules = (
        # A document with both is dropped for the one that comes first in it.
        Rule("lorem_ipsum", of + "lorem_ipsum_first", "above", lorem, 0),
        Rule("curly_bracket", of + "curly_bracket", "above", curly, 0),
        Rule("lorem_ipsum", of + "lorem_ipsum", "above", lorem, 0),
        Rule("too_few_sentences", of + "sentences", "below", "min_num_sentences", sentences),
    )
    dropped = ("too_long_word", "no_terminal_punct", "too_few_words", "javascript", "policy")
    others = ["lines", *(f"lines_{reason}" for reason in dropped)]
    return RuleSet(name, _signals(of, rules, others), rules)


def _fineweb() -> RuleSet:
    """FineWeb's quality rules; limits of datatrove 0.10 `FineWebQualityFilter`."""
    name, of = "fineweb", "fineweb_"
    rules = (
        Rule("line_punct_ratio", of + "line_punct_ratio", "below", "line_punct_thr", 0.12),
        Rule("short_line_ratio", of + "short_line_ratio", "above", "short_line_thr", 0.67),
        Rule("char_dup_ratio", of + "char_dup_ratio", "above", "char_duplicates_ratio", 0.01),
        Rule("list_ratio", of + "list_ratio", "above", "new_line_ratio", 0.3),
    )
    return RuleSet(name, _signals(of, rules), rules)


def _dolma_quality() -> RuleSet:
    """Gopher's quality rules; limits of Dolma 1.6 (configs/dolma-v1_6/mixing/cc-head.yaml)."""
    name, of = "gopher_quality@dolma", "gopher_quality_dolma_"
    length, required = "median_word_length", "required_word_count"
    bullets = "fraction_of_lines_starting_with_bullet_point"
    ellipses = "fraction_of_lines_ending_with_ellipsis"
    alpha = "fraction_of_words_with_alpha_character"
    rules = (
        Rule("word_count", of + "n_words", "below", "min_word_count", 50),
        Rule("word_count", of + "n_words", "above", "max_word_count", 100_000),
        Rule(length, of + length, "below", "min_median_word_length", 3),
        Rule(length, of + length, "above", "max_median_word_length", 10),
        Rule("symbol_to_word_ratio", of + "symbol_ratio", "above", "max_symbol_to_word_ratio", 0.1),
        Rule(alpha, of + "alpha_words", "below", "min_alpha_words_ratio", 0.8),
        Rule(required, of + "stop_words", "below", "min_required_words", 2),
        Rule(bullets, of + "bullet_lines", "above", "max_bullet_lines_ratio", 0.9),
        Rule(ellipses, of + "ellipsis_lines", "above", "max_ellipsis_lines_ratio", 0.3),
    )
    return RuleSet(name, _signals(of, rules), rules)


def _dclm_quality() -> RuleSet:
    """Gopher's quality rules; limits and order of DCLM (dclm_baseline_refinedweb.yaml)."""
    name, of = "gopher_quality@dclm", "gopher_quality_dclm_"
    length, mean = "page_length_filter", of + "mean_word_length"
    nonalpha = "alphabetic_word_ratio_filter"
    rules = (
        Rule(length, of + "n_words", "below", "min_length", 50),
        Rule(length, of + "n_words", "above", "max_length", 100_000),
        Rule("word_length_filter", mean, "below", "min_word_length", 3),
        Rule("word_length_filter", mean, "above", "max_word_length", 10),
        Rule("symbol_ratio_filter", of + "symbol_ratio", "above", "max_symbol_to_word_ratio", 0.1),
        Rule("bullet_count_filter", of + "bullet_lines", "above", "max_bullet_start_ratio", 0.9),
        Rule(
            "ellipsis_count_filter", of + "ellipsis_lines", "above", "max_ellipsis_end_ratio", 0.3
        ),
        Rule(nonalpha, of + "nonalpha_words", "above", "max_nonalpha_words_ratio", 0.2),
        Rule("stop_word_filter", of + "stop_words", "below", "min_stop_word", 2),
    )
    return RuleSet(name, _signals(of, rules), rules)


def _repetition(
    name: str, segments: dict[str, tuple[str, float]], grams: tuple[str, str]
) -> RuleSet:
    """Gopher's repetition rules: reason and limit per line signal, reasons of n-grams with {n}."""
    of = name.replace("@", "_") + "_"
    limits = {key: (why, limit) for key, (why, limit) in segments.items()}
    limits |= {f"top_{n}_gram": (grams[0].format(n=n), x) for n, x in _TOP_LIMITS.items()}
    limits |= {
        f"duplicated_{n}_n_grams": (grams[1].format(n=n), x) for n, x in _DUPLICATE_LIMITS.items()
    }
    rules = tuple(Rule(why, of + key, "above", key, x) for key, (why, x) in limits.items())
    return RuleSet(name, _signals(of, rules), rules)


_DOLMA_REPETITION = _repetition(
    "gopher_repetition@dolma_v1",
    {
        "dup_line_frac": ("fraction_of_duplicate_lines", 0.3),
        # Dolma's configuration takes 0.3 for the characters too, where the paper has 0.2.
        "dup_line_char_frac": ("fraction_of_characters_in_duplicate_lines", 0.3),
    },
    (
        "fraction_of_characters_in_most_common_{n}grams",
        "fraction_of_characters_in_duplicate_{n}grams",
    ),
)
_DCLM_REPETITION = _repetition(
    "gopher_repetition@dclm",
    {
        "dup_line_frac": ("repetition_filter_line", 0.3),
        "dup_para_frac": ("repetition_filter_paragraph", 0.3),
        "dup_line_char_frac": ("repetition_filter_line_characters", 0.2),
        "dup_para_char_frac": ("repetition_filter_paragraph_characters", 0.2),
    },
    ("repetition_filter_{n}", "repetition_filter_{n}"),
)
_NEMO_REPETITION = _repetition(
    "gopher_repetition@nemo",
    {
        "dup_line_frac": ("repeated_lines", 0.3),
        "dup_para_frac": ("repeated_paragraphs", 0.3),
        "dup_line_char_frac": ("repeated_lines_char", 0.2),
        "dup_para_char_frac": ("repeated_paragraphs_char", 0.2),
    },
    ("repeating_top_{n}grams", "repeating_dup_{n}gram"),
)


_CODE_SIGNALS = ("comment_ratio", "lines", "visible_ratio")


def _code() -> RuleSet:
    """Rules for source code; limits of RedPajama, NeMo Curator (`AlphaFilter`) and codeparrot."""
    rules = (
        Rule("max_line_length", "code_max_line_length", "above", "max_line_length", 1000),
        Rule("avg_line_length", "code_mean_line_length", "above", "max_mean_line_length", 100),
        Rule("alphanumeric_ratio", "code_alnum_ratio", "below", "min_alnum_ratio", 0.25),
        Rule("alpha_filter", "code_alpha_ratio", "below", "min_alpha_ratio", 0.25),
        Rule("xml_header", "code_xml_header", "above", "max_xml_headers", 0),
        Rule("autogenerated", "code_autogenerated", "above", "max_autogenerated", 0),
    )
    return RuleSet("code", _signals("code_", rules, _CODE_SIGNALS), rules)


def _code_nemo() -> RuleSet:
    """Rules for source code; names and limits of NeMo Curator (filters/heuristic/code.py).

    Comments are found by how lines begin (`code_comments.py`), not by the language's parser.
    """
    comments, html = "code_comment_ratio", "code_visible_ratio"
    rules = (
        Rule("comment_ratio", comments, "below", "min_comment_to_code_ratio", 0.01),
        Rule("comment_ratio", comments, "above", "max_comment_to_code_ratio", 0.85),
        Rule("num_lines", "code_lines", "below", "min_lines", 10),
        Rule("num_lines", "code_lines", "above", "max_lines", 20_000),
        Rule("xml_header", "code_xml_header", "above", "max_xml_headers", 0),
        Rule("alpha_filter", "code_alpha_ratio", "below", "min_alpha_ratio", 0.25),
        Rule("html_boilerplate", html, "below", "min_lang_content_ratio", 0.2),
    )
    return RuleSet("code@nemo", _signals("code_", rules), rules)


def _madlad(name: str, rest: tuple[str, ...]) -> RuleSet:
    """MADLAD-400's rules as one tool runs them; `rest` are the shares of single rules."""
    of = name.replace("@", "_") + "_"
    rules = (
        Rule("too_short", of + "sentences", "below", "min_sentences", 5),
        Rule("questionable", of + "questionable", "reaches", "max_questionable", 0.2),
    )
    return RuleSet(name, _signals(of, rules, rest), rules)


def _refinedweb() -> RuleSet:
    """DCLM's last step of its line rules (dclm_baseline_refinedweb.yaml): the page they tore."""
    name, signal = "refinedweb_lines@dclm", "refinedweb_lines_dclm_removed_words"
    rule = Rule("word_removal_ratio_filter", signal, "above", "max_removed_words", 0.05)
    return RuleSet(name, (), (rule,), edit=name)


RULE_SETS: dict[str, RuleSet] = {
    made.name: made
    for made in (
        _gopher_quality(),
        _gopher_repetition(),
        _c4("c4@datatrove", 5),  # datatrove 0.10 `C4QualityFilter`, which follows the paper
        _fineweb(),
        _c4("c4@fineweb", 5),  # without the rule of the end mark: datatrove's examples/fineweb.py
        _c4("c4@tfds", 3),  # c4_utils.py of tensorflow/datasets
        _dolma_quality(),
        _DOLMA_REPETITION,
        _dclm_quality(),
        _DCLM_REPETITION,
        _NEMO_REPETITION,
        _code(),
        _code_nemo(),
        # datamap-rs, configs/all_dressed/all_dressed_config.yaml: rules 2 and 5.
        _madlad("madlad400@datamap", ("list_case", "cursed")),
        # Kudugunta et al. 2023 without rule 1; see `madlad.py` for what it leaves open.
        _madlad("madlad400@paper", ("list_case", "odd_length", "technical", "cursed")),
        _refinedweb(),
        RuleSet("gzip", ("gzip_ratio",), ()),  # no tool that is followed here has a limit
    )
}
