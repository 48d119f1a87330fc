"""A deployment moves in one way: whole, with a reason and an audit entry, or not at all."""

import threading
from datetime import timedelta
from itertools import pairwise

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.utils import InternalError

from gateway.models import AuditEntry, Deployment, Prompt, PromptVersion, Variant
from gateway.prompts.deploy import CannotMove, before_last, history, live_since, move, roll_back
from tests.gateway.prompts.authored import author

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def feature(world):
    return world.feature("support.reply")


def live(feature):
    variants = Variant.objects.filter(deployment__prompt__feature=feature)
    return {v.version.address: v.weight for v in variants.select_related("version")}


def test_a_move_is_an_audit_entry_with_from_to_who_and_why(feature):
    one, two = author(feature, "one"), author(feature, "two")
    assert str(move(one.prompt, {one: 100}, actor="ada", reason="first")) == f"nothing → {one.short}"
    moved = move(one.prompt, {one: 90, two: 10}, actor="bob", reason="a ramp")
    assert moved.before[0].address == one.address and len(moved.after) == 2
    entry = AuditEntry.objects.filter(action="deployment.move").first()
    assert (entry.actor, entry.reason, entry.subject) == ("bob", "a ramp", "support.reply")
    assert entry.detail["from"] == [{"version": one.address, "weight": 100}]
    assert sorted(s["weight"] for s in entry.detail["to"]) == [10, 90]
    deployment = Deployment.objects.get()
    assert (deployment.moved_by, deployment.reason) == ("bob", "a ramp")
    assert live(feature) == {one.address: 90, two.address: 10}


def test_what_is_live_already_is_no_move(feature):
    one = author(feature, "one")
    move(one.prompt, {one: 100}, actor="ada", reason="first")
    assert move(one.prompt, {one: 100}, actor="bob", reason="again") is None
    assert AuditEntry.objects.count() == 1


def test_rolling_back_puts_back_what_was_live_before(feature):
    one, two = author(feature, "one"), author(feature, "two")
    move(one.prompt, {one: 70, two: 30}, actor="ada", reason="a split")
    move(one.prompt, {two: 100}, actor="ada", reason="two wins")
    roll_back(one.prompt, actor="bob", reason="two is rude")
    assert live(feature) == {one.address: 70, two.address: 30}
    assert [m.reason for m in history(one.prompt)] == ["two is rude", "two wins", "a split"]
    assert len(before_last(history(one.prompt))) == 1


@pytest.mark.parametrize(
    "weights, reason, problem",
    [
        ({"one": 100}, " ", "Say why"),
        ({"one": 100}, "x" * 501, "more than 500"),
        ({}, "why", "At least one version"),
        ({"one": 0}, "why", "must be from 1 to"),
        ({"one": 10**9}, "why", "must be from 1 to"),
        ({"one": 50, "other": 50}, "why", "is a version of another prompt than support.reply"),
        ({"observed": 100}, "why", "was observed in a call"),
        ({"broken": 100}, "why", "cannot be rendered"),
    ],
)
def test_what_cannot_be_live_is_refused_whole(world, feature, weights, reason, problem):
    versions = {"one": author(feature, "one"), "other": author(world.feature("other"), "one")}
    prompt = versions["one"].prompt
    for name, text in (("observed", "x"), ("broken", "{% for %}")):
        versions[name] = PromptVersion.objects.create(
            prompt=prompt, address=name.encode().hex().ljust(64, "0"), origin="observed" if name == "observed" else "admin",
            content={"messages": [{"role": "system", "content": text}]},
        )  # fmt: skip
    with pytest.raises(CannotMove, match=problem):
        move(prompt, {versions[name]: weight for name, weight in weights.items()}, actor="ada", reason=reason)
    assert not Variant.objects.exists() and not AuditEntry.objects.exists()


def test_a_first_move_cannot_be_rolled_back(feature):
    one = author(feature, "one")
    for _ in range(2):
        with pytest.raises(CannotMove, match="Nothing was live"):
            roll_back(one.prompt, actor="ada", reason="why")
        move(one.prompt, {one: 100}, actor="ada", reason="first")


def test_somebody_else_s_move_is_not_overwritten_unseen(feature):
    one, two = author(feature, "one"), author(feature, "two")
    seen = Deployment.objects.get().moved_at
    move(one.prompt, {one: 100}, actor="ada", reason="first", seen=seen)
    with pytest.raises(CannotMove, match="moved by somebody else"):
        move(one.prompt, {two: 100}, actor="bob", reason="mine", seen=seen)
    assert live(feature) == {one.address: 100}


def test_moves_at_the_same_time_come_one_after_the_other(feature):
    versions = [author(feature, str(number)) for number in range(4)]

    def run(version):
        move(version.prompt, {version: 100}, actor=version.short, reason="race")
        connection.close()

    threads = [threading.Thread(target=run, args=[version]) for version in versions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    moves = history(versions[0].prompt)
    assert len(moves) == 4
    for later, earlier in pairwise(moves):
        assert later.before == earlier.after
    assert live(feature) == {moves[0].after[0].address: 100}


def test_since_when_a_version_is_live_does_not_change_with_its_weight(feature):
    one, two = author(feature, "one"), author(feature, "two")
    for weights in ({one: 100}, {two: 100}, {one: 10, two: 90}, {one: 50, two: 50}):
        move(one.prompt, weights, actor="ada", reason="next")
    newest, ramp, second, first = history(one.prompt)
    assert first.at < second.at < ramp.at < newest.at
    assert live_since(history(one.prompt)) == {one.address: ramp.at, two.address: second.at}


@pytest.mark.parametrize("table", ["tollhouse_prompt_version", "tollhouse_price", "tollhouse_audit"])
def test_what_stays_cannot_be_changed_deleted_or_emptied(feature, table):
    version = author(feature, "one")
    move(version.prompt, {version: 100}, actor="ada", reason="first")
    for statement in (f"UPDATE {table} SET id = id", f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
        with (
            pytest.raises(IntegrityError, match="never changed or deleted"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("TRUNCATE tollhouse_prompt CASCADE")


def test_the_database_keeps_versions_with_their_prompt(world, feature):
    one, other = author(feature, "one"), author(world.feature("other"), "two")
    deployment = Deployment.objects.get(prompt=one.prompt)
    with pytest.raises((IntegrityError, InternalError), match="of another prompt"):
        Variant.objects.create(deployment=deployment, version=other)
    Variant.objects.create(deployment=deployment, version=one)
    with pytest.raises((IntegrityError, InternalError), match="of another prompt"):
        Variant.objects.update(version=other)
    Deployment.objects.filter(prompt=one.prompt).update(moved_at=deployment.moved_at + timedelta(days=1))
    third = Prompt.objects.create(feature=world.feature("third"))
    with pytest.raises((IntegrityError, InternalError), match="stays with its prompt"):
        Deployment.objects.filter(prompt=one.prompt).update(prompt=third)
