import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.filters.line_keys import lines_of
from cuvee.filters.shingles import shingle_hashes

TEXT = st.text("aB1é漢 .-\t\u00a0\u2003\n", max_size=60)


def plain_words(line: str) -> tuple[int, ...]:
    return tuple(shingle_hashes(pa.array([line], pa.large_string()), 1)[1].tolist())


@pytest.mark.parametrize("exact", [False, True])
@given(texts=st.lists(TEXT, max_size=4))
@settings(max_examples=100, deadline=None)
def test_lines_and_their_keys_are_those_of_the_plain_split(texts: list[str], exact: bool) -> None:
    expected, forms = [], []
    for doc, text in enumerate(texts):
        at, size = 0, len(text.encode())
        for line in text.split("\n"):
            end = at + len(line.encode())
            words = plain_words(line)
            if words:
                last = end == size
                span = (max(at - 1, 0), end) if last else (at, end + 1)
                expected.append((doc, *span, len(words)))
                forms.append(" ".join(line.split()) if exact else words)
            at = end + 1
    array = pa.array(["before", *texts], pa.large_string())[1:]
    lines = lines_of(array, exact)
    columns = (lines.doc, lines.start, lines.end, lines.words)
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == expected
    keys = lines.key.tolist()
    for form, key in zip(forms, keys, strict=True):
        same = [n for n, other in enumerate(forms) if other == form]
        assert same == [n for n, other in enumerate(keys) if other == key]


def test_case_digits_and_marks_are_folded_only_in_folded_keys() -> None:
    texts = pa.array(["Page 12, of 7\npage 3 of 45!"], pa.large_string())
    assert len(set(lines_of(texts, exact=False).key.tolist())) == 1
    assert len(set(lines_of(texts, exact=True).key.tolist())) == 2
