"""How each signal is made of what the kernels count, by name.

A signal's name begins with that of the rule set it serves (`gopher_repetition_datatrove_`), or
with none where all share it (`n_chars`).
"""

from typing import NamedTuple

from cuvee.filters import tally as t
from cuvee.filters import variant_tally as v


class Signal(NamedTuple):
    """A count (`whole` -1), or its share of another count; 0 where there is nothing to share."""

    part: int
    whole: int = -1
    divisor: int = 1  # of a count


_QUALITY, _REPETITION = "gopher_quality_datatrove_", "gopher_repetition_datatrove_"
_FINEWEB = "fineweb_"
_DOLMA, _DCLM = "gopher_quality_dolma_", "gopher_quality_dclm_"
_C4_BLOCKS = {"datatrove": 0, "fineweb": t.C4_BLOCK, "tfds": 2 * t.C4_BLOCK}


def _of(part: int, whole: int = -1) -> Signal:
    """Make a signal of counts of `variant_tally.py`, which lie behind those of `tally.py`."""
    return Signal(len(t.NAMES) + part, len(t.NAMES) + whole if whole >= 0 else -1)


def _c4(tool: str, block: int) -> dict[str, Signal]:
    """Return C4's signals as a tool counts them."""
    parts = {
        "lines": t.C4_LINES,
        "lines_too_long_word": t.C4_LONG_WORD,
        "lines_no_terminal_punct": t.C4_NO_TERMINAL,
        "lines_too_few_words": t.C4_FEW_WORDS,
        "lines_javascript": t.C4_JAVASCRIPT,
        "lines_policy": t.C4_POLICY,
        "lorem_ipsum": t.C4_LOREM,
        "lorem_ipsum_first": t.C4_LOREM_FIRST,
        "curly_bracket": t.C4_CURLY,
        "sentences": t.C4_SENTENCES,
    }
    return {f"c4_{tool}_{name}": Signal(block + part) for name, part in parts.items()}


def _repetition(
    tool: str, repeats: tuple[int, int], grams: int, gram_chars: int
) -> dict[str, Signal]:
    """Return Gopher's repetition signals; `repeats` are the counts of a block that are shared."""
    signals: dict[str, Signal] = {}
    blocks = {"line": f"{tool.upper()}_LINES", "para": f"{tool.upper()}_PARAGRAPHS"}
    for segment, name in blocks.items():
        block: int = getattr(v, name)
        signals[f"dup_{segment}_frac"] = _of(block + repeats[0], block + v.SEGMENTS)
        signals[f"dup_{segment}_char_frac"] = _of(block + repeats[1], block + v.SEGMENT_CHARS)
    signals |= {f"top_{n}_gram": _of(grams + n, gram_chars) for n in range(2, 5)}
    signals |= {f"duplicated_{n}_n_grams": _of(grams + n, gram_chars) for n in range(5, 11)}
    return {f"gopher_repetition_{tool}_{name}": signal for name, signal in signals.items()}


def _dolma_repetition() -> dict[str, Signal]:
    """Return Gopher's repetition signals as Dolma's first tagger counts them."""
    lines, of = v.DOLMA_LINES, "gopher_repetition_dolma_v1_"
    return {
        f"{of}dup_line_frac": _of(lines + v.REPEATED, lines + v.SEGMENTS),
        f"{of}dup_line_char_frac": _of(lines + v.REPEATED_CHARS, v.SPACED_CHARS),
        **{f"{of}top_{n}_gram": _of(v.DOLMA_GRAMS + n, v.GRAM_CHARS) for n in range(2, 5)},
        **{
            f"{of}duplicated_{n}_n_grams": _of(v.DOLMA_GRAMS + n, v.DOLMA_ALL_GRAMS + n)
            for n in range(5, 11)
        },
    }


def _madlad(tool: str, block: int, *more: tuple[str, int]) -> dict[str, Signal]:
    """Return MADLAD-400's signals as one tool counts them; `more` are rules of its own."""
    parts = (("questionable", v.QUESTIONABLE), ("list_case", v.LIST_CASE), ("cursed", v.CURSED))
    of, sentences = f"madlad400_{tool}_", block + v.SENTENCES
    shares = {of + name: _of(block + part, sentences) for name, part in (*parts, *more)}
    return {of + "sentences": _of(sentences), **shares}


SIGNALS: dict[str, Signal] = {
    "n_chars": Signal(t.CHARS),
    "n_nonspace": Signal(t.VISIBLE),
    "n_lines": Signal(t.LINES),
    "n_words_rule": Signal(t.WORDS),
    f"{_QUALITY}n_words": Signal(t.NONSYMBOL_WORDS),
    f"{_QUALITY}mean_word_length": Signal(t.NONSYMBOL_CHARS, t.NONSYMBOL_WORDS),
    f"{_QUALITY}hash_ratio": Signal(t.HASH_MARKS, t.WORDS),
    f"{_QUALITY}ellipsis_ratio": Signal(t.ELLIPSES, t.WORDS),
    f"{_QUALITY}bullet_lines": Signal(t.BULLET_LINES, t.LINES),
    f"{_QUALITY}ellipsis_lines": Signal(t.ELLIPSIS_LINES, t.LINES),
    f"{_QUALITY}alpha_words": Signal(t.ALPHA_WORDS, t.WORDS),
    f"{_QUALITY}stop_words": Signal(t.STOP_WORDS),
    f"{_REPETITION}dup_para_frac": Signal(t.DUP_PARAGRAPHS, t.PARAGRAPHS),
    f"{_REPETITION}dup_para_char_frac": Signal(t.DUP_PARAGRAPH_CHARS, t.CHARS),
    f"{_REPETITION}dup_line_frac": Signal(t.DUP_ELEMENTS, t.ELEMENTS),
    f"{_REPETITION}dup_line_char_frac": Signal(t.DUP_ELEMENT_CHARS, t.CHARS),
    **{f"{_REPETITION}top_{n}_gram": Signal(t.TOP_2 + n - 2, t.GRAM_CHARS) for n in (2, 3, 4)},
    **{
        f"{_REPETITION}duplicated_{n}_n_grams": Signal(t.DUP_5 + n - 5, t.GRAM_CHARS)
        for n in range(5, 11)
    },
    **{name: signal for tool, at in _C4_BLOCKS.items() for name, signal in _c4(tool, at).items()},
    f"{_FINEWEB}line_punct_ratio": Signal(t.TERMINAL_PIECES, t.FULL_PIECES),
    f"{_FINEWEB}short_line_ratio": Signal(t.SHORT_PIECES, t.FULL_PIECES),
    f"{_FINEWEB}char_dup_ratio": Signal(t.DUP_PIECE_CHARS, t.PIECE_CHARS),
    f"{_FINEWEB}list_ratio": Signal(t.NEWLINES, t.WORDS),
    f"{_DOLMA}n_words": _of(v.SPACED_WORDS),
    f"{_DOLMA}median_word_length": Signal(len(t.NAMES) + v.HALVES, divisor=2),
    f"{_DOLMA}symbol_ratio": _of(v.SYMBOL_WORDS, v.SPACED_WORDS),
    f"{_DOLMA}alpha_words": _of(v.SPACED_ALPHA, v.SPACED_WORDS),
    f"{_DOLMA}stop_words": _of(v.STOP_WORDS),
    f"{_DOLMA}bullet_lines": _of(v.DOLMA_LINES + v.BULLETS, v.DOLMA_LINES + v.SEGMENTS),
    f"{_DOLMA}ellipsis_lines": _of(v.DOLMA_LINES + v.ELLIPSES, v.DOLMA_LINES + v.SEGMENTS),
    f"{_DCLM}n_words": _of(v.PLAIN_WORDS),
    f"{_DCLM}mean_word_length": _of(v.SPACED_CHARS, v.SPACED_WORDS),
    f"{_DCLM}symbol_ratio": _of(v.SYMBOLS, v.SPACED_WORDS),
    f"{_DCLM}bullet_lines": _of(v.DCLM_LINES + v.BULLETS, v.DCLM_LINES + v.SEGMENTS),
    f"{_DCLM}ellipsis_lines": _of(v.DCLM_LINES + v.ELLIPSES, v.DCLM_LINES + v.SEGMENTS),
    f"{_DCLM}nonalpha_words": _of(v.SPACED_NUMERIC, v.SPACED_WORDS),
    f"{_DCLM}stop_words": _of(v.FOLDED_STOP_WORDS),
    **_dolma_repetition(),
    **_repetition("dclm", (v.REPEATED, v.REPEATED_CHARS), v.DCLM_GRAMS, v.BOUNDED_CHARS),
    **_repetition("nemo", (v.AGAIN, v.AGAIN_CHARS), v.NEMO_GRAMS, v.TEXT_CHARS),
    "code_max_line_length": _of(v.LONGEST_LINE),
    "code_mean_line_length": _of(v.LINE_CHARS, v.CODE_LINES),
    "code_alnum_ratio": _of(v.ALNUM_CHARS, v.CODE_CHARS),
    "code_alpha_ratio": _of(v.ALPHA_CHARS, v.CODE_CHARS),
    "code_xml_header": _of(v.XML_HEADER),
    "code_autogenerated": _of(v.GENERATED),
    "code_comment_ratio": _of(v.COMMENT_CHARS, v.CODE_CHARS),
    "code_lines": _of(v.NEWLINE_LINES),
    "code_visible_ratio": _of(v.VISIBLE_CHARS, v.CODE_CHARS),
    **_madlad("datamap", v.MADLAD_DATAMAP),
    **_madlad(*("paper", v.MADLAD_PAPER), ("odd_length", v.ODD_LENGTH), ("technical", v.TECHNICAL)),
    "gzip_ratio": _of(v.COMPRESSED, v.BYTES),
}
"""How each signal is made of the kernels' counts; what they mean is said in `tally.py` and
`variant_tally.py`."""
