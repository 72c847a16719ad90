"""Records of texts and media in an order, as documents.

A *medium* is an image, a video or audio: a reference to where it lies, and its *cost*, the slots
of a sequence that the trainer will put its embeddings into. The document's text is that of its
texts alone, in their order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from cuvee.tokenize.spans import Span

KINDS: Final = ("image", "video", "audio")
MAX_TOKENS: Final = 2**31 - 1


@dataclass(frozen=True)
class MediaMaker:
    """Make documents of the values of the field `content`; it travels to worker processes."""

    def __call__(self, values: Sequence[object]) -> tuple[str, list[dict[str, Any]]] | str:
        """Return a document's text and spans, or the reason why there is none.

        `values` is the content: a list of {type: text, text} and {type, ref, tokens} with a `type`
        of image, video or audio, or that as JSON.
        """
        parts = values[0]
        if isinstance(parts, str):
            try:
                parts = orjson.loads(parts)
            except orjson.JSONDecodeError:
                return "not_media_content"
        if not isinstance(parts, list) or not parts:
            return "not_media_content"
        spans = [_span(part) for part in parts]
        known = [span for span in spans if span is not None]
        if len(known) < len(spans):
            return "not_media_content"
        text = "".join(part["text"] for part in parts if part["type"] == "text")
        return text, [span._asdict() for span in known]


def _span(part: object) -> Span | None:
    """Return the span of one item of the content; None where it is none."""
    if not isinstance(part, dict):
        return None
    kind, text, ref, cost = (part.get(key) for key in ("type", "text", "ref", "tokens"))
    if kind == "text" and isinstance(text, str):
        return Span(len(text.encode(errors="surrogatepass")))
    sound = isinstance(ref, str) and type(cost) is int and 1 <= cost <= MAX_TOKENS
    if kind in KINDS and sound:
        assert isinstance(ref, str)
        return Span(0, loss=False, media=str(kind), ref=ref, n_tokens=int(cost or 0))
    return None
