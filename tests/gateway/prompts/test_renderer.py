"""A slow template keeps its own feature's callers waiting, and nobody else."""

import asyncio
from time import perf_counter

import pytest

from gateway.errors import PromptError
from gateway.prompts.renderer import THREADS, Renderer
from gateway.prompts.template import Template

SLOW = "{% for a in x %}{% for b in x %}{% for c in x %}{% endfor %}{% endfor %}{% endfor %}"
MANY = {"x": list(range(1000))}


def user(text):
    return Template([{"role": "user", "content": text}])


@pytest.fixture
async def renderer():
    found = Renderer()
    yield found
    found.close()


@pytest.mark.parametrize(
    "text, variables, small",
    [
        ("no variable", {}, True),
        ("{{ x }}", {"x": "a ticket " * 500}, True),
        ("{% if x %}{{ x|upper }}{% else %}-{% endif %}", {"x": "word"}, True),
        ("{{ x|tojson }}", {"x": {"a": [1, 2, {"b": None}]}}, True),
        ("{{ x }}", {"x": "a" * 30_000}, False),
        ("{{ x|tojson }}", {"x": [[[]]] * 10_000}, False),
        ("{{ x|tojson }}", {"x": {"a" * 30_000: 1}}, False),
        ("{{ x|upper }}" * 200, {"x": "word " * 40}, False),
        ("{% for a in x %}{% endfor %}", {"x": []}, False),
        ("{{ range(1000)|map('upper')|join }}{{ x }}", {"x": ""}, False),
        ("{{ x|sort }}", {"x": []}, False),
        ("{% set y = x %}{{ y }}", {"x": ""}, False),
        ("{{ [x, x] }}", {"x": ""}, False),
        ("{{ x.y() }}", {"x": ""}, False),
    ],
)
def test_what_is_rendered_in_the_event_loop(text, variables, small):
    assert user(text).is_small(variables) == small


async def test_small_prompts_of_all_features_go_on_while_a_slow_one_renders(renderer):
    slow = asyncio.create_task(renderer.render("slow", user(SLOW), MANY))
    small, done = user("Hello {{ x }}"), 0
    while not slow.done():
        rendered = await renderer.render("slow", small, {"x": "you"})
        assert rendered.messages == [{"role": "user", "content": "Hello you"}]
        done += 1
        await asyncio.sleep(0.001)
    with pytest.raises(PromptError, match="longer than 1 s"):
        await slow
    assert done > 20


async def test_large_prompts_of_other_features_go_on_too(renderer):
    slow = [asyncio.create_task(renderer.render("slow", user(SLOW), MANY)) for _ in range(2 * THREADS)]
    await asyncio.sleep(0)
    rendered = await renderer.render("other", user("{% for a in x %}{{ a }}{% endfor %}"), {"x": [1, 2]})
    [message] = rendered.messages
    assert message["content"] == "12"
    assert not any(task.done() for task in slow[1:])
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)


async def test_a_caller_who_goes_away_does_not_free_the_turn_of_the_thread(renderer):
    first = asyncio.create_task(renderer.render("slow", user(SLOW), MANY))
    await asyncio.sleep(0.05)
    first.cancel()
    second = asyncio.create_task(renderer.render("slow", user("{% for a in x %}{{ a }}{% endfor %}"), {"x": [1]}))
    other = await renderer.render("other", user("{% for a in x %}{{ a }}{% endfor %}"), {"x": [2]})
    assert other.messages[0]["content"] == "2" and not second.done()
    assert (await second).messages[0]["content"] == "1"


async def test_each_rendering_has_a_clock_of_its_own(renderer):
    """Short renderings of the same template do not put the end of a long one off."""
    template = user(
        "{% if x is iterable %}{% for a in x %}{% for b in x %}{% for c in x %}{% endfor %}{% endfor %}{% endfor %}{% endif %}"
    )
    began = perf_counter()
    slow = asyncio.create_task(renderer.render("slow", template, MANY))
    while not slow.done() and perf_counter() - began < 30:
        template.render({"x": []})
        await asyncio.sleep(0.01)
    with pytest.raises(PromptError, match="longer than 1 s"):
        await slow
