"""What the kernels count per document for Dolma, DCLM, NeMo, MADLAD-400 and code.

One int64 per name, a row per document, behind the counts of `tally.py`. *Spaced* words are those of
`str.split`, *bounded* words those of Unicode's word boundaries (`boundaries.py`). Lengths are
characters. The lines and paragraphs of one tool are a *block* of BLOCK counts (`segments.py`).
"""

_SEGMENT_COUNTS = (
    "segments",
    "chars",
    "again",  # came before
    "again_chars",
    "repeated",  # occur more than once, the first among them
    "repeated_chars",
    "bullets",
    "ellipses",
)
BLOCK = len(_SEGMENT_COUNTS)
SEGMENTS, SEGMENT_CHARS, AGAIN, AGAIN_CHARS, REPEATED, REPEATED_CHARS, BULLETS, ELLIPSES = range(
    BLOCK
)
_BLOCKS = ("dolma_lines", "dclm_lines", "dclm_paragraphs", "nemo_lines", "nemo_paragraphs")
DOLMA_LINES, DCLM_LINES, DCLM_PARAGRAPHS, NEMO_LINES, NEMO_PARAGRAPHS = range(
    0, BLOCK * len(_BLOCKS), BLOCK
)

_WORD_COUNTS = (
    "spaced_words",
    "spaced_chars",
    "symbol_words",  # spaced words with a number sign or U+2026
    "spaced_alpha",  # spaced words with a letter
    "spaced_numeric",  # spaced words without a letter
    "stop_words",  # spaced words that are a stop word
    "folded_stop_words",  # spaced words that are one in small or capital letters
    "symbols",  # "#", "...", ". . ." and U+2026, each counted as str.count does
    "plain_words",  # what fastText's tokenizer ends at ASCII white space, first character alnum
    "halves",  # median length of the spaced words, times two
    "text_chars",  # characters of the text that the grams of spaced words look at
    "gram_chars",  # characters of the spaced words that the grams look at
    "bounded_words",
    "bounded_chars",  # of the bounded words that the grams look at
)
(
    SPACED_WORDS,
    SPACED_CHARS,
    SYMBOL_WORDS,
    SPACED_ALPHA,
    SPACED_NUMERIC,
    STOP_WORDS,
    FOLDED_STOP_WORDS,
    SYMBOLS,
    PLAIN_WORDS,
    HALVES,
    TEXT_CHARS,
    GRAM_CHARS,
    BOUNDED_WORDS,
    BOUNDED_CHARS,
) = range(BLOCK * len(_BLOCKS), BLOCK * len(_BLOCKS) + len(_WORD_COUNTS))

_SIZES = 11  # grams of 0 to 10 words, so that the count of n-grams is n behind the first
_GRAM_COUNTS = ("dolma", "dolma_all", "dclm", "nemo")
_FIRST_GRAM = BOUNDED_CHARS + 1
DOLMA_GRAMS, DOLMA_ALL_GRAMS, DCLM_GRAMS, NEMO_GRAMS = range(
    _FIRST_GRAM, _FIRST_GRAM + _SIZES * len(_GRAM_COUNTS), _SIZES
)

_CODE_COUNTS = (
    "longest_line",
    "code_lines",
    "line_chars",
    "code_chars",
    "alnum_chars",
    "alpha_chars",
    "xml_header",  # 1: "<?xml version=" within the first 100 characters
    "generated",  # 1: a mark of generated code within the first lines
    "comment_chars",  # of the comment lines, white space around them left out
    "newline_lines",  # newlines and one, as NeMo counts lines
    "visible_chars",  # of an HTML page, 0 where they are under 100; of any other text, all
    "bytes",
    "compressed",  # bytes of the text behind zlib, level 6
)
_MADLAD_COUNTS = (
    "sentences",
    "questionable",  # for any of the rules
    "list_case",
    "length",
    "technical",
    "cursed",
)
MADLAD_BLOCK = len(_MADLAD_COUNTS)
SENTENCES, QUESTIONABLE, LIST_CASE, ODD_LENGTH, TECHNICAL, CURSED = range(MADLAD_BLOCK)
(
    LONGEST_LINE,
    CODE_LINES,
    LINE_CHARS,
    CODE_CHARS,
    ALNUM_CHARS,
    ALPHA_CHARS,
    XML_HEADER,
    GENERATED,
    COMMENT_CHARS,
    NEWLINE_LINES,
    VISIBLE_CHARS,
    BYTES,
    COMPRESSED,
) = range(NEMO_GRAMS + _SIZES, NEMO_GRAMS + _SIZES + len(_CODE_COUNTS))
_MADLAD_TOOLS = ("madlad_datamap", "madlad_paper")
MADLAD_DATAMAP, MADLAD_PAPER = range(
    COMPRESSED + 1, COMPRESSED + 1 + MADLAD_BLOCK * len(_MADLAD_TOOLS), MADLAD_BLOCK
)

NAMES = (
    *(f"{block}_{name}" for block in _BLOCKS for name in _SEGMENT_COUNTS),
    *_WORD_COUNTS,
    *(f"{tool}_{size}" for tool in _GRAM_COUNTS for size in range(_SIZES)),
    *_CODE_COUNTS,
    *(f"{tool}_{name}" for tool in _MADLAD_TOOLS for name in _MADLAD_COUNTS),
)
