"""New versions of prompts: their content checked and completed, and written once under its address."""

from collections.abc import Mapping

from gateway.errors import PromptError
from gateway.models import Deployment, Feature, Prompt, PromptVersion
from gateway.prompts.address import address
from gateway.prompts.template import Template
from gateway.types import OUTPUT_LIMITS, Json

#: What an author writes; `variables` is found in the messages.
PARTS = ("messages", "tools", "response_format", "parameters")
#: Levels of lists and tables within one another; JSON encoders refuse some more than these.
MOST_LEVELS = 100
#: Fields of a request that the gate decides on, or that would make a call dearer than what was held for it.
REFUSED_PARAMETERS = frozenset(
    {"messages", "tools", "response_format", "model", "stream", "stream_options", "n", "input", "variables"}
)


def content_of(parts: Mapping[str, Json]) -> dict[str, Json]:
    """The content of a version with these parts. Raises PromptError, saying what cannot be."""
    content = {name: parts[name] for name in PARTS if name in parts}
    parameters = content.get("parameters", {})
    if not isinstance(parameters, dict):
        raise PromptError("A prompt's parameters are a table such as {temperature = 0.2}.", param="parameters")
    if refused := REFUSED_PARAMETERS & set(parameters):
        raise PromptError(f"A prompt cannot set {', '.join(sorted(refused))}.", param="parameters")
    for name in OUTPUT_LIMITS:
        limit = parameters.get(name, 1)
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            raise PromptError(f"{name} must be a whole number from 1, not {limit!r}.", param="parameters")
    if not isinstance(content.get("tools", []), list) or not isinstance(content.get("response_format", {}), dict):
        raise PromptError("A prompt's tools are a list of tables, and its response_format is a table.", param="tools")
    if not content.get("messages"):
        raise PromptError("A prompt needs at least one message.", param="messages")
    try:
        _check(content, MOST_LEVELS)
        content["variables"] = sorted(Template(content["messages"]).variables)
        address(content)
    except ValueError as error:
        raise PromptError(f"The content cannot be stored: {error}") from None
    return content


def _check(value: Json, levels: int) -> None:
    if not levels:
        raise ValueError(f"it is nested in more than {MOST_LEVELS} levels")
    if isinstance(value, str) and "\0" in value:
        raise ValueError("PostgreSQL stores no text with the character U+0000")
    inner = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in inner:
        _check(item, levels - 1)


def write(feature: Feature, content: Mapping[str, Json], *, origin: str, actor: str) -> tuple[PromptVersion, bool]:
    """The version with this content, and whether it is new. The content is one of `content_of`."""
    prompt, _ = Prompt.objects.get_or_create(feature=feature)
    Deployment.objects.get_or_create(prompt=prompt)
    return PromptVersion.objects.get_or_create(
        prompt=prompt, address=address(content), defaults={"content": content, "origin": origin, "created_by": actor}
    )
