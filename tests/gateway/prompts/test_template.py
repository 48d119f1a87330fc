"""Templates render what they are given, and nothing that could hurt."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2.defaults import DEFAULT_FILTERS

from gateway.errors import PromptError
from gateway.prompts.template import FILTERS, Template


def user(text):
    return Template([{"role": "user", "content": text}])


def rendered(text, **variables):
    return user(text).render(variables)[0]["content"]


def test_messages_are_rendered_at_any_depth():
    template = Template([
        {"role": "system", "content": "You are {{ who|upper }}."},
        {"role": "user", "content": [{"type": "text", "text": "{% for i in items %}{{ i.name }};{% endfor %}"}]},
    ])  # fmt: skip
    assert template.variables == {"who", "items"}
    assert template.render({"who": "x", "items": [{"name": "a"}, {"name": "b"}]}) == [
        {"role": "system", "content": "You are X."},
        {"role": "user", "content": [{"type": "text", "text": "a;b;"}]},
    ]


@given(st.text())
def test_variables_are_data_whatever_they_hold(text):
    assert rendered("<{{ x }}>", x=text) == f"<{text}>"


def test_a_missing_variable_is_named():
    with pytest.raises(PromptError, match="needs ticket; given were tiket"):
        rendered("{{ ticket }}", tiket="x")


def test_an_unused_variable_is_named():
    with pytest.raises(PromptError, match="does not use extra; it uses x"):
        rendered("{{ x }}", x="1", extra="2")


def test_a_template_that_is_none_says_so():
    with pytest.raises(PromptError, match="no valid template"):
        user("{{ x")


@pytest.mark.parametrize(
    "text",
    [
        "{{ x * 100000000 }}",
        "{{ '%1000000000d' % 3 }}{{ x }}",
        "{{ x.__class__.__mro__ }}",
        "{{ x.format(x) }}",
        "{{ x.center(1000000000) }}",
        "{% for a in range(100000) %}{{ x }}{% endfor %}",
        "{% for a in range(1000) %}{% for b in range(1000) %}{{ x }}{% endfor %}{% endfor %}",
        "{% for a in range(1000) %}{% for b in range(1000) %}{% for c in range(1000) %}{% endfor %}{% endfor %}{% endfor %}{{ x }}",
        "{% set y = x|replace('a', x) %}{% set z = y|replace('a', y) %}{% set w = z|replace('a', z) %}{{ w|replace('a', w) }}",
        "{{ 9 ** 9 ** 9 }}{{ x }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}{{ x }}",
        "{{ x ~ x }}",
        "{% include 'settings.py' %}{{ x }}",
        "{{ cycler('a') }}{{ x }}",
    ],
)
def test_what_could_hurt_is_refused(text):
    with pytest.raises(PromptError):
        rendered(text, x="aaaa" * 10)


ALIASED = "{% set a = ['xxxxxxxx'] %}" + "".join(
    f"{{% set {new} = [{', '.join([old] * 10)}] %}}" for old, new in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [
        "{% for a in x %}{% for b in x %}{% for c in x %}{% endfor %}{% endfor %}{% endfor %}",
        "{{ x|length }}{% set r = range(1000) %}{% for a in r %}{% for b in r %}{% for c in r %}{% endfor %}{% endfor %}{% endfor %}",
        "{{ x|tojson(indent=900000000) }}",
        "{{ x|length|round(20000000, 'ceil') }}",
        "{{ x|length }}{{ 1|round(20000000, 'ceil') }}",
        "{{ x|length }}{{ (1).to_bytes(3000000000, 'big') }}",
        "{{ x|length }}{{ 'a'.encode().center(3000000000) }}",
        "{{ x|length }}" + ALIASED + "{{ h|string|length }}",
        "{{ x|length }}" + ALIASED.replace("[", "(").replace("]", ",)") + "{{ h == h }}",
        "{% set b = range(1000)|map(attribute='no', default=x)|list %}{% set c = range(1000)|map(attribute='no', default=b)|list %}{{ c|tojson }}",
        "{{ x|length }}{% set b = {}.fromkeys(range(1000)|list, x) %}{% set c = {}.fromkeys(range(1000)|list, b) %}{{ c }}",
    ],
)
def test_lists_cannot_hurt_either(text):
    with pytest.raises(PromptError):
        rendered(text, x=list(range(1000)))


@pytest.mark.parametrize(
    "text",
    [
        "{% for a in x %}" * 25 + "{% endfor %}" * 25,
        "{{ " + "(" * 3000 + "x" + ")" * 3000 + " }}",
        "{{ x + " + "9" * 5000 + " }}",
    ],
)
def test_a_template_too_deep_for_python_is_no_template(text):
    with pytest.raises(PromptError, match="no valid template"):
        user(text)


SET = "{%% set %s %%}%s{%% endset %%}"
DOUBLED = SET % ("a", "x" * 1000) + "".join(SET % (new, f"{{{{ {old} }}}}" * 100) for old, new in ("ab", "bc", "cd"))
LOOPED = SET % ("a", "{% for i in range(1000) %}" + "x" * 190_000 + "{% endfor %}")


@pytest.mark.parametrize("text", [DOUBLED, LOOPED])
def test_blocks_that_are_kept_are_bounded_as_messages_are(text):
    tracemalloc.start()
    try:
        with pytest.raises(PromptError, match="longer than"):
            rendered(text + "{{ a|length }}")
        assert tracemalloc.get_traced_memory()[1] < 200_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "text", ["{{ x|truncate(1, end='long') }}", "{{ 1e400|int }}{{ x }}", "{{ {[]: x} }}", "{{ {[]: 1} }}{{ x }}"]
)
def test_whatever_python_makes_of_a_template_is_told_as_the_prompts_fault(text):
    with pytest.raises(PromptError):
        rendered(text, x="xxxxxxxxxx")


@pytest.mark.parametrize("text", ["{{ x.upper }}", "{{ range }}{{ x }}"])
def test_a_function_that_nobody_called_is_no_text(text):
    with pytest.raises(PromptError, match="a function is no text"):
        rendered(text, x="x")


def test_the_line_of_what_could_not_be_rendered_is_told():
    with pytest.raises(PromptError, match=r"has no attribute 'nmae' \(line 2 of the text\)"):
        rendered("Hello\n{{ x.nmae }}", x={"name": "x"})


def test_a_variable_of_another_type_is_told():
    with pytest.raises(PromptError, match="could not be rendered"):
        rendered("{{ x|dictsort }}", x="text")


def test_loops_literals_and_bounded_filters_work_as_ever():
    text = "{% for a, b in x|dictsort %}{{ loop.index }}/{{ loop.length }}:{{ [a, b]|join('=') }}{{ ',' if not loop.last }}{% endfor %}"
    assert rendered(text, x={"k": 1, "l": 2}) == "1/2:k=1,2/2:l=2"
    assert rendered("{{ x|round(1) }} {{ {'a': (x, 1)}|tojson }} {{ [x]|tojson(indent=1) }}", x=2.345) == (
        '2.3 {"a": [2.345, 1]} [\n 2.345\n]'
    )
    assert (
        rendered(
            "{% for n in x recursive %}{{ n.v }}{{ loop(n.c) }}{% endfor %}", x=[{"v": 1, "c": [{"v": 2, "c": []}]}]
        )
        == "12"
    )


def test_every_allowed_filter_is_one_of_the_engine():
    assert set(DEFAULT_FILTERS) >= FILTERS
    assert rendered("{{ '  long words  '|trim|truncate(4, true, '…') }}") == "lon…"


@pytest.mark.parametrize(
    "text, variables, given",
    [
        ("Dear {{ x }}, hello", {"x": "Ada"}, ["Ada"]),
        ("Always the same{{ ' as ever' }}", {}, []),
        ("{% for a in x %}- {{ a }}\n{% endfor %}", {"x": ["b", "c"]}, ["b", "c"]),
        ("{% set y = x %}{% if y %}is {{ y | upper }}{% endif %}", {"x": "b"}, ["B"]),
        ("{% set y %}<{{ x }}>{% endset %}{{ y }}.", {"x": "b"}, ["<b>"]),
        ("{% with y = x %}{{ y }}{% endwith %}{{ 3 }}", {"x": 5}, ["5"]),
        # What such a statement writes is made of both.
        ("a {% filter upper %}dear {{ x }}{% endfilter %}", {"x": "b"}, ["a ", "DEAR B"]),
    ],
)
def test_what_variables_gave_is_told_from_the_template_s_own_text(text, variables, given):
    rendered = user(text).fill(variables)
    [content] = [message["content"] for message in rendered.messages]
    assert [content[start:end] for start, end in rendered.filled[content]] == given
    assert type(content) is str


def test_two_texts_that_come_out_the_same_are_looked_at_where_either_was_given():
    template = Template([{"role": "system", "content": "Ada {{ x }}"}, {"role": "user", "content": "{{ y }} Lovelace"}])
    rendered = template.fill({"x": "Lovelace", "y": "Ada"})
    assert rendered.filled["Ada Lovelace"] == ((4, 12), (0, 3))
