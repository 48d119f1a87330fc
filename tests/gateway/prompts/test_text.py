"""A version as a text: readable, and exactly the same version again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.configuration.document import Document
from gateway.prompts.address import address
from gateway.prompts.text import dumps, loads
from gateway.prompts.versions import content_of

WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0{}"), max_size=30)
LINES = st.lists(
    st.one_of(WORDS, st.sampled_from(['"', '"""', "\\", "\r", "\t", "'''", "#", "\x7f", "\u2028"])), max_size=6
).map("\n".join)
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False) | LINES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8,
)  # fmt: skip
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user"]), "content": LINES}, optional={"name": WORDS}),
    min_size=1, max_size=3,
)  # fmt: skip


def read_again(content):
    document = Document("f.toml", dumps(content, comment="a comment"))
    found = loads(document)
    assert document.problems == []
    return found


@given(
    MESSAGES,
    st.dictionaries(NAMES.map("x_".__add__), VALUES, max_size=3),
    st.lists(st.dictionaries(NAMES, VALUES, max_size=3), max_size=2),
)
def test_any_content_is_read_again_as_the_same_version(messages, parameters, tools):
    content = content_of({"messages": messages, "parameters": parameters, "tools": tools})
    again = read_again(content)
    assert address(again) == address(content)
    assert again["messages"] == messages


def test_messages_of_parts_and_nulls_are_read_again_too():
    content = content_of({
        "messages": [{"role": "user", "content": [{"type": "text", "text": "{{ x }}"}, {"type": "image_url", "image_url": {"url": "{{ u }}"}}]}],
        "response_format": {"type": "json_schema", "json_schema": {"enum": ["a", None]}},
    })  # fmt: skip
    assert address(read_again(content)) == address(content)
    assert content["variables"] == ["u", "x"]


def test_it_is_readable():
    content = content_of({
        "messages": [{"role": "system", "content": "Be brief.\nSay \"hello\" to {{ name }}."}, {"role": "user", "content": "{{ ticket }}"}],
        "parameters": {"temperature": 0.2},
    })  # fmt: skip
    assert dumps(content, comment="f@12345678, live") == (
        '# f@12345678, live\n\n[[messages]]\nrole = "system"\ncontent = """\nBe brief.\nSay "hello" to {{ name }}."""\n\n'
        '[[messages]]\nrole = "user"\ncontent = "{{ ticket }}"\n\n[parameters]\ntemperature = 0.2\n'
    )


@pytest.mark.parametrize(
    "text, problem",
    [
        ("[[messages]]\nrole = 'user'\n\ncontent = '{{ x'", "f.toml:4: The prompt is no valid template"),
        ("[[messages]]\nrole = 'user'\ncontent = 'x'\n[[messages]]\nrole = 'user'\ncontent = '''a\n\n{% fo %}'''", "f.toml:6: Message 2: The prompt is no valid template: Encountered unknown tag 'fo'. (line 3 of the text)"),
        ("[[messages]]\nrole = 'user'\ncontent = 'x'\n[parametres]\n", "f.toml:4: 'parametres' is not known here; did you mean parameters?"),
        ("[[messages]]\nrole = 'user'\ncontent = 'x'\n[parameters]\nn = 5\n", "f.toml:4: A prompt cannot set n."),
        ("[[messages]]\nrole = 'user'\ncontent = 'x'\n[parameters]\nmax_tokens = 0.5\n", "f.toml:4: max_tokens must be a whole number"),
        ("tools_json = '[null'\nmessages = []", "f.toml:1: tools_json is no JSON"),
        ("tools_json = '{}'\n[[messages]]\nrole = 'user'\ncontent = 'x'", "f.toml:1: A prompt's tools are a list"),
        ("tools_json = '[]'\ntools = []\n[[messages]]\nrole = 'user'\ncontent = 'x'", "f.toml:2: Give tools or tools_json"),
        ("parameters_json = '''{\"a\": \"\\u0000\"}'''\n[[messages]]\nrole = 'user'\ncontent = 'x'", "f.toml:2: The content cannot be stored: PostgreSQL"),
        ("tools_json = '''[\"\\ud800\"]'''\n[[messages]]\nrole = 'user'\ncontent = 'x'", "f.toml:2: The content cannot be stored"),
        ("parameters_json = '''{\"a\": " + "[" * 900 + "]" * 900 + "}'''\n[[messages]]\nrole = 'user'\ncontent = 'x'", "f.toml:2: The content cannot be stored: it is nested"),
        ("messages_json = '''" + "[" * 100_000 + "'''", "f.toml:1: messages_json is no JSON"),
        ("messages_json = '''" + "[{\"role\": \"user\", \"content\": " + "[" * 900 + "]" * 900 + "}]'''", "f.toml:1: The content cannot be stored: it is nested"),
        ("messages = []", "f.toml:1: A prompt needs at least one message."),
        ("[parameters]\ntemperature = 1\n", "f.toml:1: A prompt needs at least one message."),
        ("messages = [1]", "f.toml:1: messages must be a list of tables"),
        ("[[messages]]\nrole = 'user'\ncontent = 2026-01-01", "f.toml:1: The content cannot be stored: this prompt cannot be written as canonical JSON"),
        ("[[messages]\n", "f.toml:1: This is not valid TOML"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_line(text, problem):
    document = Document("f.toml", text)
    assert loads(document) is None
    assert str(document.problems[0]).startswith(problem)
