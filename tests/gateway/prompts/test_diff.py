"""A difference shows what a reader wants to know and hides what stayed."""

from gateway.prompts.diff import MOST_LINES, compare, diff


def content(*texts, **parts):
    return {
        "messages": [{"role": "system" if n == 0 else "user", "content": text} for n, text in enumerate(texts)],
        **parts,
    }


def lines(part):
    return [f"{ {'same': ' ', 'added': '+', 'removed': '-', 'gap': '~'}[line.kind] }{line.text}" for line in part.lines]


def test_only_parts_that_differ_are_there():
    old = content("Be brief.\nBe kind.", "{{ ticket }}", parameters={"temperature": 0.2})
    new = content("Be brief.\nBe polite.", "{{ ticket }}", parameters={"temperature": 0.5})
    message, parameters = diff(old, new)
    assert (message.title, parameters.title) == ("Message 1", "Parameters")
    assert lines(message) == [" role: system", " Be brief.", "-Be kind.", "+Be polite."]
    assert lines(parameters) == [" {", '-  "temperature": 0.2', '+  "temperature": 0.5', " }"]
    assert diff(old, old) == []


def test_a_message_put_in_front_does_not_change_the_others():
    old = {"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]}
    new = {"messages": [{"role": "system", "content": "s"}, *old["messages"]]}
    [part] = diff(old, new)
    assert (part.title, lines(part)) == ("Message 1", ["+role: system", "+s"])
    [part] = diff(new, old)
    assert part.title == "Message 1, which is gone"


def test_a_changed_role_and_new_tools_are_shown():
    old = {"messages": [{"role": "system", "content": "a"}]}
    new = {"messages": [{"role": "developer", "content": "a"}], "tools": [{"type": "function"}]}
    message, tools = diff(old, new)
    assert lines(message) == ["-role: system", "+role: developer", " a"]
    assert all(line.kind == "added" for line in tools.lines)


def test_long_unchanged_stretches_are_told_by_their_length():
    old = [str(n) for n in range(50)]
    new = [*old[:25], "new", *old[25:]]
    assert [line.text for line in compare(old, new)] == [
        "22 unchanged lines",
        "22",
        "23",
        "24",
        "new",
        "25",
        "26",
        "27",
        "22 unchanged lines",
    ]


def test_texts_too_long_are_not_compared_line_by_line():
    assert compare(["x"] * MOST_LINES, ["y"] * MOST_LINES)[0].text == f"{MOST_LINES} lines"
    assert compare(["x"] * MOST_LINES, ["x"] * MOST_LINES) == []
