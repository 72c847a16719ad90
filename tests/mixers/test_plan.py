"""The columns of a stage's plan, against plain counting."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.mixers.plan import Stage, plan
from cuvee.mixers.quota import schedule
from cuvee.mixers.targets import constant
from cuvee.mixers.weights import integerise

WEIGHTS = integerise({"web": 0.7, "books": 0.0, "math": 0.2, "code": 0.1})


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20_000), st.integers(1, 64), st.integers(1, 16))
def test_every_column_is_what_counting_gives(tokens: int, seq_len: int, batch: int) -> None:
    stage = Stage("core", "core", tokens, seq_len, batch, constant(WEIGHTS, 1))
    columns = plan(stage)
    seen = [0, 0, 0, 0]
    for position, source in enumerate(schedule(constant(WEIGHTS, stage.sequences)).tolist()):
        assert columns.position[position] == position
        assert columns.step[position] == position // batch
        assert columns.slot[position] == position % batch
        assert columns.source[position] == source
        assert columns.ordinal[position] == seen[source]
        seen[source] += 1
    assert stage.counts.tolist() == seen
    assert {len(column) for column in columns} == {stage.steps * batch}


def test_columns_have_the_types_of_the_plan_table() -> None:
    columns = plan(Stage("core", "core", 4096, 16, 8, constant(WEIGHTS, 1)))
    assert [column.dtype for column in columns] == [
        np.dtype(name) for name in ("int64", "int32", "int32", "uint16", "int64")
    ]
