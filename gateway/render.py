"""Second stage: the live version of the feature's prompt, rendered; or the caller's own messages as they are."""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway import json
from gateway.errors import InvalidRequest, PromptError
from gateway.identify import Identified
from gateway.prompts.assign import pick
from gateway.types import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """The request body with its messages; `address` and `variant` are empty where the caller brought its own.

    Raises InvalidRequest for a body that is no JSON, which only callers in the process can bring.
    """

    body: Mapping[str, Json]
    address: str = ""
    variant: str = ""

    def __post_init__(self) -> None:
        try:
            json.check(dict(self.body))
        except ValueError as error:
            raise InvalidRequest(f"The call cannot be written as JSON: {error}.") from None


def render(call: Identified) -> Prompt:
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
    if messages is not None and not (isinstance(messages, list) and all(isinstance(m, dict) for m in messages)):
        raise InvalidRequest("`messages` must be a list of objects with `role` and `content`.", param="messages")
    if not isinstance(body.get("stream_options") or {}, dict):
        raise InvalidRequest("`stream_options` must be an object.", param="stream_options")
    if ask.variables is None:
        if not messages:
            raise InvalidRequest(
                "Send `messages`, or `variables` to render the feature's live prompt.", param="messages"
            )
        return Prompt(body=body)
    if not call.feature.live:
        raise PromptError(
            f"The feature {call.feature.slug} has no live prompt to render; deploy one, or send messages.",
            param="variables",
        )
    unit = ask.caller.unit or str(ask.call_id)
    version = pick(call.feature.live, feature=call.feature.slug, unit=unit)
    rendered = version.template.render(ask.variables)
    given = {name: version.content[name] for name in ("tools", "response_format") if version.content.get(name)}
    return Prompt(
        body={**(version.content.get("parameters") or {}), **given, **body, "messages": [*rendered, *(messages or ())]},
        address=version.address,
        variant=version.name,
    )
