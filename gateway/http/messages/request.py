"""From Anthropic's Messages to the OpenAI shape of a chat completion: what a client asks."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from gateway.errors import InvalidRequest
from gateway.http.chat import plainly
from gateway.types import Json

Message = dict[str, Any]

#: Fields that pass as they are.
SAME = ("temperature", "top_p", "top_k", "stream", "variables", "cache_control")
#: Hints to Anthropic's infrastructure: a reply is as good without them.
HINTS = frozenset({"service_tier", "inference_geo", "speed", "diagnostics", "context_management"})
KNOWN = frozenset(SAME) | HINTS | {
    "model", "max_tokens", "messages", "system", "stop_sequences", "tools", "tool_choice", "metadata", "thinking",
    "output_config",
}  # fmt: skip
#: What else blocks and tools may hold that has no place in a chat completion, with the values at which it changes nothing.
NO_PLACE: dict[str, tuple[Json, ...]] = {
    "citations": (None, {"enabled": False}), "context": (None, ""), "transformations": (None, {}),
    "defer_loading": (None, False), "input_examples": (None, []), "allowed_callers": (None, ["direct"]),
}  # fmt: skip


def chat_body(body: Mapping[str, Json]) -> dict[str, Json]:
    """The body of a chat completion that asks the same. Raises InvalidRequest for what cannot be said in one."""
    given = {name: value for name, value in body.items() if value is not None}
    if unknown := sorted(given.keys() - KNOWN):
        raise InvalidRequest(f"`{unknown[0]}` cannot be passed on; leave it out.", param=unknown[0])
    if "max_tokens" not in given:
        raise InvalidRequest("`max_tokens` is missing; the Messages API needs it.", param="max_tokens")
    messages = given.get("messages")
    if not isinstance(messages, list):
        raise InvalidRequest("`messages` must be a list.", param="messages")
    made: dict[str, Json] = {name: given[name] for name in SAME if name in given}
    made["max_tokens"] = given["max_tokens"]
    made["messages"] = [*_system(given.get("system")), *(m for message in messages for m in _messages(message))]
    if given.get("stream"):
        made["stream_options"] = {"include_usage": True}
    if "stop_sequences" in given:
        made["stop"] = given["stop_sequences"]
    if person := _object(given, "metadata").get("user_id"):
        made["user"] = person
    match _object(given, "thinking").get("type"):
        case None:
            pass
        case "disabled":
            # For others than Anthropic it is nothing new, and not all of them would take it.
            made["thinking_off"] = True
        case _:
            made["thinking"] = given["thinking"]
    made |= _tools(given) | _output(_object(given, "output_config"))
    return made


def _object(given: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    value = given.get(name, {})
    if not isinstance(value, dict):
        raise InvalidRequest(f"`{name}` must be an object.", param=name)
    return value


def _system(given: Json) -> list[Message]:
    if not given:
        return []
    if isinstance(given, str):
        return [{"role": "system", "content": given}]
    return [{"role": "system", "content": plainly([_part(block) for block in _blocks(given)])}]


def _blocks(content: Json) -> list[dict[str, Json]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list) or not all(isinstance(block, dict) for block in content):
        raise InvalidRequest("The content of a message must be a text or a list of blocks.", param="messages")
    return content


def _messages(message: Json) -> Iterator[Message]:
    """One message of ours for each of theirs, and one for each tool result before it."""
    role = message.get("role") if isinstance(message, dict) else None
    if role not in ("user", "assistant", "system"):
        raise InvalidRequest("Each of `messages` needs the role user, assistant or system.", param="messages")
    content = message.get("content")
    if isinstance(content, str):
        yield {"role": role, "content": content}
        return
    blocks = _blocks(content)
    if role == "assistant":
        yield _assistant(blocks)
        return
    rest = []
    for block in blocks:
        if block.get("type") == "tool_result":
            yield _tool_result(block)
        else:
            rest.append(_part(block))
    if rest:
        yield {"role": role, "content": plainly(rest)}


def _tool_result(block: Mapping[str, Json]) -> Message:
    content = block.get("content")
    made: Message = {
        "role": "tool",
        "tool_call_id": block.get("tool_use_id"),
        "content": content if isinstance(content, str) else plainly([_part(part) for part in _blocks(content or [])]),
    }
    if block.get("is_error"):
        made["is_error"] = True
    return made | _cache_control(block)


def _assistant(blocks: list[dict[str, Json]]) -> Message:
    texts, calls, thinking = [], [], []
    for block in blocks:
        match block.get("type"):
            case "tool_use":
                arguments = orjson.dumps(block.get("input") or {}).decode()
                function = {"name": block.get("name"), "arguments": arguments}
                calls.append({"id": block.get("id"), "type": "function", "function": function, **_cache_control(block)})
            case "thinking" | "redacted_thinking":
                # Without a signature it was no Anthropic model's, and none would take it.
                if block.get("signature") or block.get("data"):
                    thinking.append(block)
            case _:
                texts.append(_part(block))
    message: Message = {"role": "assistant", "content": plainly(texts) if texts else None}
    if calls:
        message["tool_calls"] = calls
    if thinking:
        message["thinking_blocks"] = thinking
    return message


def _part(block: Mapping[str, Json]) -> dict[str, Json]:
    _check_all_has_a_place(block, "messages")
    source = block.get("source")
    source = source if isinstance(source, dict) else {}
    part: dict[str, Json]
    match block.get("type"):
        case "text":
            part = {"type": "text", "text": block.get("text")}
        case "image":
            part = {"type": "image_url", "image_url": {"url": _url(source)}}
        case "document" if source.get("type") == "text":
            # Its title goes before it: a text has none of its own.
            title = f"{block['title']}\n\n" if block.get("title") else ""
            part = {"type": "text", "text": f"{title}{source.get('data')}"}
        case "document":
            part = {"type": "file", "file": {"filename": block.get("title") or "document", "file_data": _url(source)}}
        case kind:
            raise InvalidRequest(f"Blocks of the type {kind!r} cannot be passed on.", param="messages")
    return part | _cache_control(block)


def _cache_control(block: Mapping[str, Json]) -> dict[str, Json]:
    return {"cache_control": block["cache_control"]} if block.get("cache_control") else {}


def _check_all_has_a_place(given: Mapping[str, Json], param: str) -> None:
    for name, neutral in NO_PLACE.items():
        if name in given and given[name] not in neutral:
            raise InvalidRequest(f"`{name}` cannot be passed on; leave it out.", param=param)


def _url(source: Mapping[str, Json]) -> str:
    if source.get("type") == "base64":
        return f"data:{source.get('media_type')};base64,{source.get('data')}"
    if source.get("type") == "url":
        return str(source.get("url"))
    raise InvalidRequest("An image or document needs a source of the type base64 or url.", param="messages")


def _tools(given: Mapping[str, Json]) -> dict[str, Json]:
    tools = given.get("tools")
    if not tools:
        return {}
    if not isinstance(tools, list):
        raise InvalidRequest("`tools` must be a list.", param="tools")
    made: dict[str, Json] = {"tools": [_tool(tool) for tool in tools]}
    choice = _object(given, "tool_choice")
    match choice.get("type"):
        case None:
            pass
        case "auto" | "none":
            made["tool_choice"] = choice["type"]
        case "any":
            made["tool_choice"] = "required"
        case "tool":
            made["tool_choice"] = {"type": "function", "function": {"name": choice.get("name")}}
        case kind:
            raise InvalidRequest(f"There is no tool_choice of the type {kind!r}.", param="tool_choice")
    if choice.get("disable_parallel_tool_use"):
        made["parallel_tool_calls"] = False
    return made


def _tool(tool: Json) -> dict[str, Json]:
    if not isinstance(tool, dict) or tool.get("type", "custom") not in ("custom", None):
        raise InvalidRequest(
            "Only tools that the caller runs can be passed on; tools that Anthropic runs are not among them.",
            param="tools",
        )
    _check_all_has_a_place(tool, "tools")
    function = {"name": tool.get("name"), "parameters": tool.get("input_schema")}
    function |= {name: tool[name] for name in ("description", "strict") if tool.get(name)}
    return {"type": "function", "function": function, **_cache_control(tool)}


def _output(config: Mapping[str, Json]) -> dict[str, Json]:
    made: dict[str, Json] = {}
    if unknown := sorted(name for name in config.keys() - {"effort", "format"} if config[name] is not None):
        raise InvalidRequest(f"`output_config.{unknown[0]}` cannot be passed on; leave it out.", param="output_config")
    if config.get("effort"):
        made["reasoning_effort"] = config["effort"]
    if wanted := config.get("format"):
        schema = wanted.get("schema") if isinstance(wanted, dict) else None
        made["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "reply", "schema": schema, "strict": True},
        }
    return made
