"""The keys of a source about its records."""

from typing import Any

import pytest
from pydantic import ValidationError

from cuvee.configs.sources import Source

FILES: dict[str, Any] = {"format": "jsonl", "paths": ["a.jsonl"]}


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"chat": {}, "media": {}}, "got chat and media"),
        ({"fim": {}, "join": {"pattern": "a"}}, "got fim and join"),
        ({"join": {"pattern": "(a)(b)"}}, "2 groups"),
        ({"join": {"pattern": "("}}, "no pattern"),
        ({"join": {"pattern": "a", "by": "text"}}, "'path' or 'url'"),
        ({"teacher": {"paths": []}}, "at least 1"),
        ({"teacher": {"paths": ["a"], "k": 0}}, "greater than 0"),
        ({"fim": {"share": 2}}, "less than or equal to 1"),
        ({"chat": {}, "format": "text"}, "is one text"),
    ],
)
def test_what_cannot_be_done_to_records_is_refused(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Source.model_validate(FILES | keys)


def test_counts_of_records_take_units() -> None:
    join = {"pattern": "a", "max_tokens": "1Mi"}
    source = Source.model_validate(FILES | {"join": join, "teacher": {"paths": ["t"], "k": 8}})
    assert source.join is not None
    assert source.join.max_tokens == 2**20
