"""Render conversations by a Jinja chat template, and find what bears loss in them.

A *template* is what models publish as `chat_template`: it sees `messages`, `tools`, `eos_token`,
`bos_token` and `add_generation_prompt`. What a template says itself is its *own*: a spelling there
like <|im_start|> means the control token. The same spelling inside a message is text and stays so:
brackets of messages are put in as *private* characters of plane 15, which no template looks for,
and turned back when what is the template's own is known. So a template that looks for a bracket in
messages does not find it, unless it belongs to a spelling that is allowed.

Which text bears loss is what a {% generation %} block of the template holds. Without such blocks it
is found by rendering the conversation up to each message: what comes behind the prompt for it.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

import orjson
from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from cuvee.tokenize.spans import Span

CHATML: Final = """\
{%- if tools %}{{ '<|im_start|>system\\n# Tools\\n' }}\
{%- for tool in tools %}{{ tool | tojson }}{{ '\\n' }}{%- endfor %}{{ '<|im_end|>\\n' }}\
{%- endif %}\
{%- for message in messages %}{{ '<|im_start|>' + message.role + '\\n' }}\
{%- if message.role == 'assistant' %}{% generation %}{{ message.content or '' }}\
{%- for call in message.tool_calls or [] %}\
{{ '\\n<tool_call>\\n' }}{{ (call.function or call) | tojson }}{{ '\\n</tool_call>' }}\
{%- endfor %}{{ '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}\
{%- else %}{{ message.content or '' }}{{ '<|im_end|>\\n' }}\
{%- endif %}\
{%- endfor %}\
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}\
{%- endif %}"""

_PLANE: Final = 0xF0000
_PRIVATE: Final = {letter: chr(_PLANE + ord(letter)) for letter in "<>[]"}
_OPEN, _CLOSE = "\U000f0001", "\U000f0002"  # around what a generation block gives
_RESERVED: Final = (*_PRIVATE.values(), _OPEN, _CLOSE)
# Spellings that may be a control token's: of what is in use, all have brackets around them.
_SPELLING: Final = re.compile(
    "<[^<>\\s\U000f0000-\U000fffff]{1,64}>|\\[[^\\[\\]\\s\U000f0000-\U000fffff]{1,64}\\]"
)
_ROLE: Final = re.compile(r"[\w .-]{1,64}")  # templates write it between brackets of their own
_FAULTS: Final = (TemplateError, TypeError, ValueError, LookupError, AttributeError)
_FAULTS_OF_SIZE: Final = (ArithmeticError, RecursionError)

Rendered = tuple[str, list[tuple[int, int]] | None]  # a text, and where it bears loss, if known
Render = Callable[[int | None, bool], str]  # messages up to a number, with the next one's prompt


class _PrivateError(Exception):
    """A message has one of the characters that stand for brackets or blocks here."""


@dataclass(frozen=True)
class ChatMaker:
    """Make documents of (messages, tools); it travels to worker processes.

    template: its source. mask: roles that bear loss. allow: spellings that messages may use as
    control tokens. bos, eos: what `bos_token` and `eos_token` are.
    """

    template: str = CHATML
    mask: tuple[str, ...] = ("assistant",)
    allow: tuple[str, ...] = ()
    bos: str = ""
    eos: str = ""

    def __call__(self, values: Sequence[object]) -> tuple[str, list[dict[str, Any]]] | str:
        """Return a conversation's text and spans, or the reason why there is none.

        31 thousand messages and 25 MB of text a second on one core (300 letters a message).

        `values` are the messages, a list of {role, content, ...} or that as JSON, and where the
        source names a field for them the tools. Reasons: `not_messages`, `private_characters`
        (those that stand for brackets here), `template_error`, `no_loss_mask` where a template
        without generation blocks renders a message otherwise when others follow it.
        """
        messages, tools = _parsed(values[0]), _parsed(values[1]) if len(values) > 1 else None
        if not _are_messages(messages):
            return "not_messages"
        try:
            rendered = self._rendered(_hidden(messages, self.allow), _hidden(tools, self.allow))
            text = _shown(rendered[0])
            text.encode()
        except _PrivateError:
            return "private_characters"
        except UnicodeEncodeError:
            return "invalid_unicode"
        except (*_FAULTS, *_FAULTS_OF_SIZE):
            return "template_error"
        if rendered[1] is None:
            return "no_loss_mask"
        return text, [span._asdict() for span in _spans(rendered[0], rendered[1])]

    def _rendered(self, messages: Any, tools: Any) -> Rendered:
        """Render a conversation; its brackets are private, no marks of generation are left."""
        template = compiled(self.template)
        known = {"tools": tools, "bos_token": self.bos, "eos_token": self.eos, "documents": None}

        def render(count: int | None, prompt: bool) -> str:
            given = messages if count is None else messages[:count]
            return template.render(messages=given, add_generation_prompt=prompt, **known)

        text = render(None, False)
        if not self.mask:
            plain = _unmarked(text)[0]
            return plain, [(0, len(plain))]
        if _OPEN in text or "generation" in _tags(self.template):
            return _unmarked(text)
        return text, _found(text, [message["role"] for message in messages], self.mask, render)


def _parsed(value: object) -> Any:
    """Return a value, read first where it is JSON; what cannot be read is None."""
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return None


def _are_messages(value: Any) -> bool:
    """Say whether a value is a conversation: messages with a role, at least one."""
    if not isinstance(value, list) or not value:
        return False
    return all(
        isinstance(one, dict)
        and isinstance(one.get("role"), str)
        and _ROLE.fullmatch(one["role"]) is not None
        for one in value
    )


def _hidden(value: Any, allow: Sequence[str]) -> Any:
    """Return a value with the brackets of its texts private, and without keys that hold null.

    Roles are the template's own: templates write them between brackets. A Parquet file has a null
    for every key that any of its messages has.
    """
    if isinstance(value, str):
        return _hide(value, allow)
    if isinstance(value, list):
        return [_hidden(one, allow) for one in value]
    if isinstance(value, dict):
        return {
            key: one if key == "role" and isinstance(one, str) else _hidden(one, allow)
            for key, one in value.items()
            if one is not None
        }
    return value


def _hide(text: str, allow: Sequence[str]) -> str:
    """Return a text with its brackets private, but for those of spellings that are allowed."""
    if any(mark in text for mark in _RESERVED):
        raise _PrivateError
    if allow:
        parts = re.split("(" + "|".join(map(re.escape, allow)) + ")", text)
        return "".join(one if odd % 2 else _hide(one, ()) for odd, one in enumerate(parts))
    for letter, mark in _PRIVATE.items():
        text = text.replace(letter, mark)
    return text


def _shown(text: str) -> str:
    """Return a text with its private brackets turned back."""
    for letter, mark in _PRIVATE.items():
        text = text.replace(mark, letter)
    return text


def _unmarked(text: str) -> Rendered:
    """Take the marks of generation blocks out of a text and return where they were."""
    parts = re.split(f"([{_OPEN}{_CLOSE}])", text)
    at, start, found = 0, 0, list[tuple[int, int]]()
    for part in parts:
        if part == _OPEN:
            start = at
        elif part == _CLOSE:
            found.append((start, at))
        else:
            at += len(part)
    return "".join(parts[::2]), found


def _found(
    text: str, roles: Sequence[str], mask: Sequence[str], render: Render
) -> list[tuple[int, int]] | None:
    """Find the messages of some roles in the whole text; None where they are not in it.

    A message is what is rendered with it and not without, behind the prompt for an answer where it
    is one; white space behind its end of turn is no part of it.
    """
    found = list[tuple[int, int]]()
    for number, role in enumerate(roles):
        if role not in mask:
            continue
        before = render(number, role == "assistant") if number else ""
        until = text if number + 1 == len(roles) else render(number + 1, False)
        if not (until.startswith(before) and text.startswith(until)):
            return None
        found.append((len(before), _end_of_turn(until, len(before))))
    return found


def _end_of_turn(text: str, start: int) -> int:
    """Return the end of a turn that goes to the end of a text."""
    end = len(text.rstrip())
    closed = [match.end() for match in _SPELLING.finditer(text, start)]
    return end if closed and closed[-1] == end and end > start else len(text)


def _spans(text: str, loss: Sequence[tuple[int, int]]) -> Iterator[Span]:
    """Cut a text with private brackets into spans: spellings of its own, loss, and the rest."""
    own = [match.span() for match in _SPELLING.finditer(text)]
    ends = {0, len(text), *(at for pair in [*own, *loss] for at in pair)}
    begins, spelled, bears = sorted(ends), {start for start, _ in own}, iter(loss)
    start, end = next(bears, (len(text), len(text)))
    for low, high in pairwise(begins):
        while low >= end and end < len(text):
            start, end = next(bears, (len(text), len(text)))
        n_bytes = len(_shown(text[low:high]).encode())
        yield Span(n_bytes, control=low in spelled, loss=start <= low < end)


class _Generation(Extension):
    """The block {% generation %}: what the model is to say, as `transformers` knows it."""

    tags = frozenset({"generation"})  # type: ignore[assignment] # Jinja reads it only

    def parse(self, parser: Parser) -> nodes.Node:
        """Put the marks around what the block gives."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_marked"), [], [], body).set_lineno(line)

    def _marked(self, caller: Callable[[], str]) -> str:
        return f"{_OPEN}{caller()}{_CLOSE}"


def _raise_exception(message: str) -> None:
    """Refuse a conversation; templates call it."""
    raise TemplateError(message)


def _to_json(value: Any, indent: int | None = None, **_: Any) -> str:
    """Write a value as JSON with all its letters; Jinja's own filter escapes for HTML."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


@lru_cache(maxsize=16)
def compiled(template: str) -> Template:
    """Compile a template, in Jinja's sandbox; TemplateError where it is none.

    It knows no time: a template that asks for the day fails, since documents have none.
    """
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_Generation, "jinja2.ext.loopcontrols"],
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    return environment.from_string(template)


@lru_cache(maxsize=16)
def _tags(template: str) -> frozenset[str]:
    """Return the names of a template's tags."""
    return frozenset(re.findall(r"\{%[-+]?\s*(\w+)", template))
