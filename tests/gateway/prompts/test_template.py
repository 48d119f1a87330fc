"""Templates render what they are given, and nothing that could hurt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import PromptError
from gateway.prompts.template import Template


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
