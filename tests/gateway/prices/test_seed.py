"""The seeded book agrees with the packages it comes from."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import IntegrityError, transaction
from genai_prices import Usage as TheirUsage
from genai_prices import calc_price
from genai_prices.data import providers

from gateway.models import Price
from gateway.prices.book import PriceBook
from gateway.prices.cost import cost_usd
from gateway.prices.seed import seed
from gateway.types import Usage

MOMENTS = [
    datetime(2025, 5, 1, 12, tzinfo=UTC),
    datetime(2026, 11, 1, 3, tzinfo=UTC),
    datetime(2026, 11, 1, 17, tzinfo=UTC),
]
#: (all input, cache read, cache write, output); small, cached, and beyond every known tier.
SHAPES = [(1000, 0, 0, 100), (1000, 800, 0, 100), (1000, 300, 200, 7), (450_000, 1000, 500, 2000)]


@pytest.fixture(scope="module")
def book():
    rows = (
        (number, p.provider, p.model, p.effective_from, p.source, p.match, p.rates)
        for number, p in enumerate(seed(), 1)
    )
    return PriceBook.from_rows(rows)


def test_every_model_of_genai_prices_costs_the_same_to_the_nano_dollar(book):
    compared, wrong = 0, []
    for provider in providers:
        for model in provider.models:
            for at in MOMENTS:
                compared += _compare(book, provider.id, model.id, at, wrong)
    assert wrong == []
    assert compared > 10_000


def _compare(book, provider, model, at, wrong):
    quote = book.find(provider, model, at)
    compared = 0
    for all_input, read, write, output in SHAPES:
        try:
            theirs = calc_price(
                TheirUsage(input_tokens=all_input, cache_read_tokens=read, cache_write_tokens=write, output_tokens=output),
                model_ref=model, provider_id=provider, genai_request_timestamp=at,
            )  # fmt: skip
        except (LookupError, ValueError):
            continue
        if quote is None:
            # Nothing of it is billed by the token.
            if theirs.total_price:
                wrong.append((provider, model, "no quote", theirs.total_price))
            continue
        usage = Usage(
            input_tokens=all_input - read - write,
            cache_read_tokens=read,
            cache_write_tokens=write,
            output_tokens=output,
        )
        ours = cost_usd(usage, quote.rates)
        compared += 1
        if abs(ours - theirs.total_price) > Decimal("5e-10"):
            wrong.append((provider, model, at.isoformat(), (all_input, read, write, output), ours, theirs.total_price))
    return compared


def test_history_is_kept(book):
    usage = Usage(input_tokens=1000, output_tokens=100)
    then, now = (book.find("openai", "o3", at) for at in MOMENTS[:2])
    assert cost_usd(usage, then.rates) == Decimal("0.014")
    assert cost_usd(usage, now.rates) == Decimal("0.0028")


def test_a_dated_snapshot_has_its_model_price(book):
    assert (
        book.find("openai", "gpt-4o-mini-2024-07-18", MOMENTS[1]).rates
        == book.find("openai", "gpt-4o-mini", MOMENTS[1]).rates
    )


def test_litellm_fills_in_what_is_missing(book):
    assert any(p.source.startswith("litellm") for p in seed())
    quote = book.find("deepinfra", "meta-llama/Meta-Llama-3.1-8B-Instruct", MOMENTS[1])
    assert quote is not None and quote.source.startswith("litellm")


def test_an_unknown_model_has_no_price(book):
    assert book.find("openai", "gpt-of-the-future", MOMENTS[1]) is None
    assert book.find("nobody", "gpt-4o", MOMENTS[1]) is None


def test_an_override_counts_before_the_seed_and_a_later_one_before_an_earlier_one():
    rows = [
        (1, "openai", "gpt-4o", None, "catalog", None, {"input": "1"}),
        (2, "openai", "gpt-4o", None, "catalog", None, {"input": "2"}),
        (3, "openai", "gpt-4o", MOMENTS[0], "genai-prices 9", {"equals": "gpt-4o"}, {"input": "3"}),
    ]
    assert PriceBook.from_rows(rows).find("openai", "gpt-4o", MOMENTS[1]).id == 2


@pytest.mark.django_db
def test_sync_adds_what_is_new_and_nothing_twice():
    first, second = StringIO(), StringIO()
    call_command("prices", "sync", stdout=first)
    assert Price.objects.count() > 4000
    call_command("prices", "sync", stdout=second)
    assert [line.split(": ")[1] for line in second.getvalue().splitlines()] == ["0 new prices", "0 new prices"]


@pytest.mark.django_db
def test_cost_prices_each_line_and_reports_bad_ones(tmp_path, capsys):
    call_command("prices", "sync", stdout=StringIO())
    cases = tmp_path / "cases.jsonl"
    good = {
        "provider": "openai",
        "model": "gpt-4o",
        "at": "2026-11-01T00:00:00Z",
        "input": 1000,
        "cached_input": 800,
        "output": 0,
    }
    unknown = {"provider": "openai", "model": "nope", "input": 1, "output": 1}
    inconsistent = {**good, "cached_input": 1001}
    cases.write_text("\n".join([json.dumps(good), "not json", json.dumps(unknown), json.dumps(inconsistent)]))
    out, err = StringIO(), StringIO()
    with pytest.raises(SystemExit):
        call_command("prices", "cost", str(cases), stdout=out, stderr=err)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["cost_usd"] for line in lines] == ["0.0015", None, None]
    assert "no price is known for openai/nope" in lines[1]["why"]
    assert ":2: " in err.getvalue()


@pytest.mark.django_db
@pytest.mark.parametrize("change", [lambda: Price.objects.update(source="me"), lambda: Price.objects.all().delete()])
def test_a_price_is_never_changed(change):
    Price.objects.create(provider="p", model="m", rates={"input": "1"}, source="catalog")
    with pytest.raises(IntegrityError, match="add a new one instead"), transaction.atomic():
        change()
