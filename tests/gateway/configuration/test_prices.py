"""Prices in catalog files: a row only where they differ, what looks like a mistake, and what goes out again."""

import tomllib

import pytest

from gateway.configuration.export import export
from gateway.models import Price
from tests.gateway.configuration.test_apply import applied

pytestmark = pytest.mark.django_db


def test_a_price_override_is_a_new_row_only_when_it_differs():
    price = '[[prices]]\nprovider = "local"\nmodel = "small"\ninput_usd_per_mtok = {}\n'
    applied(price.format("0.1"))
    applied(price.format("0.10"))
    applied(price.format("0.2"))
    assert [p.rates for p in Price.objects.order_by("id")] == [{"input": "0.1"}, {"input": "0.2"}]


def test_a_price_that_moves_a_thousandfold_is_pointed_out():
    price = '[[prices]]\nprovider = "local"\nmodel = "small"\ninput_usd_per_mtok = {}\noutput_usd_per_mtok = 0\n'
    applied(price.format("0.15"))
    assert applied(price.format("0.2")) == ["+ price local/small"]
    assert applied(price.format("0.0000002"))[0].startswith("! price local/small: changes more than a thousandfold")


@pytest.mark.parametrize(
    ("model", "rates", "doubt"),
    [
        ("own", "input_usd_per_mtok = 0.0000025\noutput_usd_per_mtok = 10", "has 0.0000025 for input; prices are US dollars per million"),
        ("own", "input_usd_per_mtok = 2.5\noutput_usd_per_mtok = 10000", "has 10000 for output"),
        ("own", "input_usd_per_mtok = 2.5", "has no rate for output, so what the model writes is free"),
        # A first row of one's own is compared with the seed's.
        ("known", "input_usd_per_mtok = 2500\noutput_usd_per_mtok = 10", "changes more than a thousandfold"),
    ],
)  # fmt: skip
def test_a_price_that_looks_like_a_mistake_is_pointed_out(model, rates, doubt):
    Price.objects.create(provider="p", model="known", rates={"input": "2.5", "output": "10"}, source="genai-prices 1")
    plan = applied(f'[[prices]]\nprovider = "p"\nmodel = "{model}"\n{rates}\n')
    assert plan[0].startswith(f"! price p/{model}: {doubt}") and plan[1:] == [f"+ price p/{model}"]


def test_prices_entered_in_the_admin_are_exported_too():
    Price.objects.create(provider="p", model="flat", rates={"input": "2.50"}, source="admin jo")
    Price.objects.create(provider="p", model="tiered", rates={"input": "1", "tiers": []}, source="admin jo")
    Price.objects.create(provider="p", model="seed", rates={"input": "1"}, source="litellm 1")
    text = export(with_secrets=False)
    assert [price["model"] for price in tomllib.loads(text)["prices"]] == ["flat"]
    assert "# Prices of p/tiered have tiers or variants and are left out" in text
    assert applied(text) == ["= price p/flat"]
