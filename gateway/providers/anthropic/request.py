"""From the OpenAI shape of a chat completion to Anthropic's Messages: what is asked."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway import json
from gateway.providers.base import CHAT_FIELDS
from gateway.types import Json

Block = dict[str, Any]

#: Fields that Anthropic has and OpenAI has not; they pass as they are.
OWN_FIELDS = frozenset({"thinking", "top_k"})
#: What clients of /v1/messages ask for besides, in words of ours where theirs would mean something else elsewhere.
ASIDE = frozenset({"cache_control", "thinking_off"})
#: Hints to one vendor's infrastructure: a reply is as good without them.
HINTS = frozenset({
    "seed", "stream_options", "prediction", "store", "prompt_cache_key", "prompt_cache_retention", "verbosity", "service_tier",
})  # fmt: skip
#: Values at which a field changes nothing, so that clients that spell defaults out are understood.
NEUTRAL: dict[str, tuple[Json, ...]] = {
    "n": (1,), "presence_penalty": (0,), "frequency_penalty": (0,), "logprobs": (False,), "logit_bias": ({},),
    "top_logprobs": (0,),
}  # fmt: skip
EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,(.*)", re.DOTALL)


class Untranslatable(ValueError):
    """Something in the request has no counterpart at Anthropic; the message says what, and what to do."""


def messages_request(body: Mapping[str, Json], model: str) -> dict[str, Json]:
    """The body of `POST /v1/messages` for a chat completion's body. Raises Untranslatable."""
    given = {name: value for name, value in body.items() if value is not None}
    for name in given.keys() - CHAT_FIELDS - OWN_FIELDS - ASIDE:
        raise Untranslatable(f"Anthropic has no parameter {name!r}; leave it out")
    for name, neutral in NEUTRAL.items():
        if name in given and given[name] not in neutral:
            raise Untranslatable(f"Anthropic has no parameter {name!r}; leave it out")
    system, messages = _conversation(given.get("messages") or [])
    request: dict[str, Json] = {
        "model": model,
        "max_tokens": given.get("max_completion_tokens", given.get("max_tokens")),
        "messages": messages,
    }
    if system:
        request["system"] = system
    for name in ("temperature", "top_p", *OWN_FIELDS):
        if name in given:
            request[name] = given[name]
    if given.get("thinking_off"):
        request["thinking"] = {"type": "disabled"}
    if "temperature" in request and _number(request["temperature"]) > 1:
        # OpenAI's scale ends at 2; Anthropic's own compatible endpoint caps it in the same way.
        request["temperature"] = 1
    if "stop" in given:
        request["stop_sequences"] = [given["stop"]] if isinstance(given["stop"], str) else given["stop"]
    if person := given.get("safety_identifier") or given.get("user"):
        request["metadata"] = {"user_id": person}
    request |= _tools(given) | _output(given) | _cached(given)
    return request


def _number(value: Json) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Untranslatable(f"temperature must be a number, not {value!r}")
    return value


def _list(given: Mapping[str, Json], name: str) -> list[Json]:
    value = given.get(name) or []
    if not isinstance(value, list):
        raise Untranslatable(f"{name} must be a list")
    return value


def _conversation(messages: Sequence[Mapping[str, Json]]) -> tuple[list[Block], list[Block]]:
    """System blocks, and turns in which messages of one side in a row are one."""
    system: list[Block] = []
    turns: list[Block] = []
    for message in messages:
        role = message.get("role")
        if role in ("system", "developer"):
            system += _blocks(message.get("content"), images=False)
            continue
        if role == "user":
            side, blocks = "user", _blocks(message.get("content"))
        elif role == "assistant":
            side, blocks = "assistant", list(_assistant(message))
        elif role == "tool":
            side, blocks = "user", [_tool_result(message)]
        else:
            raise Untranslatable(f"Anthropic has no messages of the role {role!r}")
        if turns and turns[-1]["role"] == side:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": side, "content": blocks})
    return system, turns


def _blocks(content: Json, *, images: bool = True) -> list[Block]:
    if isinstance(content, str):
        # An empty text is an error at Anthropic and nothing at OpenAI.
        return [{"type": "text", "text": content}] if content else []
    if content is None:
        return []
    if not isinstance(content, list):
        raise Untranslatable("the content of a message must be a text or a list of parts")
    return [block for part in content if (block := _block(part, images=images))]


def _block(part: Json, *, images: bool) -> Block | None:
    if not isinstance(part, dict):
        raise Untranslatable("a part of a message's content must be an object")
    kind = part.get("type")
    block: Block
    if kind in ("text", "refusal"):
        if not (text := part.get(kind)):
            return None
        block = {"type": "text", "text": text}
    elif kind == "image_url" and images:
        block = {"type": "image", "source": _source(part.get("image_url"), "url")}
    elif kind == "file" and images:
        block = {"type": "document", "source": _source(part.get("file"), "file_data")}
        if name := (part.get("file") or {}).get("filename"):
            block["title"] = name
    else:
        raise Untranslatable(f"Anthropic takes no part of the type {kind!r} here")
    return block | _cached(part)


def _source(given: Json, name: str) -> Block:
    url = given.get(name) if isinstance(given, dict) else None
    if not isinstance(url, str):
        raise Untranslatable(
            f"Anthropic needs {name} with the content, or its address; ids of other vendors' files do not pass"
        )
    if match := DATA_URL.fullmatch(url):
        return {"type": "base64", "media_type": match[1], "data": match[2]}
    return {"type": "url", "url": url}


def _cached(given: Mapping[str, Json]) -> Block:
    return {"cache_control": _cache_control(given["cache_control"])} if given.get("cache_control") is not None else {}


def _cache_control(given: Json) -> Json:
    if not isinstance(given, dict) or given.get("ttl", "5m") != "5m":
        raise Untranslatable(
            'cache_control is {"type": "ephemeral"}; the price book has no price for writes that live an hour'
        )
    return given


def _assistant(message: Mapping[str, Json]) -> Iterator[Block]:
    """Thinking first and tool calls last, as Anthropic wrote them."""
    yield from _list(message, "thinking_blocks")
    yield from _blocks(message.get("content"), images=False)
    if refusal := message.get("refusal"):
        yield {"type": "text", "text": refusal}
    for call in _list(message, "tool_calls"):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            raise Untranslatable("Anthropic knows tool calls of functions only")
        try:
            arguments = json.read((function.get("arguments") or "{}").encode())
        except (ValueError, AttributeError):
            arguments = None
        if not isinstance(arguments, dict):
            raise Untranslatable("the arguments of a tool call in `messages` must be a JSON object")
        yield {
            "type": "tool_use",
            "id": call.get("id"),
            "name": function.get("name"),
            "input": arguments,
            **_cached(call),
        }


def _tool_result(message: Mapping[str, Json]) -> Block:
    block: Block = {
        "type": "tool_result",
        "tool_use_id": message.get("tool_call_id"),
        "content": _blocks(message.get("content")),
    }
    if message.get("is_error"):
        block["is_error"] = True
    return block | _cached(message)


def _tools(given: Mapping[str, Json]) -> dict[str, Json]:
    tools = [_tool(tool) for tool in _list(given, "tools")]
    choice, single = given.get("tool_choice"), given.get("parallel_tool_calls") is False
    if not tools:
        return {}
    made: dict[str, Json] = {}
    if choice in ("auto", None):
        made = {"type": "auto"} if choice or single else {}
    elif choice == "none":
        return {"tools": tools, "tool_choice": {"type": "none"}}
    elif choice == "required":
        made = {"type": "any"}
    elif isinstance(choice, dict) and isinstance(function := choice.get("function"), dict):
        made = {"type": "tool", "name": function.get("name")}
    else:
        raise Untranslatable("tool_choice must be auto, none, required, or a function by name")
    if single:
        made["disable_parallel_tool_use"] = True
    return {"tools": tools, **({"tool_choice": made} if made else {})}


def _tool(tool: Json) -> Block:
    function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
    if not isinstance(function, dict):
        raise Untranslatable("Anthropic gets tools of the type function only")
    made: Block = {
        "name": function.get("name"),
        "input_schema": function.get("parameters") or {"type": "object", "properties": {}},
    }
    if description := function.get("description"):
        made["description"] = description
    if function.get("strict"):
        made["strict"] = True
    return made | _cached(tool)


def _output(given: Mapping[str, Json]) -> dict[str, Json]:
    """Structured output and effort, which are one field at Anthropic."""
    config: dict[str, Json] = {}
    wanted = given.get("response_format")
    if wanted is not None and not isinstance(wanted, dict):
        raise Untranslatable("response_format must be an object")
    if wanted and wanted.get("type") == "json_schema":
        schema = wanted.get("json_schema")
        schema = schema.get("schema") if isinstance(schema, dict) else None
        if not isinstance(schema, dict):
            raise Untranslatable("response_format.json_schema needs a schema")
        config["format"] = {"type": "json_schema", "schema": schema}
    elif wanted and wanted.get("type") != "text":
        raise Untranslatable(f"Anthropic has no response_format {wanted.get('type')!r}; send a json_schema")
    if (effort := given.get("reasoning_effort")) is not None and effort != "none":
        if not isinstance(effort, str) or effort not in EFFORTS:
            raise Untranslatable(f"reasoning_effort must be one of {', '.join(EFFORTS)} or none, not {effort!r}")
        config["effort"] = EFFORTS[effort]
    return {"output_config": config} if config else {}
