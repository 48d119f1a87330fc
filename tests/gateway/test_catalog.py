"""The snapshot: whole, immutable, and never long behind the database."""

import asyncio

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

import gateway
from gateway import errors
from gateway.catalog import load, watch
from gateway.errors import NotFound
from gateway.models import Feature, PromptVersion
from gateway.prompts.address import address
from gateway.running import Running


def test_it_holds_what_calls_need(world):
    feature = world.feature("f", "a", "b", max_output_tokens=7)
    world.prompt(feature, {"messages": [{"role": "user", "content": "{{ x }}"}]})
    catalog = load()
    found = catalog.features["f"]
    assert [str(t) for t in found.route.targets] == ["mock/a", "mock/b"]
    assert (found.max_output_tokens, found.policy.name, found.live[0].template.variables) == (7, "off", {"x"})
    with pytest.raises(TypeError):
        catalog.features["g"] = found
    with pytest.raises(AttributeError):
        found.slug = "g"


def test_a_route_can_be_narrowed_to_one_of_its_models(world):
    world.feature("f", "a", "b")
    catalog = load()
    find = lambda asked: [t.model for t in catalog.find_target(catalog.features["f"], asked).targets]  # noqa: E731
    assert find("") == find("f") == ["a", "b"]
    assert find("b") == find("mock/b") == ["b"]
    with pytest.raises(NotFound, match="has no model 'c'; its route f has mock/a, mock/b"):
        find("c")


def test_prices_are_read_again_only_when_they_changed(world):
    world.feature("f")
    first = load()
    Feature.objects.update(description="new")
    second = load(first)
    assert second.prices is first.prices and second.features["f"].description == "new"
    world.price("other")
    assert load(second).prices is not second.prices


def test_loading_costs_the_same_number_of_queries_whatever_is_configured(world, django_assert_max_num_queries):
    for number in range(10):
        feature = world.feature(f"f{number}", "a", "b")
        world.prompt(feature, {"messages": [{"role": "user", "content": f"{number}"}]})
    with django_assert_max_num_queries(12):
        load()


@pytest.mark.parametrize("notified", [True, False])
async def test_a_change_arrives_by_notification_or_by_polling(world, settings, notified):
    settings.TOLLHOUSE = {"CATALOG_POLL_S": 60.0 if notified else 0.1}
    await sync_to_async(world.feature)("f")
    catalog = await sync_to_async(load)()
    if not notified:
        await sync_to_async(silence_notifications)()
    seen: asyncio.Queue = asyncio.Queue()
    task = asyncio.create_task(watch(seen.put_nowait, catalog, Running()))
    try:
        await asyncio.sleep(0.2)
        await Feature.objects.filter(slug="f").aupdate(description="new")
        async with asyncio.timeout(10):
            swapped = await seen.get()
        assert swapped.features["f"].description == "new"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if not notified:
            await sync_to_async(restore_notifications)()


async def test_it_comes_back_after_the_database_went_away(world, settings):
    settings.TOLLHOUSE = {"CATALOG_POLL_S": 0.2}
    await sync_to_async(world.feature)("f")
    seen: asyncio.Queue = asyncio.Queue()
    task = asyncio.create_task(watch(seen.put_nowait, await sync_to_async(load)(), Running()))
    try:
        await asyncio.sleep(0.2)
        await sync_to_async(break_connections)()
        await Feature.objects.filter(slug="f").aupdate(description="new")
        async with asyncio.timeout(10):
            assert (await seen.get()).features["f"].description == "new"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_versions_are_immutable(world):
    content = {"messages": [{"role": "user", "content": "x"}]}
    [version] = world.prompt(world.feature("f"), content)
    assert version.address == address(content) and str(version) == f"f@{version.address[:8]}"
    from django.db import IntegrityError

    for change in (lambda: PromptVersion.objects.update(origin="admin"), lambda: PromptVersion.objects.all().delete()):
        with pytest.raises(IntegrityError):
            change()


def silence_notifications():
    """Makes revisions change without telling anyone, as if a notification was lost."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_get_functiondef('tollhouse_bump_revision_v1'::regproc)")
        globals()["_definition"] = cursor.fetchone()[0]
        cursor.execute(globals()["_definition"].replace("PERFORM pg_notify('tollhouse_revision', TG_ARGV[0]);", ""))


def restore_notifications():
    with connection.cursor() as cursor:
        cursor.execute(globals()["_definition"])


def break_connections():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'tollhouse' AND datname = current_database() AND usename = current_user"
        )


def test_a_live_prompt_that_does_not_compile_concerns_its_own_feature_alone(world, caplog):
    world.prompt(world.feature("broken"), {"messages": [{"role": "user", "content": "{% if %}"}], "variables": []})
    world.prompt(world.feature("sound"), {"messages": [{"role": "user", "content": "{{ x }}"}], "variables": ["x"]})
    assert gateway.complete("sound", {"x": "hello"}).text == "hello"
    with pytest.raises(errors.PromptError, match="no valid template"):
        gateway.complete("broken", {})
    assert "the live prompt broken@" in caplog.text
