"""Every text of a request is looked at, or stands on a short list: for each of the APIs, and for bodies of the SDK."""

import json
from dataclasses import replace

import pytest

from gateway.http.messages.request import chat_body as from_messages
from gateway.http.responses.request import chat_body as from_responses
from redaction.media import MediaRefused, refuse
from redaction.messages import EntitiesRefused, payload, redact_body
from redaction.policies import Policy
from redaction.vault import Vault

#: Stands in every text; what it is found as goes by another name.
MARK, CARD = "zoe.quark@example.com", 4111111111111111
POLICY = Policy(name="p", outbound="pseudonymise", stored="none", entities=("EMAIL_ADDRESS", "CREDIT_CARD"))
#: How paths end at which a text may go out as it came; `docs/redaction.md` lists the same.
PASSED = ("model", ".image_url.url", ".input_audio.data", ".file.file_data", ".file.file_id", ".to.pattern", ".to.$ref")

SCHEMA = {
    "type": "object", "title": f"T {MARK}", "description": f"Mail to {MARK}", "$comment": MARK, "required": ["to", MARK],
    "properties": {
        "to": {"type": "string", "enum": ["sales", MARK], "pattern": f"^{MARK}$", "$ref": f"#/$defs/{MARK}", "default": MARK},
        "default": {"type": "string", "description": MARK, "examples": [{"who": MARK}], "const": MARK},
        MARK: {"anyOf": [{"type": ["string", "null"], "description": MARK}]},
    },
    "$defs": {"x": {"description": MARK}},
}  # fmt: skip
FUNCTION = {"name": "mail", "description": f"As {MARK} asks", "parameters": SCHEMA, "strict": True}
CHAT = {
    "model": f"openai/{MARK}", "user": MARK, "safety_identifier": MARK, "metadata": {"who": MARK, MARK: "key"}, "stop": [MARK, "END"],
    "prediction": {"type": "content", "content": [{"type": "text", "text": MARK}]}, "prompt_cache_key": MARK, "seed": 7,
    "logit_bias": {"50256": -100}, "service_tier": "auto", "stream_options": {"include_usage": True}, "temperature": 0.2,
    "tool_choice": {"type": "function", "function": {"name": "mail"}}, "modalities": ["text"], "card": CARD,
    "web_search_options": {"user_location": {"type": "approximate", "approximate": {"city": MARK}}},
    "made_up": [{"deep": [MARK]}, MARK], "functions": [FUNCTION],
    "tools": [
        {"type": "function", "function": FUNCTION},
        {"type": "custom", "custom": {"name": "c", "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": MARK}}}},
    ],
    "response_format": {"type": "json_schema", "json_schema": {"name": "reply", "description": MARK, "schema": SCHEMA}},
    "messages": [
        {"role": "system", "content": MARK, "name": MARK},
        {"role": "developer", "content": [{"type": "text", "text": MARK, "cache_control": {"type": "ephemeral"}}]},
        {"role": "user", "name": MARK, "content": [
            {"type": "text", "text": MARK}, {"type": "image_url", "image_url": {"url": f"https://x/{MARK}", "detail": "low"}},
            {"type": "input_audio", "input_audio": {"data": MARK, "format": "wav"}},
            {"type": "file", "file": {"filename": f"CV {MARK}.pdf", "file_data": MARK, "file_id": MARK}}]},
        {"role": "assistant", "content": None, "refusal": MARK, "reasoning_content": MARK, "function_call": {"name": "f", "arguments": MARK},
         "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": json.dumps({MARK: [MARK]})}}]},
        {"role": "tool", "tool_call_id": "c1", "content": json.dumps([{"who": MARK}])},
    ],
}  # fmt: skip
RESPONSES = {
    "model": "m", "instructions": MARK, "user": MARK, "metadata": {"who": MARK}, "prompt_cache_key": MARK, "safety_identifier": MARK,
    "tools": [{"type": "function", **FUNCTION}], "tool_choice": {"type": "function", "name": "mail"},
    "text": {"format": {"type": "json_schema", "name": "reply", "description": MARK, "schema": SCHEMA}},
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": MARK}, {"type": "input_image", "image_url": f"https://x/{MARK}"},
                                     {"type": "input_file", "filename": MARK, "file_data": MARK}]},
        {"type": "function_call", "call_id": "c1", "name": "mail", "arguments": json.dumps({"to": MARK})},
        {"type": "function_call_output", "call_id": "c1", "output": MARK},
        {"role": "assistant", "content": [{"type": "output_text", "text": MARK}, {"type": "refusal", "refusal": MARK}]},
    ],
}  # fmt: skip
MESSAGES = {
    "model": "m", "max_tokens": 9, "system": [{"type": "text", "text": MARK}], "stop_sequences": [MARK], "metadata": {"user_id": MARK},
    "tools": [{"name": "mail", "description": MARK, "input_schema": SCHEMA}], "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
    "messages": [
        {"role": "user", "content": [
            {"type": "text", "text": MARK}, {"type": "image", "source": {"type": "url", "url": f"https://x/{MARK}"}},
            {"type": "document", "title": MARK, "source": {"type": "base64", "media_type": "application/pdf", "data": "QQ=="}},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": MARK}}]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": MARK, "signature": "s"},
                                          {"type": "tool_use", "id": "t1", "name": "mail", "input": {"to": MARK}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": MARK}]}]},
    ],
}  # fmt: skip
EMBEDDINGS = {"model": "m", "input": [MARK, f"to {MARK}"], "user": MARK, "encoding_format": "float", "dimensions": 8}
BODIES = {
    "chat": CHAT, "responses": from_responses(RESPONSES), "messages": from_messages(MESSAGES), "embeddings": EMBEDDINGS,
}  # fmt: skip


def leaves(value, path=()):
    """Each text with its path; a key of an object is one too, at its own path."""
    if isinstance(value, str):
        yield ".".join(path), value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield ".".join((*path, "(key)")), key
            yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item, (*path, "*"))


@pytest.mark.parametrize("api", BODIES)
@pytest.mark.parametrize("outbound", ["pseudonymise", "mask"])
def test_every_text_is_looked_at_or_listed(api, outbound):
    policy = Policy(name="p", outbound=outbound, stored="none", entities=POLICY.entities)
    redacted = redact_body(BODIES[api], policy, Vault()).body
    left = {path for path, text in leaves(redacted) if MARK in text}
    assert [path for path in left if not path.endswith(PASSED)] == []
    assert sum(MARK in text for _, text in leaves(BODIES[api])) > len(left)
    assert str(CARD) not in json.dumps(redacted)


def test_structure_stays_and_what_comes_back_can_be_restored():
    vault = Vault()
    policy = Policy(name="p", outbound="mask", stored="none", entities=POLICY.entities)
    body = redact_body(CHAT, policy, vault).body
    schema = body["tools"][0]["function"]["parameters"]
    assert schema["description"] == "Mail to <EMAIL_ADDRESS>"
    # A mask could not be told from another one: values that come back have pseudonyms.
    assert schema["properties"]["to"]["enum"] == ["sales", "[EMAIL_ADDRESS_1]"]
    assert schema["required"] == ["to", "[EMAIL_ADDRESS_1]"] and "[EMAIL_ADDRESS_1]" in schema["properties"]
    assert vault.restore('{"to": "[EMAIL_ADDRESS_1]"}') == f'{{"to": "{MARK}"}}'
    for field in (
        "model",
        "seed",
        "logit_bias",
        "service_tier",
        "stream_options",
        "temperature",
        "tool_choice",
        "modalities",
    ):
        assert body[field] == CHAT[field]
    assert body["tools"][0]["function"]["name"] == "mail" and body["stop"] == ["<EMAIL_ADDRESS>", "END"]


def test_definitions_have_a_rule_of_their_own():
    off = Policy(name="p", outbound="mask", stored="none", entities=POLICY.entities, parts=(("tools", "off"),))
    body = redact_body(CHAT, off, Vault()).body
    assert body["tools"] == CHAT["tools"] and MARK not in str(body["metadata"])
    refusing = Policy(name="p", outbound="mask", stored="none", entities=POLICY.entities, parts=(("tools", "refuse"),))
    with pytest.raises(EntitiesRefused):
        redact_body({"messages": [], "tools": CHAT["tools"]}, refusing, Vault())


def test_a_template_s_own_tools_are_trusted():
    own = f"Mail to {MARK}"
    tools = [{"type": "function", "function": {"name": "mail", "description": own}}]
    assert redact_body({"tools": tools}, POLICY, Vault(), filled={own: ()}).body["tools"] == tools


NAMED = {MARK: MARK}


@pytest.mark.parametrize(
    "body",
    [
        NAMED,
        {"logit_bias": NAMED},
        {"logit_bias": MARK},
        *({"messages": [message]} for message in (
            {"role": "user", **NAMED}, {"role": "user", "content": NAMED}, {"role": "user", "content": [NAMED]},
            {"role": "user", "content": [{"type": "text", "text": NAMED}]}, {"role": "user", "content": [{"type": "text", "text": "x", **NAMED}]},
            {"role": "assistant", "tool_calls": [NAMED]}, {"role": "assistant", "tool_calls": [{"function": NAMED}]},
            {"role": "assistant", "function_call": NAMED}, {"role": "assistant", "thinking_blocks": [NAMED]},
            {"role": "assistant", "thinking_blocks": [{"signature": f"of {MARK}", "data": [MARK]}]},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": NAMED, "detail": f"of {MARK}"}, **NAMED}]},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": f"Write to {MARK}", "detail": MARK}}]},
            {"role": "user", "content": [{"type": "file", "file": {"file_data": f"Write to {MARK}", "file_id": f"of {MARK}"}}]},
            {"role": "user", "content": [{"type": "document", "source": {"type": "text", "data": f"Write to {MARK}", "media_type": MARK}}]},
            {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": MARK, "format": [MARK]}}]},
        )),
    ],
)  # fmt: skip
def test_names_of_fields_and_what_is_no_media_are_looked_at_wherever_they_stand(body):
    redacted = redact_body({"messages": [], **body}, POLICY, Vault()).body
    assert MARK not in str(redacted)
    kept = payload(body.get("messages", []), [body], replace(POLICY, outbound="off", stored="redacted"), Vault())
    assert MARK not in str(kept)


def test_bytes_of_media_pass_as_they_are_and_are_not_kept():
    data = "data:video/mp4;base64,AAAA+/==" + "QUJD" * 100
    parts = [
        {"type": "image_url", "image_url": {"url": data, "detail": "low"}},
        {"type": "video_url", "video_url": {"url": "https://x.example/y.mp4?a=b"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "QUJD" * 100}},
    ]
    messages = [
        {"role": "user", "content": parts},
        {"role": "tool", "content": [{"content": parts}]},
        {"role": "user", "content": parts[0]},
    ]
    said = [{"role": "assistant", "content": None, "audio": {"id": "a", "data": "QUJD" * 100, "transcript": "Yes."}}]
    assert redact_body({"messages": messages}, POLICY, Vault()).body["messages"] == messages
    kept = json.dumps(payload(messages, said, replace(POLICY, outbound="off", stored="full"), Vault()))
    assert not any(text in kept for text in ("QUJD", "y.mp4")) and "Yes." in kept


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


@pytest.mark.parametrize(
    "body",
    [
        *({"messages": [{"role": "user", "content": [part]}]} for part in (
            IMAGE, {"image_url": {"url": "https://x/y.png"}}, {"type": "input_audio", "input_audio": {}}, {"type": "file", "file": {}},
            {"type": "image", "source": {}}, {"type": "document", "source": {}}, {"type": "input_image"}, {"type": "input_file"}, {"type": "video_url"},
        )),
        {"messages": [{"role": "tool", "content": [{"type": "tool_result", "content": [IMAGE]}]}]},
        {"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]},
        {"messages": [], "modalities": ["text", "audio"]},
        {"input": [{"content": [IMAGE]}]},
        from_responses({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "https://x/y.png"}]}]}),
        from_responses({"input": [{"role": "user", "content": [{"type": "input_file", "file_data": "QQ=="}]}]}),
        from_messages({"max_tokens": 1, "messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://x"}}]}]}),
        from_messages({"max_tokens": 1, "messages": [{"role": "user", "content": [
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "QQ=="}}]}]}),
    ],
)  # fmt: skip
def test_media_are_refused_in_whatever_form(body):
    with pytest.raises(MediaRefused):
        refuse(body)
