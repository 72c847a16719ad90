"""A run over records: chat, media, filling in the middle, joined files, and a teacher."""

import json
import random
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from numpy.typing import NDArray

from cuvee.corpus import catalog
from cuvee.handoff import StageLoader, read_manifest, verify_stage
from cuvee.tokenize.fim import restore, sentinels
from cuvee.tokenize.tokenizer import Tokenizer, load
from cuvee.tokenize.train import train

Cuvee = Callable[..., subprocess.CompletedProcess[str]]
EOS, K = "<|eos|>", 2
CONTROL = [
    *("<|im_start|>", "<|im_end|>", "<|pad|>", "<|image|>"),
    *("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"),
]
WORDS = [
    "river",
    "Stein",
    "jardin",
    "зима",
    "письмо",
    "窓",
    "音楽",
    "خبز",
    "बाज़ार",
    "<b>",
    "[x]",
    "😀",
]


def words(chance: random.Random, most: int) -> str:
    return " ".join(chance.choices(WORDS, k=chance.randint(1, most)))


def conversation(chance: random.Random) -> dict[str, Any]:
    talk = [{"role": "system", "content": words(chance, 5)}] if chance.random() < 0.5 else []
    for _ in range(chance.randint(1, 3)):
        talk.append({"role": "user", "content": f"{words(chance, 9)} <|im_end|>"})
        if chance.random() < 0.3:
            call = {"function": {"name": "find", "arguments": {"of": chance.choice(WORDS)}}}
            talk.append({"role": "assistant", "content": "", "tool_calls": [call]})  # type: ignore[dict-item] # a call is no text
            talk.append({"role": "tool", "content": words(chance, 9)})
        talk.append({"role": "assistant", "content": words(chance, 20)})
    return {"dialog": {"turns": talk}, "id": str(chance.random())}


def picture(chance: random.Random) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    for _ in range(chance.randint(1, 3)):
        ref = f"s3://media/{chance.random()}.jpg"
        parts.append({"type": "image", "ref": ref, "tokens": chance.randint(3, 12)})
        parts.append({"type": "text", "text": words(chance, 9)})
    return {"content": parts}


def program(chance: random.Random, number: int) -> dict[str, str]:
    lines = [f"def f{n}(x):\n    return x + {chance.random()}" for n in range(chance.randint(1, 5))]
    url = f"https://git/owner/repo{number % 7}/file{number:03d}.py"
    return {"text": "\n".join(lines), "url": url}


def write_corpus(folder: Path) -> None:
    chance = random.Random(3)
    rows: dict[str, list[Any]] = {
        "chat": [conversation(chance) for _ in range(150)],
        "pictures": [picture(chance) for _ in range(120)],
        "code": [program(chance, n) for n in range(120)],
        "repos": [program(chance, n) for n in range(60)],
    }
    rows["chat"] += [{"dialog": {"turns": "none"}, "id": "x"}, {"other": 1}]
    rows["pictures"] += [{"content": [{"type": "image"}]}]
    for name, records in rows.items():
        lines = "\n".join(json.dumps(record, ensure_ascii=False) for record in records)
        (folder / f"{name}.jsonl").write_text(lines)
    texts = [json.dumps(rows[name], ensure_ascii=False) for name in rows]
    made = json.loads(train(texts, 600, EOS))
    size, first = len(made["model"]["vocab"]), made["added_tokens"][0]
    made["added_tokens"] += [{**first, "id": size + n, "content": c} for n, c in enumerate(CONTROL)]
    (folder / "tokenizer.json").write_text(json.dumps(made))


def recipe() -> dict[str, Any]:
    chat = {"fields": {"id": "id"}, "chat": {"messages": "dialog.turns"}}
    joined: dict[str, Any] = {
        "by": "url",
        "pattern": "git/([^/]+/[^/]+)/",
        "separator": "\n# next\n",
    }
    made: dict[str, Any] = {
        "chat": chat,
        "pictures": {"media": {"placeholder": "<|image|>"}},
        "code": {"fim": {"share": 0.5, "spm": 0.5}},
        "repos": {"join": joined | {"max_tokens": 240}},
    }
    source: dict[str, Any] = {"format": "jsonl", "max_epochs": 50}
    even: dict[str, Any] = {"chat": 0.4, "pictures": 0.2, "code": 0.2, "repos": 0.2}
    stage = {"tokens": "16K", "seq_len": 256, "batch": {"sequences": 4}, "mixture": even}
    whole = {"policy": "best_fit", "long": "skip"}
    return {
        "name": "records",
        "sources": {n: source | {"paths": [f"{n}.jsonl"]} | made[n] for n in made},
        "curate": {"dedup": {"exact": False}},
        "tokenizer": {"path": "tokenizer.json", "eos": EOS},
        "stages": [
            {"name": "pre", **stage, "packing": whole},
            {"name": "sft", **stage, "packing": whole, "loss_mask": True},
        ],
    }


def build(cuvee: Cuvee, folder: Path, asked: dict[str, Any], *flags: str) -> Path:
    (folder / "records.yaml").write_text(yaml.safe_dump(asked))
    out = folder / "run"
    done = cuvee("run", folder / "records.yaml", "--out", out, "--workers", 2, *flags)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("records")
    write_corpus(made)
    return made


@pytest.fixture(scope="module")
def run(cuvee: Cuvee, folder: Path) -> Path:
    return build(cuvee, folder, recipe())


@pytest.fixture(scope="module")
def small(folder: Path) -> Tokenizer:
    return load(folder / "tokenizer.json", EOS)


class Segment(NamedTuple):
    """A whole document in its place, with the loss of its slots."""

    source: str
    doc_id: bytes
    ids: NDArray[np.int64]
    loss: NDArray[np.bool_]
    position: int
    offset: int


def ask(run: Path, query: str) -> list[tuple[Any, ...]]:
    with catalog.connect(run) as connection:
        return connection.execute(query).fetchall()


def rows_of(run: Path, stage: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Tokens with their lookahead, and the loss of each slot, of a whole stage."""
    batches = list(StageLoader(run / "shards" / stage))
    ahead = np.concatenate([batch.labels[:, -1:] for batch in batches])
    tokens = np.concatenate([batch.tokens for batch in batches])
    return np.hstack([tokens, ahead]), np.concatenate([batch.loss_mask for batch in batches])


def whole_documents(run: Path, stage: str) -> list[Segment]:
    rows = ask(
        run,
        f"""SELECT s.position, s."offset", s.length, s.doc_id, t.source
        FROM raw.segments s JOIN raw.tokens t USING (doc_id)
        WHERE stage = '{stage}' AND doc_start = 0 AND length = n_tokens ORDER BY ALL""",
    )
    tokens, loss = rows_of(run, stage)
    assert len(rows) > 50
    return [
        Segment(
            source,
            bytes(doc_id),
            tokens[position, offset : offset + length],
            loss[position, offset : offset + length],
            position,
            offset,
        )
        for position, offset, length, doc_id, source in rows
    ]


def texts_of(run: Path) -> dict[bytes, str]:
    return {
        bytes(doc_id): text for doc_id, text in ask(run, "SELECT doc_id, text FROM raw.documents")
    }


@pytest.mark.parametrize("stage", ["pre", "sft"])
def test_stages_of_records_verify(run: Path, stage: str) -> None:
    assert verify_stage(run / "shards" / stage).problems == ()


def test_what_is_no_record_is_in_quarantine_with_its_reason(run: Path) -> None:
    assert ask(run, "SELECT source, reason FROM quarantine ORDER BY ALL") == [
        ("chat", "missing_text"),
        ("chat", "not_messages"),
        ("pictures", "not_media_content"),
    ]


@pytest.mark.parametrize("stage", ["pre", "sft"])
def test_every_document_comes_back_from_its_segment(
    run: Path, small: Tokenizer, stage: str
) -> None:
    texts = texts_of(run)
    marks = sentinels(small, *CONTROL[-3:])
    image = small.control_tokens["<|image|>"]
    seen = set()
    for one in whole_documents(run, stage):
        ids = one.ids[:-1]
        if one.source == "pictures":
            ids = ids[ids != image]
        if one.source == "code":
            ids = np.concatenate(restore(one.ids, marks))
        if one.source == "repos":
            continue
        assert small.decode(ids) == texts[one.doc_id]
        seen.add(one.source)
    assert seen == {"chat", "pictures", "code"}


def test_every_token_of_the_store_is_in_its_place(run: Path) -> None:
    held = ask(
        run,
        """SELECT stage, s.position, s."offset", s.length, s.doc_start, t.tokens
        FROM raw.segments s JOIN raw.tokens t USING (doc_id)""",
    )
    rows = {stage: rows_of(run, stage)[0] for stage in ("pre", "sft")}
    counted = dict.fromkeys(rows, 0)
    for stage, position, offset, length, start, blob in held:
        ids = np.frombuffer(blob, "<u2")[start : start + length]
        assert (rows[stage][position, offset : offset + length] == ids).all()
        counted[stage] += length
    for stage in rows:
        manifest = read_manifest(run / "shards" / stage)
        padding = sum(source.padding_tokens for source in manifest.sources)
        assert counted[stage] + padding == manifest.sequences * manifest.seq_len


def test_only_answers_bear_loss_where_the_stage_takes_the_mask(run: Path, small: Tokenizer) -> None:
    assert read_manifest(run / "shards" / "pre").columns.loss_mask  # for the media alone
    texts, answered = texts_of(run), 0
    for one in whole_documents(run, "sft"):
        if one.source == "chat":
            said = small.decode(one.ids[1:][one.loss[:-1]])
            turns = texts[one.doc_id].split("<|im_start|>assistant\n")[1:]
            assert said == "".join(turn.split("<|im_end|>\n")[0] + "<|im_end|>" for turn in turns)
            answered += 1
        elif one.source == "code":
            assert one.loss[:-1].all()
    assert answered > 20
    for one in whole_documents(run, "pre"):
        if one.source == "chat":
            assert one.loss[:-1].all()


@pytest.mark.parametrize("stage", ["pre", "sft"])
def test_media_stand_where_the_manifest_of_the_batch_says_and_bear_no_loss(
    run: Path, folder: Path, small: Tokenizer, stage: str
) -> None:
    image = small.control_tokens["<|image|>"]
    costs = {
        part["ref"]: part["tokens"]
        for line in (folder / "pictures.jsonl").read_text().splitlines()
        for part in json.loads(line)["content"]
        if "ref" in part
    }
    found = 0
    for batch in StageLoader(run / "shards" / stage):
        assert batch.media is not None
        for row, media in enumerate(batch.media):
            here = np.zeros(batch.tokens.shape[1], np.bool_)
            for one in media:
                here[one.offset : one.offset + one.length] = True
                assert one.length == costs[one.ref]
            assert ((batch.tokens[row] == image) == here).all()
            assert not (batch.loss_mask[row] & (batch.labels[row] == image)).any()
            found += len(media)
    assert found > 50


def test_files_of_one_repository_are_one_document_in_the_order_of_their_paths(
    run: Path, small: Tokenizer
) -> None:
    texts = texts_of(run)
    urls = {bytes(d): url for d, url in ask(run, "SELECT doc_id, url FROM raw.documents")}
    (members,) = [
        pq.read_table(path).to_pylist() for path in (run / "tables" / "members").glob("*/*")
    ]
    stored = {
        bytes(d): np.frombuffer(t, "<u2")
        for d, t in ask(run, "SELECT doc_id, tokens FROM raw.tokens WHERE source = 'repos'")
    }
    assert len(stored) < 60
    between = small.encode_texts(["\n# next\n"]).ids.tolist()
    by_document: dict[bytes, list[dict[str, Any]]] = {}
    for one in members:
        by_document.setdefault(one["doc_id"], []).append(one)
    for doc_id, parts in by_document.items():
        ids = stored[doc_id]
        assert len(ids) <= 240
        assert ids[-1] == small.eos_id
        paths = [urls[part["member_id"]] for part in parts]
        assert paths == sorted(paths)
        assert len({path.split("/")[4] for path in paths}) == 1
        for part in parts:
            held = ids[part["start"] : part["start"] + part["length"]]
            assert small.decode(held) == texts[part["member_id"]]
        for one, two in pairwise(parts):
            assert ids[one["start"] + one["length"] : two["start"]].tolist() == between


def encoded_at(run: Path) -> dict[str, int]:
    """When the tokenizer was called for each part."""
    files = [*(run / "tokens").glob("*/*"), *(run / "records" / "tokenise").glob("*/*")]
    return {str(path): path.stat().st_mtime_ns for path in files}


def write_teacher(run: Path, path: Path) -> dict[bytes, NDArray[np.float64]]:
    """Write what a made-up teacher says of the code, in another order; give its probabilities."""
    rng = np.random.default_rng(1)
    rows, held = [], {}
    for doc_id, n_tokens in ask(
        run, "SELECT doc_id, n_tokens FROM raw.tokens WHERE source = 'code'"
    ):
        probs = rng.random((n_tokens, K)) / K
        held[bytes(doc_id)] = probs
        ids = rng.integers(0, 500, n_tokens * K).tolist()
        rows.append({"doc_id": bytes(doc_id).hex(), "ids": ids, "probs": probs.ravel().tolist()})
    rng.shuffle(rows)
    pq.write_table(pa.Table.from_pylist(rows[: len(rows) * 3 // 4]), path, row_group_size=16)
    kept = {bytes.fromhex(row["doc_id"]) for row in rows[: len(rows) * 3 // 4]}
    return {doc_id: probs for doc_id, probs in held.items() if doc_id in kept}


def test_another_length_mixture_or_teacher_never_encodes_again(
    run: Path, folder: Path, cuvee: Cuvee
) -> None:
    before, said = encoded_at(run), write_teacher(run, folder / "teacher.parquet")
    changed = recipe()
    changed["sources"]["code"]["teacher"] = {"paths": ["teacher.parquet"], "k": K}
    changed["stages"][1] |= {"seq_len": 384, "teacher": True, "mixture": {"chat": 0.3, "code": 0.7}}
    build(cuvee, folder, changed, "--update")
    assert encoded_at(run) == before
    verify_stage(run / "shards" / "sft").raise_first()
    assert read_manifest(run / "shards" / "sft").columns.teacher_k == K
    probs = np.concatenate(
        [
            batch.teacher_probs
            for batch in StageLoader(run / "shards" / "sft")
            if batch.teacher_probs is not None
        ]
    )
    taught = 0
    for one in whole_documents(run, "sft"):
        held = probs[one.position, one.offset : one.offset + len(one.ids)]
        due = said.get(one.doc_id, np.zeros((len(one.ids), K)))
        assert np.allclose(held, due, atol=1e-3)
        taught += one.doc_id in said
    assert taught > 20
