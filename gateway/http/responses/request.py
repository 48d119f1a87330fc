"""From OpenAI's Responses to the shape of a chat completion: what a client asks."""

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.errors import InvalidRequest
from gateway.http.chat import plainly
from gateway.types import Json

Message = dict[str, Any]

#: Fields that have the same name and meaning in a chat completion.
SAME = (
    "temperature", "top_p", "parallel_tool_calls", "stream", "variables", "metadata", "user",
    "safety_identifier", "service_tier", "prompt_cache_key", "prompt_cache_retention",
)  # fmt: skip
#: Values at which a field changes nothing.
NEUTRAL: dict[str, tuple[Json, ...]] = {
    "store": (True, False), "background": (False,), "truncation": ("disabled",), "max_tool_calls": (),
    "previous_response_id": (), "conversation": (), "prompt": (),
}  # fmt: skip
KNOWN = frozenset(SAME) | NEUTRAL.keys() | {
    "model", "input", "instructions", "max_output_tokens", "tools", "tool_choice", "text", "reasoning", "include",
    "stream_options",
}  # fmt: skip
#: What can be asked for beside the reply without harm where there is none of it: clients add it on their own.
INCLUDE = frozenset({"reasoning.encrypted_content"})


def chat_body(body: Mapping[str, Json]) -> dict[str, Json]:
    """The body of a chat completion that asks the same. Raises InvalidRequest for what cannot be said in one."""
    given = {name: value for name, value in body.items() if value is not None}
    for name in sorted(given.keys() - KNOWN):
        raise InvalidRequest(f"`{name}` cannot be passed on; leave it out.", param=name)
    for name, neutral in NEUTRAL.items():
        if name in given and given[name] not in neutral:
            raise InvalidRequest(
                f"`{name}` cannot be {given[name]!r}: responses are not kept here, so send the whole conversation in `input`.",
                param=name,
            )
    made: dict[str, Json] = {name: given[name] for name in SAME if name in given}
    made["messages"] = list(_conversation(given))
    if "max_output_tokens" in given:
        made["max_completion_tokens"] = given["max_output_tokens"]
    _check_include(given.get("include", []))
    if given.get("stream"):
        made["stream_options"] = {"include_usage": True}
    if effort := _object(given, "reasoning").get("effort"):
        made["reasoning_effort"] = effort
    return made | _tools(given) | _text(_object(given, "text"))


def _object(given: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    value = given.get(name, {})
    if not isinstance(value, dict):
        raise InvalidRequest(f"`{name}` must be an object.", param=name)
    return value


def _check_include(include: Json) -> None:
    if not isinstance(include, list) or any(not isinstance(item, str) or item not in INCLUDE for item in include):
        raise InvalidRequest(f"`include` may hold {' and '.join(sorted(INCLUDE))} here.", param="include")


def _conversation(given: Mapping[str, Json]) -> Iterator[Message]:
    if instructions := given.get("instructions"):
        yield {"role": "system", "content": instructions}
    items = given.get("input", [])
    if isinstance(items, str):
        yield {"role": "user", "content": items}
        return
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise InvalidRequest("`input` must be a text or a list of items.", param="input")
    # Calls of tools stand beside the assistant's words here, and inside of its message there.
    assistant: Message | None = None
    for item in items:
        message = _message(item)
        if message is None:
            continue
        if message["role"] == "assistant" and assistant is not None:
            assistant["content"] = [*(assistant["content"] or []), *(message["content"] or [])] or None
            assistant.setdefault("tool_calls", []).extend(message.get("tool_calls", []))
            if not assistant["tool_calls"]:
                del assistant["tool_calls"]
            continue
        if assistant is not None:
            yield _said(assistant)
        assistant = message if message["role"] == "assistant" else None
        if assistant is None:
            yield message
    if assistant is not None:
        yield _said(assistant)


def _said(message: Message) -> Message:
    return {**message, "content": plainly(message["content"])} if message["content"] else message


def _message(item: Mapping[str, Json]) -> Message | None:
    kind = item.get("type", "message")
    match kind:
        case "message":
            role = item.get("role")
            if role not in ("user", "assistant", "system", "developer"):
                raise InvalidRequest(
                    "A message of `input` needs the role user, assistant, system or developer.", param="input"
                )
            parts = _parts(item.get("content"))
            # The assistant's stay a list, as more of them may follow.
            return {"role": role, "content": parts if role == "assistant" else plainly(parts)}
        case "function_call":
            function = {"name": item.get("name"), "arguments": item.get("arguments")}
            call = {"id": item.get("call_id"), "type": "function", "function": function}
            return {"role": "assistant", "content": None, "tool_calls": [call]}
        case "function_call_output":
            content = plainly(_parts(item.get("output")))
            return {"role": "tool", "tool_call_id": item.get("call_id"), "content": content}
        case "reasoning":
            # What a model thought before is a help to that model only; the conversation is complete without.
            return None
        case "item_reference":
            raise InvalidRequest(
                "Responses are not kept here, so items cannot be referred to; send them whole (with Vercel's AI SDK: "
                "providerOptions: {openai: {store: false}}).",
                param="input",
            )
    raise InvalidRequest(f"Items of the type {kind!r} cannot be passed on.", param="input")


def _parts(content: Json) -> list[dict[str, Json]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list | None):
        raise InvalidRequest("The content of an item must be a text or a list of parts.", param="input")
    return [_part(part) for part in content or ()]


def _part(part: Json) -> dict[str, Json]:
    kind = part.get("type") if isinstance(part, dict) else None
    match kind:
        case "input_text" | "output_text" | "text":
            return {"type": "text", "text": part.get("text")}
        case "refusal":
            return {"type": "refusal", "refusal": part.get("refusal")}
        case "input_image" if part.get("image_url"):
            detail = {"detail": part["detail"]} if part.get("detail") else {}
            return {"type": "image_url", "image_url": {"url": part["image_url"], **detail}}
        case "input_file" if part.get("file_data"):
            return {
                "type": "file",
                "file": {"filename": part.get("filename") or "file", "file_data": part["file_data"]},
            }
    raise InvalidRequest(f"A part of the type {kind!r} cannot be passed on without its content.", param="input")


def _tools(given: Mapping[str, Json]) -> dict[str, Json]:
    tools = given.get("tools")
    if not tools:
        return {}
    if not isinstance(tools, list):
        raise InvalidRequest("`tools` must be a list.", param="tools")
    made: dict[str, Json] = {"tools": [_tool(tool) for tool in tools]}
    choice = given.get("tool_choice")
    if isinstance(choice, dict):
        if choice.get("type") != "function":
            raise InvalidRequest(
                "`tool_choice` must be auto, none, required, or a function by name.", param="tool_choice"
            )
        made["tool_choice"] = {"type": "function", "function": {"name": choice.get("name")}}
    elif choice is not None:
        made["tool_choice"] = choice
    return made


def _tool(tool: Json) -> dict[str, Json]:
    if not isinstance(tool, dict) or tool.get("type") != "function":
        raise InvalidRequest(
            "Only functions can be passed on; tools that OpenAI runs are not among them.", param="tools"
        )
    fields = ("name", "description", "parameters", "strict")
    return {"type": "function", "function": {name: tool[name] for name in fields if tool.get(name) is not None}}


def _text(text: Mapping[str, Json]) -> dict[str, Json]:
    made: dict[str, Json] = {}
    if text.get("verbosity"):
        made["verbosity"] = text["verbosity"]
    wanted = text.get("format")
    if isinstance(wanted, dict) and wanted.get("type") == "json_schema":
        schema = {name: wanted[name] for name in ("name", "description", "schema", "strict") if name in wanted}
        made["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif isinstance(wanted, dict) and wanted.get("type") != "text":
        made["response_format"] = wanted
    return made
