"""How much work a rendering may be, told beforehand: small ones run in the event loop, all others in a thread."""

from collections.abc import Mapping

from jinja2 import nodes

from gateway.types import Json

#: Statements and expressions whose time grows with their number and the size of the variables, and no faster.
LIGHT = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr, nodes.Getitem, nodes.If,
    nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.Not, nodes.And, nodes.Or, nodes.Test, nodes.Filter, nodes.Keyword,
)  # fmt: skip
LIGHT_FILTERS = frozenset({
    "abs", "capitalize", "count", "d", "default", "first", "float", "int", "last", "length", "lower", "round", "string",
    "title", "tojson", "trim", "truncate", "upper",
})  # fmt: skip
#: Steps times characters that are rendered in the event loop; the slowest such template takes about 4 milliseconds.
MOST_INLINE = 20_000


def steps(tree: nodes.Template) -> int | None:
    """The number of expressions in a template; None when it has loops or other statements whose time cannot be told."""
    found = 0
    for node in tree.find_all(nodes.Node):
        if not isinstance(node, LIGHT) or (isinstance(node, nodes.Filter) and node.name not in LIGHT_FILTERS):
            return None
        found += not isinstance(node, nodes.TemplateData | nodes.Output)
    return found


def size(variables: Mapping[str, Json], most: int) -> int:
    """Characters and values in the variables, counted up to `most`; what is larger is just more than `most`."""
    counted, waiting = 0, list(variables.values())
    while waiting and counted <= most:
        item = waiting.pop()
        counted += 1
        if isinstance(item, str | bytes):
            counted += len(item)
        elif isinstance(item, dict):
            counted += sum(map(len, map(str, item)))
            waiting += item.values()
        elif isinstance(item, list | tuple):
            waiting += item
    return counted
