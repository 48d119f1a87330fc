"""Second stage: the live version of the feature's prompt, rendered; or the caller's own messages as they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway import json
from gateway.catalog import LiveVersion
from gateway.errors import InvalidRequest, PromptError
from gateway.identify import Identified
from gateway.prompts.address import address
from gateway.prompts.assign import pick
from gateway.prompts.renderer import Renderer
from gateway.prompts.versions import REFUSED_PARAMETERS
from gateway.types import OUTPUT_LIMITS, Json
from redaction.walk import texts


@dataclass(slots=True, kw_only=True)
class Prompt:
    """The request body with its messages; `address` and `variant` are empty where the caller brought its own.

    `filled` has the texts that a trusted template made, and the ranges in each that variables gave: the rest is known, and is
    not looked at for personal data. Drafts are tried out before anybody trusts them.
    """

    body: Mapping[str, Json]
    address: str = ""
    variant: str = ""
    filled: Mapping[str, Sequence[tuple[int, int]]] = field(default_factory=dict)


async def render(call: Identified, renderer: Renderer) -> Prompt:
    """The body that is asked of a provider.

    With `variables`, the version that is live for this tenant, user or session is rendered, and messages of the
    caller follow; parameters of the version yield to those of the call. Raises PromptError when there is no live
    version or it does not render, InvalidRequest when there is nothing to send.
    """
    ask, body = call.ask, call.ask.body
    if ask.operation == "embeddings":
        if not body.get("input"):
            raise InvalidRequest("`input` must be a text, a list of texts, or token ids.", param="input")
        return Prompt(body=body)
    messages = body.get("messages")
    if messages is not None and not (isinstance(messages, list) and {dict}.issuperset(map(type, messages))):
        raise InvalidRequest("`messages` must be a list of objects with `role` and `content`.", param="messages")
    if not isinstance(body.get("stream_options") or {}, dict):
        raise InvalidRequest("`stream_options` must be an object.", param="stream_options")
    if ask.variables is None:
        if not messages:
            raise InvalidRequest(
                "Send `messages`, or `variables` to render the feature's live prompt.", param="messages"
            )
        return Prompt(body=body)
    version = _chosen(call)
    rendered = await renderer.render(call.feature.slug, version.template, ask.variables)
    given = {name: version.content[name] for name in ("tools", "response_format") if version.content.get(name)}
    body = {
        **_parameters(version, call.max_output_tokens),
        **given,
        **body,
        "messages": [*rendered.messages, *(messages or ())],
    }
    check(body)
    filled = {} if ask.trial else {**_own_texts(version, ask.body), **rendered.filled}
    return Prompt(body=body, address=version.address, variant=version.name, filled=filled)


def _own_texts(version: LiveVersion, asked: Mapping[str, Json]) -> dict[str, Sequence[tuple[int, int]]]:
    """The texts in a version's tools and reply's form, as templates that variables gave nothing of; not those of the call."""
    own = [version.content.get(name) for name in ("tools", "response_format") if name not in asked]
    return dict.fromkeys(texts(own), ()) if any(own) else {}


def check(body: Mapping[str, Json]) -> None:
    """Raises InvalidRequest for a body that is no JSON: one of a caller in the process, or with values of theirs."""
    try:
        json.check(dict(body))
    except ValueError as error:
        raise InvalidRequest(f"The call cannot be written as JSON: {error}.") from None


def _chosen(call: Identified) -> LiveVersion:
    ask = call.ask
    if ask.trial:
        content = ask.trial.content
        return LiveVersion(address=address(content), name=ask.caller.source, weight=1, content=content)
    if not call.feature.live:
        raise PromptError(
            f"The feature {call.feature.slug} has no live prompt to render; deploy one, or send messages.",
            param="variables",
        )
    unit = ask.caller.unit or str(ask.call_id)
    return pick(call.feature.live, feature=call.feature.slug, unit=unit)


def _parameters(version: LiveVersion, most: int) -> dict[str, Json]:
    """What the version asks of the provider, as far as the hold covers it: replies of at most so many tokens, and one."""
    parameters = {
        name: value
        for name, value in (version.content.get("parameters") or {}).items()
        if name not in REFUSED_PARAMETERS
    }
    for name in OUTPUT_LIMITS:
        if name in parameters:
            parameters[name] = min(parameters[name], most) if isinstance(parameters[name], int) else most
    return parameters
