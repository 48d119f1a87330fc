"""Templates of prompts: Jinja2 in its immutable sandbox, with strict variables, bounded in time and size."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, wraps
from json import JSONEncoder
from traceback import walk_tb
from typing import Any

import orjson
from jinja2 import StrictUndefined, TemplateError, Undefined, meta, nodes
from jinja2.exceptions import SecurityError, TemplateSyntaxError
from jinja2.filters import do_round
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from gateway.errors import PromptError
from gateway.prompts import effort
from gateway.prompts.meter import MOST_CHARACTERS, meter
from gateway.types import Json

#: What one template may hold: characters of its texts, and expressions (which take far longer to compile).
MOST_TEXT = 200_000
MOST_EXPRESSIONS = 5_000
#: Filters that cannot blow a text up; `join`, `replace`, `round` and `tojson` have bounds of their own.
FILTERS = frozenset({
    "abs", "capitalize", "count", "d", "default", "dictsort", "first", "float", "groupby", "int", "items", "last", "length",
    "list", "lower", "map", "max", "min", "reject", "rejectattr", "reverse", "select", "selectattr", "sort",
    "string", "title", "trim", "truncate", "unique", "upper", "wordcount",
})  # fmt: skip
#: Methods and operators that could, in one step, before the size is counted.
EXPLOSIVE_METHODS = frozenset(
    {"center", "ljust", "rjust", "zfill", "expandtabs", "format", "format_map", "join", "replace", "translate"}
)
EXPLOSIVE_OPERATORS = frozenset({"*", "**", "%", "+"})
#: Statements that a prompt does not need, and with which a few lines could grow a text without end.
REFUSED = {nodes.Macro: "macro", nodes.CallBlock: "call", nodes.Concat: "~", nodes.Include: "include", nodes.Import: "import",
           nodes.FromImport: "import", nodes.Extends: "extends", nodes.Block: "block"}  # fmt: skip
#: What Python makes of a template that asks for what cannot be: nesting too deep, numbers too long, a variable of another type.
FAULTS = (ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, NameError, RuntimeError, SyntaxError,
          TypeError, ValueError)  # fmt: skip
#: Statements whose output is the template's own text, or what an expression came to. Others write what they made of both.
PLAIN = {nodes.Output, nodes.For, nodes.If, nodes.Assign, nodes.AssignBlock, nodes.With}


class _Sandbox(ImmutableSandboxedEnvironment):
    """The sandbox, with a clock: every operation of a template passes one of these hooks."""

    intercepted_binops = EXPLOSIVE_OPERATORS

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        meter.tick()
        if not (isinstance(left, int | float) and isinstance(right, int | float)):
            raise SecurityError(f"{operator} is for numbers only in a prompt")
        if operator == "**":
            raise SecurityError("** is not allowed in a prompt")
        result = super().call_binop(context, operator, left, right)
        if isinstance(result, int) and result.bit_length() > 1024:
            raise SecurityError("numbers of more than 1024 bits are not allowed in a prompt")
        return result

    def call(self, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        meter.tick()
        return _bounded(super().call(context, obj, *args, **kwargs))

    def getattr(self, obj: Any, attribute: str) -> Any:
        meter.tick()
        if _explosive(obj, attribute):
            return self.unsafe_undefined(obj, attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        meter.tick()
        if _explosive(obj, argument):
            return self.unsafe_undefined(obj, str(argument))
        return super().getitem(obj, argument)

    @staticmethod
    def concat(parts: Iterable[str]) -> str:
        """The text of a block that is kept for later, as of `{% set a %}`."""
        parts = list(parts)
        if sum(map(len, parts)) > MOST_CHARACTERS:
            raise SecurityError(f"a block is longer than {MOST_CHARACTERS:,} characters")
        return "".join(parts)

    def each(self, values: Iterable[Any]) -> Iterator[Any]:
        """The values of a loop, with a look at the clock before each: an empty body passes no other hook."""
        for value in values:
            meter.tick()
            yield value

    def guarded(self, apply: Callable[..., Any]) -> Callable[..., Any]:
        """A filter, with the clock before it and the bound of sizes behind it."""

        @wraps(apply)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            meter.tick()
            return _bounded(apply(*args, **kwargs))

        return guarded


def _explosive(obj: Any, name: Any) -> bool:
    # The sandbox lets `format` pass in a form of its own, which pads as far as it is told to. Numbers and bytes have
    # methods that pad too (`to_bytes`, `zfill`), and none that a prompt needs.
    return isinstance(name, str) and (
        name in EXPLOSIVE_METHODS if isinstance(obj, str) else isinstance(obj, int | float | bytes)
    )


class _Guards(NodeTransformer):
    """Puts the clock into loops, and the bound of sizes around lists and objects that the template writes."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        node.iter = _filtered(node.iter, "_each")
        return node

    def visit_List(self, node: nodes.List) -> nodes.Node:
        self.generic_visit(node)
        return _filtered(node, "_bounded")

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:
        self.generic_visit(node)
        return _filtered(node, "_bounded")

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:
        self.generic_visit(node)
        return _filtered(node, "_bounded") if node.ctx == "load" else node


def _filtered(node: Any, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def _environment() -> _Sandbox:
    # Prompts are no HTML: escaping would change what the model reads.
    environment = _Sandbox(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    filters = {name: f for name, f in environment.filters.items() if name in FILTERS | {"tojson"}}
    filters |= {"join": _join, "replace": _replace, "round": _round}
    environment.filters = {name: environment.guarded(f) for name, f in filters.items()}
    environment.filters |= {"_each": environment.each, "_bounded": _bounded}
    environment.policies["json.dumps_function"] = _dumps
    # Called for what expressions come to, and not for the template's own text.
    environment.finalize = _filled
    environment.globals.clear()
    environment.globals["range"] = _range
    return environment


def _range(*bounds: int) -> range:
    found = range(*bounds)
    if len(found) > 1000:
        raise SecurityError("a range of more than 1000 steps is not allowed in a prompt")
    return found


def _join(values: Any, separator: str = "") -> str:
    texts, size = [], 0
    for value in values:
        texts.append(str(value))
        size += len(texts[-1]) + len(separator)
        if size > MOST_CHARACTERS:
            raise SecurityError(f"join makes a text longer than {MOST_CHARACTERS:,} characters")
    return separator.join(texts)


def _replace(text: str, old: str, new: str) -> str:
    text, old, new = str(text), str(old), str(new)
    if len(text) + text.count(old) * len(new) > MOST_CHARACTERS:
        raise SecurityError(f"replace makes a text longer than {MOST_CHARACTERS:,} characters")
    return text.replace(old, new)


def _round(value: float, precision: int = 0, method: Any = "common") -> float:
    if not -20 <= precision <= 20:
        raise SecurityError("round to at most 20 digits in a prompt")
    return do_round(value, precision, method)


def _dumps(value: Any, *, indent: int | None = None, **options: Any) -> str:
    if indent is not None and not 0 <= indent <= 8:
        raise SecurityError("tojson indents by at most 8 in a prompt")
    texts, size = [], 0
    for text in JSONEncoder(indent=indent, **options).iterencode(value):
        texts.append(text)
        size += len(text)
        if size > MOST_CHARACTERS:
            raise SecurityError(f"tojson makes a text longer than {MOST_CHARACTERS:,} characters")
    return "".join(texts)


def _bounded(value: Any) -> Any:
    """The value, as long as it could be written out: lists may hold one another many times over, and so grow without end."""
    left, waiting = MOST_CHARACTERS, [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str | bytes | list | tuple | dict):
            left -= len(item)
        left -= 1
        if left < 0:
            raise SecurityError(f"a value of more than {MOST_CHARACTERS:,} characters is not allowed in a prompt")
        if isinstance(item, dict):
            waiting += [*item, *item.values()]
        elif isinstance(item, list | tuple):
            waiting += item
    return value


class _Filled(str):
    """What an expression of a template came to, as opposed to the template's own text."""

    __slots__ = ()

    def __str__(self) -> str:
        return self


def _filled(value: Any) -> _Filled:
    if callable(value) and not isinstance(value, Undefined):
        raise SecurityError("a function is no text; call it, with (), or name what it belongs to")
    text = _Filled(value)
    meter.wrote(len(text))
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """Rendered messages. `filled` has each of their texts, and the ranges in it that variables gave."""

    messages: list[dict[str, Json]]
    filled: Mapping[str, tuple[tuple[int, int], ...]]


class Template:
    """The messages of a prompt version, compiled. Raises PromptError for a text that is no template."""

    def __init__(self, messages: Sequence[Mapping[str, Json]]) -> None:
        if not isinstance(messages, list) or not all(isinstance(m, dict) and m.get("role") for m in messages):
            raise PromptError('A prompt\'s messages are a list like [{role = "system", content = "…"}].')
        self._environment = _environment()
        self._characters = 0
        self._expressions = 0
        self._steps: int | None = 0
        names: set[str] = set()
        self._messages = []
        for number, message in enumerate(messages):
            try:
                self._messages.append(self._compile(message, names))
            except PromptError as error:
                told = error.message if len(messages) == 1 else f"Message {number + 1}: {error.message}"
                raise PromptError(told, param=f"messages.{number}.content") from None
        self.variables = frozenset(names)

    def _compile(self, value: Json, names: set[str]) -> Callable[[Mapping[str, Json], "_Budget"], Json]:
        """A function that renders the value: texts are templates, lists and objects hold further values."""
        if isinstance(value, str):
            return self._compile_text(value, names)
        if isinstance(value, dict):
            parts = {key: self._compile(item, names) for key, item in value.items()}
            return lambda variables, budget: {key: part(variables, budget) for key, part in parts.items()}
        if isinstance(value, list):
            items = [self._compile(item, names) for item in value]
            return lambda variables, budget: [item(variables, budget) for item in items]
        return lambda variables, budget: value

    def _compile_text(self, text: str, names: set[str]) -> Callable[[Mapping[str, Json], "_Budget"], str]:
        self._characters += len(text)
        if self._characters > MOST_TEXT:
            raise PromptError(f"The prompt has more than {MOST_TEXT:,} characters; pass long texts in as variables.")
        try:
            tree: nodes.Template = self._environment.parse(text)
            self._count(tree)
            for kind, word in REFUSED.items():
                if tree.find(kind):
                    raise PromptError(f"A prompt cannot use `{word}`; write the text out, or pass it in as a variable.")
            names |= meta.find_undeclared_variables(tree) - set(self._environment.globals)
            template = self._environment.from_string(_Guards().visit(tree))
        except TemplateError as error:
            where = ""
            if isinstance(error, TemplateSyntaxError) and "\n" in text:
                where = f" (line {error.lineno} of the text)"
            raise PromptError(f"The prompt is no valid template: {error.message}{where}") from None
        except FAULTS as error:
            raise PromptError(f"The prompt is no valid template: {type(error).__name__}, simplify it.") from None
        plain = all(type(node) in PLAIN for node in tree.find_all(nodes.Stmt))
        return lambda variables, budget: budget.collect(template.generate(variables), plain=plain)

    def _count(self, tree: nodes.Template) -> None:
        self._expressions += sum(1 for _ in tree.find_all(nodes.Expr))
        if self._expressions > MOST_EXPRESSIONS:
            raise PromptError(f"The prompt has more than {MOST_EXPRESSIONS:,} expressions; simplify it.")
        more = effort.steps(tree)
        self._steps = None if self._steps is None or more is None else self._steps + more

    def is_small(self, variables: Mapping[str, Json]) -> bool:
        """Whether a rendering with these variables takes so little time that it may run in an event loop."""
        if self._steps is None:
            return False
        most = effort.MOST_INLINE // max(1, self._steps)
        return effort.size(variables, most) <= most

    def misfits(self, variables: Iterable[str]) -> list[str]:
        """What is wrong with the names of variables: those missing, and those that the prompt does not use."""
        given = set(variables)
        found = []
        if missing := self.variables - given:
            found.append(f"The prompt needs {_listed(missing)}; given were {_listed(given)}.")
        if unused := given - self.variables:
            found.append(f"The prompt does not use {_listed(unused)}; it uses {_listed(self.variables)}.")
        return found

    def render(self, variables: Mapping[str, Json]) -> list[dict[str, Json]]:
        """The messages of `fill`."""
        return self.fill(variables).messages

    def fill(self, variables: Mapping[str, Json], *, yielding: bool = False) -> Rendered:
        """The messages with the variables in place, and where. Variables are data: nothing in them is evaluated.

        `yielding` makes way for other threads every millisecond, which costs it about a tenth of its speed.

        Raises PromptError for a missing or an unused variable (a misspelt one would be lost in silence otherwise), and
        for a rendering that takes too long or becomes too large.
        """
        if misfits := self.misfits(variables):
            raise PromptError(" ".join(misfits), param="variables")
        meter.start(yielding=yielding)
        budget = _Budget()
        try:
            messages = [message(variables, budget) for message in self._messages]
            return Rendered(messages=messages, filled=budget.filled)
        except TemplateError as error:
            raise _unrendered(error, str(error)) from None
        except FAULTS as error:
            # Without its text, which may hold what a variable holds.
            raise _unrendered(error, f"{type(error).__name__}.") from None


def _unrendered(error: Exception, why: str) -> PromptError:
    # The engine puts the lines of a template into the traceback, under this name.
    lines = [line for frame, line in walk_tb(error.__traceback__) if frame.f_code.co_filename == "<template>"]
    where = f" (line {lines[-1]} of the text)" if lines and lines[-1] > 1 else ""
    return PromptError(f"The prompt could not be rendered: {why}{where}", param="variables")


class _Budget:
    """Counts the characters of one rendering, and notes which of them the template's text did not bring."""

    def __init__(self) -> None:
        self._left = MOST_CHARACTERS
        self.filled: dict[str, tuple[tuple[int, int], ...]] = {}

    def collect(self, pieces: Any, *, plain: bool) -> str:
        """The text of the pieces; where it is not `plain`, nobody can tell which of them are the template's."""
        parts, filled, start = [], [], 0
        for piece in pieces:
            end = start + len(piece)
            self._left -= len(piece)
            if self._left < 0:
                raise SecurityError(f"the rendered prompt is longer than {MOST_CHARACTERS:,} characters")
            parts.append(piece)
            if isinstance(piece, _Filled) or not plain:
                filled.append((start, end))
            start = end
        text = "".join(parts)
        # Two templates may come to the same text in different ways.
        self.filled[text] = (*self.filled.get(text, ()), *filled)
        return text


def _listed(names: Any) -> str:
    return ", ".join(sorted(names)) or "none"


@lru_cache(maxsize=1000)
def _compiled(address: str, messages: bytes) -> Template:
    return Template(orjson.loads(messages))


def compiled(address: str, messages: Sequence[Mapping[str, Json]]) -> Template:
    """The template of a version, compiled once for each address in a process. Raises PromptError."""
    return _compiled(address, orjson.dumps(messages))
