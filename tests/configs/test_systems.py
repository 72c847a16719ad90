"""The shipped systems: every number has a source, and their plans are what was published.

The eight published facts that a plan must reproduce are under "The fixtures". Some are tested where
they belong, too: steps and phases in tests/mixers/test_steps.py and test_ramps.py, the longest
common subsequence in tests/filters/test_contamination_methods.py, and that ProLong's views keep
long documents alone, on rows, in tests/flows/test_systems.py.
"""

import math
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cuvee.configs.counts import parse_count
from cuvee.configs.load import load, shipped
from cuvee.configs.marks import Document, read
from cuvee.configs.recipe import Recipe
from cuvee.configs.sources import Upsample
from cuvee.configs.stages import Stage
from cuvee.filters.lcs import Common
from cuvee.flows.stages import declared_supplies, settle
from cuvee.mixers.curve import rates
from cuvee.mixers.mixtures import Mixture, Weights
from cuvee.mixers.settled import Settled

SYSTEMS = sorted(name for name, path in shipped().items() if path.parent.name == "systems")
K, MI, B, T = 1024, 2**20, 10**9, 10**12


@cache
def recipe(name: str) -> Recipe:
    return load(shipped()[name])


@cache
def document(name: str) -> Document:
    return read(shipped()[name])


@cache
def laid(name: str) -> Settled:
    """Settle a system at full scale, by the sizes that it declares."""
    return settle(recipe(name), Path(), declared_supplies(recipe(name)))


def stage(system: str, name: str) -> Stage:
    return next(stage for stage in recipe(system).stages if stage.name == name)


def mixture(system: str, name: str) -> Mixture:
    return next(mixture for mixture in laid(system).mixtures if mixture.stage == name)


def drawn(system: str, *stages: str) -> dict[str, int]:
    """Return the tokens that some stages read of each pool."""
    settled, found = laid(system), dict[str, int]()
    for part in settled.stages:
        if part.of in stages:
            for pool, count in zip(settled.pools, part.quota_counts.tolist(), strict=True):
                found[pool.name] = found.get(pool.name, 0) + count * part.seq_len
    return {name: tokens for name, tokens in found.items() if tokens}


def tokens(system: str, *stages: str) -> int:
    return sum(drawn(system, *stages).values())


def billions(system: str, *stages: str) -> dict[str, int]:
    return {name: round(count / B) for name, count in drawn(system, *stages).items()}


def share(system: str, weights: Weights, category: str) -> float:
    """Return what the pools of a category's sources have together."""
    source = {pool.name: pool.source for pool in laid(system).pools}
    tags = {name: one.tags["category"] for name, one in recipe(system).sources.items()}
    return math.fsum(w for name, w in weights.items() if tags[source[name]] == category)


def steps(system: str, *stages: str) -> list[int]:
    return [part.steps for part in laid(system).stages if part.of in stages]


def numbers(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield where numbers stand: 6.3T, 4Mi, 0.5; an item of a list under its name."""
    if isinstance(value, dict):
        for key, held in value.items():
            yield from numbers(held, (*path, str(key)))
    elif isinstance(value, list):
        for n, held in enumerate(value):
            named = held.get("name", n) if isinstance(held, dict) else n
            yield from numbers(held, (*path, str(named)))
    elif isinstance(value, str) and value[:1].isdigit():
        parse_count(value)
        yield path
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path


# Every system


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_number_of_a_system_says_where_it_is_from(name: str) -> None:
    values, marks = document(name)
    keys = ("sources", "views", "curate", "tokenizer", "stages", "probes")
    found = [path for key in keys for path in numbers(values.get(key), (key,))]
    assert len(found) > 10
    unmarked = [
        ".".join(path)
        for path in found
        if not any(".".join(path[: n + 1]) in marks for n in range(len(path)))
    ]
    assert unmarked == []


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_first_line_of_a_system_is_its_name_and_where_it_is_published(name: str) -> None:
    first = shipped()[name].read_text().splitlines()[0]
    assert recipe(name).name == name
    assert first.startswith("# ")
    assert len(first) <= 100
    assert first.endswith(".")
    assert "arXiv 2" in first or name == "smollm3"  # which has no paper


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_has_no_paths_and_every_source_has_a_size_and_a_category(name: str) -> None:
    for one in recipe(name).sources.values():
        assert one.paths == []
        assert one.tokens is not None
        assert "category" in one.tags


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_sources_of_a_system_suffice_at_full_scale_within_seconds(name: str) -> None:
    laid.cache_clear()
    began = time.monotonic()
    warnings = laid(name).warnings
    assert time.monotonic() - began < 5
    olmo = ["pretrain", "long"]
    unsummed = {"smollm3": ["stable_2", "decay"], "olmo3_7b": olmo, "olmo3_32b": olmo}
    assert [line.split(":")[0] for line in warnings] == [
        f"stage {stage}" for stage in unsummed.get(name, [])
    ]


def test_the_systems_are_all_there() -> None:
    assert SYSTEMS == [
        "afm_on_device",
        "afm_server",
        "gemma2_27b",
        "gemma2_2b",
        "gemma2_9b",
        "kimi_vl",
        "llama3_1_405b",
        "llama3_1_8b_1m",
        "olmo3_32b",
        "olmo3_7b",
        "ouro",
        "qwen2_0_5b",
        "qwen2_7b",
        "qwen2_moe",
        "smollm3",
    ]


# What secondary descriptions say wrongly, or run together


def test_256k_512k_and_1m_are_lengths_not_amounts() -> None:
    stages = recipe("llama3_1_8b_1m").stages
    lengths = [256 * K, 512 * K, MI]
    assert [stage.seq_len for stage in stages[:3]] == lengths
    assert all(stage.budget not in lengths for stage in stages)


def test_tuning_to_1m_ascends_after_moba_is_trained() -> None:
    names = [stage.name for stage in recipe("llama3_1_8b_1m").stages]
    assert names[3:] == ["moba", "sft_32k", "sft_256k", "sft_1m"]
    lengths = [stage.seq_len for stage in recipe("llama3_1_8b_1m").stages[4:]]
    assert lengths == [32 * K, 256 * K, MI]


def test_ouro_forks_after_3t_into_1_4b_and_2_6b_of_7_72t_each() -> None:
    names = [stage.name for stage in recipe("ouro").stages]
    assert not any("1_6b" in name for name in names)
    for model in ("1_4b", "2_6b"):
        assert stage("ouro", f"stage1b_{model}").after == "stage1a"
        way = ["stage1a", *(f"stage{n}_{model}" for n in ("1b", 2, 3, 4))]
        assert sum(stage("ouro", name).tokens or 0 for name in way) == 7720 * B
        assert round(tokens("ouro", *way) / T, 2) == 7.72


def test_kimis_vision_tower_reads_2t_and_then_100b() -> None:
    assert [stage("kimi_vl", name).tokens for name in ("vision", "align")] == [2 * T, 100 * B]
    way = ("vision", "align", "joint", "cooldown", "long_1", "long_2")
    assert round(tokens("kimi_vl", *way) / T, 2) == 4.4
    language = ("text", "joint", "cooldown", "long_1", "long_2")
    assert round(tokens("kimi_vl", *language) / T, 2) == 7.5


def test_llamas_anneal_is_of_40m_and_its_probe_of_40b() -> None:
    assert stage("llama3_1_405b", "anneal").tokens == 40 * 10**6
    assert steps("llama3_1_405b", "anneal") == [2]  # 2.4 of 16Mi
    assert stage("llama3_1_405b", "probe").tokens == 40 * B
    probe = mixture("llama3_1_405b", "probe").last
    assert probe["candidate"] == pytest.approx(0.3)
    reference = {name: part for name, part in probe.items() if part and name != "candidate"}
    assert reference == pytest.approx(
        {
            name: 0.7 * part
            for name, part in mixture("llama3_1_405b", "initial").last.items()
            if part
        }
    )
    baseline = mixture("llama3_1_405b", "probe_baseline")
    assert baseline.last == pytest.approx(mixture("llama3_1_405b", "initial").last)
    assert steps("llama3_1_405b", "probe") == steps("llama3_1_405b", "probe_baseline")
    assert round(40 * B / (15.6 * T) * 100, 2) == 0.26


def test_no_benchmark_is_a_source_of_llamas_anneal() -> None:
    assert set(drawn("llama3_1_405b", "anneal")) == {
        "general", "math", "code", "multilingual", "high_quality"
    }  # fmt: skip
    text = shipped()["llama3_1_405b"].read_text()
    assert "exclude: {hits: [gsm8k/train, math/train]}" in text


def test_batch_and_length_double_at_one_point_and_the_batch_alone_at_the_other() -> None:
    parts = [part for part in laid("llama3_1_405b").stages if part.of == "initial"]
    assert [(part.batch_sequences, part.seq_len) for part in parts] == [
        (1024, 4096),
        (1024, 8192),
        (2048, 8192),
    ]
    assert [part.batch_sequences * part.seq_len for part in parts] == [4 * MI, 8 * MI, 16 * MI]


def test_the_size_of_afms_server_is_nowhere() -> None:
    assert "3B" not in shipped()["afm_server"].read_text().replace("!review 3B", "")
    assert stage("afm_server", "core").tokens == 6300 * B  # 6.3 times the next stage
    assert stage("afm_server", "continued").tokens == 1000 * B


@pytest.mark.parametrize("name", ["qwen2_7b", "qwen2_0_5b", "qwen2_moe"])
def test_qwens_vocabulary_has_151643_tokens(name: str) -> None:
    assert stage(name, "pretrain").meta["vocab_size"] == 151_643
    assert document(name).marks["stages.pretrain.meta.vocab_size"] == "paper"


def test_gemma_has_one_stage_and_a_teacher_for_the_smaller_two() -> None:
    for name, amount, taught in (
        ("gemma2_27b", 13, False), ("gemma2_9b", 8, True), ("gemma2_2b", 2, True)
    ):  # fmt: skip
        (only,) = recipe(name).stages
        assert only.tokens == amount * T
        assert bool(only.meta["teacher"]) == taught


# The fixtures


def test_ouro_reads_what_its_tables_say_it_used() -> None:
    pools = ("nemotron_cc", "map_cc", "ultra_fineweb_zh", "opencoder", "megamath_web")
    used = billions("ouro", "stage1a", "stage1b_1_4b")
    assert used == dict(zip(pools, (4404, 780, 120, 450, 246), strict=True))
    epochs = [used[name] * B / (recipe("ouro").sources[name].tokens or 1) for name in pools]
    assert [round(one, 3) for one in epochs] == [0.690, 0.975, 1.0, 1.0, 0.996]
    for model in ("1_4b", "2_6b"):
        assert billions("ouro", f"stage2_{model}") == {
            "nemotron_cc@hq": 931,
            "nemotron_cc_math": 210,
            "megamath_hq": 64,
            "opencoder_annealing": 7,
            "nemotron_code": 53,
            "nemotron_sft_code": 48,
            "nemotron_sft_general": 87,
        }
        assert billions("ouro", f"stage3_{model}") == {"prolong_64k": 20}
        stage4 = drawn("ouro", f"stage4_{model}")
        parts = dict.fromkeys(("own", "stage1", "stage2"), 0)
        for name, count in stage4.items():
            parts[f"stage{name.partition('@stage')[2][0]}" if "@" in name else "own"] += count
        assert [round(count / B) for count in parts.values()] == [90, 30, 180]
        assert round(stage4["question_pool"] / (182 * B), 2) == 0.49  # of an epoch


def test_chinese_is_read_in_ouros_first_stage_alone() -> None:
    later = [stage.name for stage in recipe("ouro").stages if not stage.name.startswith("stage1")]
    for name in drawn("ouro", *later):
        source = next(pool.source for pool in laid("ouro").pools if pool.name == name)
        assert recipe("ouro").sources[source].tags.get("language") != "zh"


def test_ouro_grows_longer_and_shorter_again() -> None:
    lengths = [stage("ouro", f"stage{n}_1_4b").seq_len for n in ("1b", 2, 3, 4)]
    assert lengths == [4 * K, 16 * K, 64 * K, 32 * K]
    assert steps("ouro", "stage3_2_6b") == [2384]


def test_llamas_schedule_changes_after_60_steps() -> None:
    first, second, third = steps("llama3_1_405b", "initial")
    assert (first, second) == (60, 342_101)
    assert round((first + second + third) / 10**6, 2) == 1.10
    long = [stage for stage in recipe("llama3_1_405b").stages if stage.name.startswith("long")]
    assert len(long) == 6
    assert all(stage.gate for stage in long)
    assert sum(stage.tokens or 0 for stage in long) == 800 * B
    assert long[-1].seq_len == 128 * K
    for stage in long:
        shape = stage.shapes[0]
        batch = shape.batch.in_sequences(shape.seq_len) * shape.seq_len
        assert abs(batch / (16 * MI) - 1) < 0.02


def test_llamas_tuning_is_by_shares_of_examples() -> None:
    sft, sources = mixture("llama3_1_405b", "sft"), recipe("llama3_1_405b").sources
    held = {name: part for name, part in sft.last.items() if part}
    means = {name: (sources[name].tokens or 0) / (sources[name].documents or 1) for name in held}
    examples = {name: part / means[name] for name, part in held.items()}
    whole = math.fsum(examples.values())
    percent = {name: round(100 * part / whole, 2) for name, part in examples.items()}
    assert list(percent.values()) == [52.66, 14.89, 3.01, 8.14, 21.19, 0.11]
    assert round(1 / whole) == pytest.approx(846, abs=5)  # tokens of an example


def test_smollm3_changes_its_mixture_where_its_configurations_say_and_sums_as_they_do() -> None:
    main = steps("smollm3", "stable", "stable_2", "decay")
    assert np.cumsum(main).tolist() == [3_450_000, 4_198_000, 4_720_000]
    assert {part.batch_sequences * part.seq_len for part in laid("smollm3").stages[:5]} == {
        2_359_296
    }
    sums = [mixture("smollm3", name).points[0].raw_sum for name in ("stable", "stable_2", "decay")]
    assert sums == pytest.approx([1.0, 1.00005, 1.00565], abs=1e-9)
    counts = [len(mixture("smollm3", name).drawn) for name in ("stable", "stable_2", "decay")]
    assert counts == [41, 46, 56]
    groups = ("web", "multilingual", "code", "math")
    shares = [share("smollm3", mixture("smollm3", "stable").last, group) for group in groups]
    assert [round(100 * one, 1) for one in shares] == [72.4, 12.0, 12.9, 2.7]


def test_kimis_multimodal_share_rises_to_two_fifths_and_comes_to_its_integral() -> None:
    joint = mixture("kimi_vl", "joint")
    first, last = (share("kimi_vl", point.weights, "multimodal") for point in joint.points)
    assert (first, round(last, 12)) == (0, 0.4)
    read = drawn("kimi_vl", "joint")
    realised = share("kimi_vl", {name: float(count) for name, count in read.items()}, "multimodal")
    whole = sum(read.values())  # in whole steps, a few less than 1.4T
    assert abs(realised - 0.4 * whole**2 / (2 * 1.4 * T)) < 8192  # tokens: one sequence
    assert realised == pytest.approx(0.2 * 1.4 * T, rel=1e-4)


def test_kimis_text_keeps_its_distribution_while_the_rest_rises() -> None:
    text = {name: part for name, part in mixture("kimi_vl", "text").last.items() if part}
    for point in mixture("kimi_vl", "joint").points:
        held = {name: point.weights[name] for name in text}
        whole = math.fsum(held.values())
        assert {name: part / whole for name, part in held.items()} == pytest.approx(text)
    read = drawn("kimi_vl", "joint")
    whole = sum(read[name] for name in text)
    assert {name: read[name] / whole for name in text} == pytest.approx(text, rel=1e-6)


@pytest.mark.parametrize("name", ["long_1", "long_2"])
def test_a_quarter_of_kimis_longer_stages_is_long_and_the_rest_replay(name: str) -> None:
    weights = mixture("kimi_vl", name).last
    assert sum(part for pool, part in weights.items() if "@cooldown" in pool) == pytest.approx(0.75)
    length = stage("kimi_vl", name).seq_len
    views = [pool for pool, part in weights.items() if part and pool in recipe("kimi_vl").views]
    assert {recipe("kimi_vl").views[pool].min_tokens for pool in views} == {length}


def test_kimis_synthetic_captions_and_questions_stay_below_their_caps() -> None:
    origin = {name: one.tags.get("origin") for name, one in recipe("kimi_vl").sources.items()}
    for point in mixture("kimi_vl", "joint").points:
        synthetic = [w for name, w in point.weights.items() if origin.get(name) == "synthetic"]
        assert math.fsum(synthetic) <= 0.1
    assert share("kimi_vl", mixture("kimi_vl", "cooldown").last, "questions") <= 0.1


def test_olmo_accepts_61_weights_that_sum_to_a_little_more_than_one() -> None:
    found = mixture("olmo3_32b", "midtrain_1")
    assert len(found.drawn) == 61
    assert round(found.points[0].raw_sum, 7) == 1.0000006
    assert len(mixture("olmo3_7b", "midtrain").drawn) == 58
    assert found.last == pytest.approx(mixture("olmo3_32b", "midtrain_2").last)
    first, second = (stage("olmo3_32b", f"midtrain_{n}") for n in (1, 2))
    assert first.seed != second.seed
    assert stage("olmo3_32b", "long").after == ["midtrain_1", "midtrain_2"]


def test_olmos_curve_reads_the_best_at_most_7_times_and_comes_to_its_target() -> None:
    curve = recipe("olmo3_7b").views["common_crawl@upsampled"].upsample
    assert isinstance(curve, Upsample)
    rate = rates(curve)
    assert rate.mean() == pytest.approx(4.51 / 8.14, abs=1e-3)
    assert (np.diff(rate) >= 0).all()
    assert (rate[:8] == 0).all()  # the worst 40 %
    assert 5 < rate[-1] <= 7
    published = {"science_pdfs": 805, "stack_edu": 409, "finemath": 152, "arxiv": 50.8}
    used = drawn("olmo3_7b", "pretrain")
    assert {name: used[name] / B for name in published} == pytest.approx(published, rel=5e-3)


@pytest.mark.parametrize("name", ["olmo3_7b", "olmo3_32b"])
def test_two_thirds_of_olmos_longer_stage_replay_its_midtraining(name: str) -> None:
    weights = mixture(name, "long").last
    replayed = math.fsum(part for pool, part in weights.items() if "@midtrain" in pool)
    assert replayed == pytest.approx(0.66, abs=0.002)


def test_afms_core_is_375509_steps_of_16777216_tokens() -> None:
    (core,) = (part for part in laid("afm_server").stages if part.of == "core")
    assert (core.batch_sequences * core.seq_len, core.steps) == (16_777_216, 375_509)


@pytest.mark.parametrize("name", ["afm_server", "afm_on_device"])
def test_afms_web_falls_code_and_math_rise_and_licensed_data_comes_late(name: str) -> None:
    core, continued, longer = (
        mixture(name, stage).last for stage in ("core", "continued", "lengthening")
    )
    assert share(name, continued, "web") < share(name, core, "web")
    for category in ("code", "math"):
        assert share(name, continued, category) > share(name, core, category)
    assert share(name, core, "licensed") == 0
    assert share(name, continued, "licensed") > 0
    assert share(name, longer, "licensed") > 0
    added = {pool: part for pool, part in longer.items() if part and pool != "long_questions"}
    rest = math.fsum(added.values())
    assert {pool: part / rest for pool, part in added.items()} == pytest.approx(
        {pool: part for pool, part in continued.items() if part}
    )


def test_afm_on_device_is_taught_in_its_core_alone() -> None:
    assert stage("afm_on_device", "core").meta["teacher"] == {"top_k": 1, "weight": 0.9}
    assert mixture("afm_on_device", "core").last == pytest.approx(
        mixture("afm_on_device", "prune_mask").last
    )
    for name in ("continued", "lengthening"):
        assert stage("afm_on_device", name).meta["teacher"] is None


def test_qwens_experts_fork_from_the_7b() -> None:
    assert stage("qwen2_moe", "upcycled").after == "pretrain"
    way = ("pretrain", "long", "sft")
    for mine, theirs in zip(("pretrain", "long_7b", "sft_7b"), way, strict=True):
        assert drawn("qwen2_moe", mine) == drawn("qwen2_7b", theirs)
    assert [sum(stage(name, one).tokens or 0 for one in way) for name in (
        "qwen2_7b", "qwen2_0_5b"
    )] == [7 * T, 12 * T]  # fmt: skip


@pytest.mark.parametrize(
    ("common", "shorter", "contaminated"),
    [(13, 21, True), (12, 12, False), (13, 22, False), (24, 40, True), (23, 39, False)],
)
def test_qwens_second_gate_asks_for_13_words_and_three_fifths(
    common: int, shorter: int, contaminated: bool
) -> None:
    found = Common(np.array([common]), np.array([shorter]))
    assert found.contaminated.tolist() == [contaminated]


def test_prolongs_views_hold_documents_that_fill_their_length() -> None:
    views = recipe("llama3_1_8b_1m").views
    assert {name: view.min_tokens for name, view in views.items()} == {
        "repos@64K": 65536,
        "repos@512K": 524288,
        "books@64K": 65536,
        "books@512K": 524288,
    }
    weights = mixture("llama3_1_8b_1m", "extend_512k").last
    assert [weights[name] for name in views] == pytest.approx([0.15, 0.15, 0.25, 0.05])
    assert mixture("llama3_1_8b_1m", "moba").last == pytest.approx(weights)


def test_every_system_ships() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert '"systems/*.yaml"' in text
