"""Prompts as files: pulled, edited and pushed again, all or nothing."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from gateway.models import AuditEntry, Prompt, PromptVersion, Variant
from gateway.prompts.deploy import move
from tests.gateway.prompts.authored import author

pytestmark = pytest.mark.django_db(transaction=True)


def prompts(*arguments, **options):
    out, err = StringIO(), StringIO()
    try:
        call_command("prompts", *map(str, arguments), stdout=out, stderr=err, **options)
    except SystemExit as error:
        assert error.code == 1
        assert err.getvalue().endswith("to mend.\n")
    return out.getvalue().splitlines(), err.getvalue().splitlines()


@pytest.fixture
def live(world):
    """A live version with all parts."""
    version = author(
        world.feature("support.reply"), 'Be brief.\nSay "hello".', parameters={"temperature": 0.2},
        tools=[{"type": "function", "function": {"name": "look_up", "parameters": {"enum": ["a", None]}}}],
    )  # fmt: skip
    move(version.prompt, {version: 100}, actor="ada", reason="first")
    return version


def test_what_was_pulled_pushes_as_the_same_version(live, tmp_path):
    out, _ = prompts("pull", tmp_path)
    assert out == [f"+ {tmp_path}/support.reply.toml: {live}, live"]
    out, _ = prompts("push", tmp_path)
    assert out == ["= 1 unchanged", "Done."]
    assert PromptVersion.objects.count() == 1 and AuditEntry.objects.count() == 1
    assert list(tmp_path.iterdir()) == [tmp_path / "support.reply.toml"]


def test_an_edited_file_is_a_new_version_and_live_where_that_is_asked(live, tmp_path):
    prompts("pull", tmp_path)
    file = tmp_path / "support.reply.toml"
    file.write_text(file.read_text().replace("Be brief.", "Be polite."))
    out, _ = prompts("push", tmp_path, "--dry-run", "--deploy")
    assert out[0].startswith("+ prompt support.reply@") and out[-1] == "Nothing was done (dry run)."
    assert PromptVersion.objects.count() == 1
    out, _ = prompts("push", tmp_path, "--actor", "bob")
    new = PromptVersion.objects.first()
    assert out == [f"+ prompt {new}", "= 0 unchanged", "Done."]
    assert (new.created_by, Variant.objects.get().version) == ("bob", live)
    out, _ = prompts("push", tmp_path, "--deploy", "--reason", "kinder", "--actor", "bob")
    assert out == [f"~ deployment of support.reply: {live.short} → {new.short}", "= 1 unchanged", "Done."]
    assert Variant.objects.get().version == new
    moved, pushed = AuditEntry.objects.filter(action="deployment.move").first(), AuditEntry.objects.first()
    assert (moved.actor, moved.reason) == ("bob", "kinder")
    assert (pushed.action, pushed.reason) == ("prompts.push", "kinder")


def test_a_file_that_makes_the_version_keeps_its_comments(live, tmp_path):
    prompts("pull", tmp_path)
    file = tmp_path / "support.reply.toml"
    commented = "# mind the tone\n" + file.read_text()
    file.write_text(commented)
    out, _ = prompts("pull", tmp_path)
    assert out == [f"= {file}"] and file.read_text() == commented
    other = author(live.prompt.feature, "Be quick.")
    move(live.prompt, {other: 30, live: 70}, actor="ada", reason="a split")
    assert prompts("pull", tmp_path)[0] == [f"= {file}"]
    move(live.prompt, {other: 70, live: 30}, actor="ada", reason="a split")
    [line], _ = prompts("pull", tmp_path, "--prompt", "support.reply")
    assert line == f"~ {file}: {other}, live with the largest share of a split, 70 of 100"
    assert "mind the tone" not in file.read_text()


def test_a_prompt_that_was_never_live_is_pulled_as_its_newest_version(world, tmp_path):
    author(world.feature("f"), "one")
    newest = author(Prompt.objects.get().feature, "two")
    assert prompts("pull", tmp_path)[0] == [f"+ {tmp_path}/f.toml: {newest}, not live"]


def test_nothing_is_pushed_where_something_is_wrong_and_all_of_it_is_told(live, world, tmp_path):
    world.feature("good")
    (tmp_path / "good.toml").write_text("[[messages]]\nrole = 'user'\ncontent = 'x'\n")
    (tmp_path / "support.reply.toml").write_text("[[messages]]\nrole = 'user'\ncontent = '''\n{{ x '''\n")
    (tmp_path / "unknown.toml").write_text("[[messages]]\nrole = 'user'\ncontent = 'x'\n[parameter]\n")
    (tmp_path / "zzz.toml").write_text("[[messages]\n")
    _, err = prompts("push", tmp_path, "--deploy")
    assert [line.removeprefix(f"{tmp_path}/")[:60] for line in err] == [
        "support.reply.toml:3: The prompt is no valid template: unexp",
        "unknown.toml:4: 'parameter' is not known here; did you mean ",
        "unknown.toml:1: There is no feature 'unknown'; the file is n",
        "zzz.toml:1: This is not valid TOML: Expected ']]' at the end",
        "zzz.toml:1: There is no feature 'zzz'; the file is named aft",
        "Nothing was done: 5 to mend.",
    ]
    assert PromptVersion.objects.count() == 1 and Prompt.objects.count() == 1


def test_folders_and_prompts_that_do_not_exist_are_told(live, tmp_path):
    assert "has no files named after features" in prompts("push", tmp_path)[1][0]
    assert (
        prompts("pull", tmp_path, "--prompt", "nobody")[1][0]
        == "There is no prompt 'nobody' with a version of its own."
    )
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(CommandError, match="is no folder"):
        prompts("push", tmp_path / "missing")
    with pytest.raises(CommandError, match="add --deploy"):
        prompts("push", tmp_path, "--reason", "why")
    (tmp_path / "support.reply.toml").write_bytes(b"\xff")
    told = prompts("push", tmp_path)[1][0]
    assert told == f"{tmp_path}/support.reply.toml:1: This is no text in UTF-8; save it as such."
    (tmp_path / "support.reply.toml").unlink()
    (tmp_path / "support.reply.toml").mkdir()
    with pytest.raises(CommandError, match=r"support\.reply\.toml cannot be read or written"):
        prompts("push", tmp_path)


def test_a_file_that_an_editor_of_windows_saved_makes_the_same_version(live, tmp_path):
    prompts("pull", tmp_path)
    file = tmp_path / "support.reply.toml"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    assert prompts("push", tmp_path) == (["= 1 unchanged", "Done."], [])


def test_a_version_that_no_file_can_make_is_told(live, tmp_path):
    PromptVersion.objects.create(
        prompt=live.prompt, address="ab" * 32, origin="admin", content={"messages": [{"role": "user", "content": "x"}]}
    )
    odd = PromptVersion.objects.first()
    move(live.prompt, {odd: 100}, actor="ada", reason="odd")
    assert "cannot be written as a file" in prompts("pull", tmp_path)[1][0]
