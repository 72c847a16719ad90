"""What rows have beside tokens: teachers and media, from the shard to the batch."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cuvee.configs.errors import CorruptShard
from cuvee.handoff import StageLoader, read_manifest, verify_stage
from cuvee.handoff.batches import MediaRef
from cuvee.handoff.shards import MEDIA_TYPE, Columns, row_bytes, shard_schema


def failed(directory: Path) -> dict[str, int]:
    return {c.name: c.problems for c in verify_stage(directory).checks if c.problems}


@pytest.mark.parametrize("world_size", [1, 3])
@pytest.mark.parametrize("vocabulary", [1000, 100_000])
def test_teachers_and_media_come_back_with_their_sequences(
    make_stage: Any, world_size: int, vocabulary: int
) -> None:
    stage = make_stage(teacher=3, media=True, vocabulary=vocabulary, steps=7)
    seen = []
    for rank in range(world_size):
        loader = StageLoader(stage.directory, rank=rank, world_size=world_size, micro_batch=2)
        for batch in loader:
            where = batch.positions
            assert batch.teacher_ids is not None
            assert batch.teacher_probs is not None
            assert batch.media is not None
            assert batch.teacher_ids.dtype == np.int64
            assert batch.teacher_probs.dtype == np.float16
            assert (batch.teacher_ids == stage.rows.teacher_ids[where]).all()
            assert (batch.teacher_probs == stage.rows.teacher_probs[where]).all()
            due = [stage.rows.media[position].as_py() or [] for position in where.tolist()]
            assert batch.media == [[MediaRef(**one) for one in row] for row in due]
            batch.teacher_probs[:] = 0  # the caller's own memory
            seen += where.tolist()
    assert sorted(seen) == list(range(len(stage.rows.positions)))


def test_a_stage_without_them_has_neither_column_nor_field(make_stage: Any) -> None:
    stage = make_stage()
    names = pq.read_schema(stage.directory / "000000.parquet").names
    assert not {"teacher_ids", "teacher_probs", "media_refs"} & set(names)
    batch = next(iter(StageLoader(stage.directory)))
    assert (batch.teacher_ids, batch.teacher_probs, batch.media) == (None, None, None)
    assert read_manifest(stage.directory).columns == Columns()


def test_the_columns_are_fixed_length_bytes_and_a_row_counts_them() -> None:
    schema = shard_schema(16, "uint32", Columns(True, 5, True))
    assert schema.field("teacher_ids").type == pa.binary(16 * 5 * 4)
    assert schema.field("teacher_probs").type == pa.binary(16 * 5 * 2)
    assert schema.field("media_refs").type == MEDIA_TYPE
    assert row_bytes(16, "uint32", 5) == 17 * 4 + 16 * 5 * 6


def test_a_manifest_that_says_other_columns_is_refused(make_stage: Any) -> None:
    stage = make_stage(teacher=2)
    stage.write_manifest(replace(stage.manifest, columns=Columns(False, 3, False)))
    with pytest.raises(CorruptShard, match=r"000000\.parquet"):
        list(StageLoader(stage.directory))


def media_at(offset: int, length: int) -> list[dict[str, object]]:
    return [{"offset": offset, "length": length, "kind": "image", "ref": "a"}]


@pytest.mark.parametrize(("offset", "length"), [(0, 0), (0, 33), (-1, 2), (31, 2)])
def test_media_that_are_not_in_one_segment_are_found(
    make_stage: Any, offset: int, length: int
) -> None:
    stage = make_stage(media=True, batch=4, steps=3)
    rows = [media_at(offset, length)] + [None] * 11
    stage.rewrite(replace(stage.rows, media=pa.array(rows, MEDIA_TYPE)))
    assert failed(stage.directory) == {"media": 1}


@pytest.mark.parametrize("wrong", [1.5, -0.5, float("nan")])
def test_probabilities_that_cannot_be_are_found(make_stage: Any, wrong: float) -> None:
    stage = make_stage(teacher=2, batch=4, steps=3)
    probs = stage.rows.teacher_probs.copy()
    probs[5, 0, 1] = wrong
    stage.rewrite(replace(stage.rows, teacher_probs=probs))
    assert failed(stage.directory) == {"teacher": 1}


def test_a_teachers_id_beyond_the_vocabulary_is_found(make_stage: Any) -> None:
    stage = make_stage(teacher=2, batch=4, steps=3)
    ids = stage.rows.teacher_ids.copy()
    ids[7, 3, 0] = 1000
    stage.rewrite(replace(stage.rows, teacher_ids=ids))
    assert failed(stage.directory) == {"teacher": 1}


def test_a_loss_mask_that_the_manifest_does_not_know_is_found(make_stage: Any) -> None:
    stage = make_stage(masked=True)
    stage.write_manifest(replace(stage.manifest, columns=Columns()))
    assert failed(stage.directory) == {"masks": 3}
