"""Vendors' exports beside the ledger, through the command; the files are invented and shaped as the vendors' are."""

import json
import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.urls import reverse

from gateway.models import Adjustment, AuditEntry, Bill, BillLine, Call, Provider
from tests.rows import make_call

pytestmark = pytest.mark.django_db
DAY = date(2026, 11, 3)
START = int(datetime(2026, 11, 3, tzinfo=UTC).timestamp())
MODEL = "gpt-4o-2024-08-06"


@pytest.fixture(autouse=True)
def providers(db):
    Provider.objects.create(name="openai", kind="openai", base_url="https://x.example.com/v1")
    Provider.objects.create(name="anthropic", kind="anthropic", base_url="https://x.example.com")


def a_call(cost="2", *, day=DAY, hour=10, minute=0, **values):
    at = datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)
    given = {"provider": "openai", "model_served": MODEL, "input_tokens": 1000, "output_tokens": 200, **values}
    return make_call(at=at, cost_usd=None if cost is None else Decimal(cost), **given)


def file(folder, content, name="export"):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def bucket(*results, offset=0, **values):
    start = START + 86_400 * offset
    return {"object": "bucket", "start_time": start, "end_time": start + 86_400, "results": list(results), **values}


def page(*buckets, **values):
    return {"object": "page", "data": list(buckets), "has_more": False, "next_page": None, **values}


def cost(value, line_item=f"{MODEL}, input", **values):
    amount = {"value": value, "currency": "usd"}
    return {
        "object": "organization.costs.result",
        "amount": amount,
        "line_item": line_item,
        "project_id": None,
        **values,
    }


def usage(input_tokens=1000, output_tokens=200, **values):
    given = {"input_cached_tokens": 0, "num_model_requests": 1, "model": MODEL, "api_key_id": None, "batch": False}
    return {
        "object": "organization.usage.completions.result", "input_tokens": input_tokens, "output_tokens": output_tokens,
        **given, **values,
    }  # fmt: skip


def run(*args, provider="openai", code=0, **options):
    out = StringIO()
    try:
        call_command("reconcile", provider, *args, stdout=out, actor="ada", **options)
    except SystemExit as stopped:
        assert stopped.code == code, out.getvalue()
    else:
        assert code == 0, out.getvalue()
    return out.getvalue()


def ledger():
    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(cost_usd) FROM tollhouse_cost_entry")
        return cursor.fetchone()[0]


def test_a_bill_that_agrees_says_so_and_is_kept_once(tmp_path):
    a_call()
    path = file(tmp_path, page(bucket(cost(1.5), cost("0.5", f"{MODEL}, output")), bucket(offset=1)))
    assert "1 of 1 lines agree." in run(path)
    assert "OpenAI costs (JSON)" in run(path)
    [bill] = Bill.objects.all()
    assert (bill.matches, bill.billed_usd, bill.ledger_usd, bill.since, bill.made_by) == (True, 2, 2, DAY, "ada")


def test_differences_are_shown_stored_and_booked_once(tmp_path):
    a_call("2")
    a_call("1", day=DAY + timedelta(days=1))
    path = file(tmp_path, page(bucket(cost(2.6)), bucket(cost("1.00"), offset=1)))
    shown = run(path, code=1)
    assert "2026-11-03  openai/gpt-4o-2024-08-06" in shown and "+0.600000" in shown and "1 of 2 lines agree." in shown
    assert ledger() == 3 and not Adjustment.objects.exists()
    with pytest.raises(CommandError, match="--reason"):
        run(path, book=True)
    assert "Booked: 1 adjustments." in run(path, book=True, reason="invoice 7")
    assert ledger() == Decimal("3.6")
    made = Adjustment.objects.get()
    assert (made.call_id, made.cost_usd, made.reason, made.actor) == (None, Decimal("0.6"), "invoice 7", "ada")
    assert (made.bill_line.day, made.bill_line.model) == (DAY, MODEL)
    assert AuditEntry.objects.get().action == "bill.book"
    assert "Booked: 0 adjustments." in run(path, book=True, reason="invoice 7")
    assert "2 of 2 lines agree." in run(path)
    assert Adjustment.objects.count() == 1 and AuditEntry.objects.count() == 1 and ledger() == Decimal("3.6")
    assert sorted(Call.objects.values_list("cost_usd", flat=True)) == [1, 2]


def test_what_is_booked_makes_each_line_agree_to_the_nano_dollar(tmp_path):
    dice = random.Random(7)
    lines = {}
    for n in range(40):
        model, day = f"m{n % 8}", DAY + timedelta(days=n % 5)
        for _ in range(dice.randrange(4)):
            a_call(Decimal(dice.randrange(10**12)).scaleb(-9), model_served=model, day=day)
        lines[day, model] = Decimal(dice.randrange(10**13)).scaleb(-10)
    rows = "".join(f"{day},{model},{amount}\n" for (day, model), amount in lines.items())
    path = file(tmp_path, f"date,model,cost_usd\n{rows}")
    run(path, tolerance="0", book=True, reason="x")
    total = sum((amount.quantize(Decimal("1e-9")) for amount in lines.values()), Decimal(0))
    assert ledger() == total
    assert "40 of 40 lines agree." in run(path, tolerance="0")


def test_bills_are_never_changed(tmp_path):
    a_call()
    run(file(tmp_path, page(bucket(cost(2)))))
    for rows in (Bill, BillLine):
        for change in (
            lambda rows=rows: rows.objects.update(ledger_usd=1),
            lambda rows=rows: rows.objects.all()._raw_delete("default"),
        ):
            with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
                change()


@pytest.mark.parametrize(
    ("call", "results", "cause"),
    [
        ({"cost": None}, [cost(2)], "Missing price: 1 calls"),
        ({}, [cost(1, f"{MODEL}, batch input")], "Batch:"),
        ({"cache_read_tokens": 500}, [cost(3)], "Cache rate:"),
        ({"outcome": "lost"}, [cost(0)], "Lost calls: 1 are counted"),
        ({"usage_estimated": True, "attempts": 2}, [cost(1)], "Retries:"),
        ({"usage_estimated": True}, [cost(1)], "Estimates:"),
        ({"hour": 23, "minute": 55}, [cost(0)], "Different day boundary: calls of the day's last minutes"),
        ({"model_served": "other"}, [cost(2)], "Calls outside the gate: none of this model"),
        ({}, [cost(2), cost(1, "(web_search)")], "Not tokens: web_search has no rate"),
    ],
)
def test_the_likely_cause_is_named(tmp_path, call, results, cause):
    a_call(**call)
    shown = run(file(tmp_path, page(bucket(*results))), code=1)
    assert cause in shown, shown
    assert any(cause in text for line in BillLine.objects.all() for text in line.causes)


@pytest.mark.parametrize(
    ("tokens", "cause"),
    [
        (usage(), "Price: the tokens agree and the cost does not."),
        (usage(input_cached_tokens=800), "Cached tokens: the vendor counts 800"),
        (usage(input_tokens=9000), "Calls outside the gate: 8,000 tokens more"),
    ],
)
def test_usage_beside_cost_tells_more(tmp_path, tokens, cause):
    a_call()
    files = file(tmp_path, page(bucket(cost(3))), "costs"), file(tmp_path, page(bucket(tokens)), "usage")
    shown = run(*files, code=1)
    assert cause in shown and "Cache rate" not in shown


def test_a_day_that_the_vendor_cuts_elsewhere(tmp_path):
    a_call("2")
    a_call("2", day=DAY + timedelta(days=1))
    shown = run(file(tmp_path, page(bucket(cost(1)), bucket(cost(3), offset=1))), code=1)
    assert shown.count("Different day boundary: the day before or after") == 2


def test_usage_alone_is_compared_by_tokens_and_cannot_be_booked(tmp_path):
    a_call()
    path = file(tmp_path, page(bucket(usage())))
    assert "1 of 1 lines agree." in run(path)
    other = file(tmp_path, page(bucket(usage(input_tokens=5000))), "other")
    assert "5,200 tok" in run(other, code=1)
    with pytest.raises(CommandError, match="nothing to book"):
        run(other, book=True, reason="x")


def test_keys_that_are_not_the_gates_are_shown_apart_and_never_booked(tmp_path):
    a_call()
    path = file(tmp_path, page(bucket(cost(2, api_key_id="key_a"), cost(9, api_key_id="key_b"))))
    shown = run(path, key=["key_a"], book=True, reason="x")
    assert "key_b" in shown and "Calls outside the gate: this key" in shown and not Adjustment.objects.exists()
    assert Bill.objects.get().billed_usd == 2
    assert "+9.000000" in run(path, code=1)
    with pytest.raises(CommandError, match="not grouped by key"):
        run(file(tmp_path, page(bucket(cost(2))), "no-keys"), key=["key_a"])
    a_call("9", provider="anthropic")
    assert "2 of 2 lines agree." in run(path, key=["key_a", "key_b=anthropic"])


def test_an_export_without_models_is_compared_with_all_of_them(tmp_path):
    a_call("1")
    a_call("1", model_served="gpt-4o-mini")
    assert "1 of 1 lines agree." in run(file(tmp_path, page(bucket(cost(2, None)))))


CLAUDE = {"provider": "anthropic", "model_served": "claude-haiku-4-5-20251001", "cache_read_tokens": 50}
DAYS = {"starting_at": "2026-11-03T00:00:00Z", "ending_at": "2026-11-04T00:00:00Z"}
ANTHROPIC = {
    "cost.json": page({**DAYS, "results": [
        {"amount": "150.5", "currency": "USD", "model": "claude-haiku-4-5-20251001", "cost_type": "tokens",
         "token_type": "uncached_input_tokens", "service_tier": "standard", "description": "x", "workspace_id": None},
        {"amount": "49.5", "currency": "USD", "model": "claude-haiku-4-5-20251001", "cost_type": "tokens",
         "token_type": "output_tokens", "service_tier": "standard", "description": "x", "workspace_id": None},
    ]}),
    "usage.json": page({**DAYS, "results": [
        {"uncached_input_tokens": 900, "cache_read_input_tokens": 50, "output_tokens": 200, "model": "claude-haiku-4-5-20251001",
         "cache_creation": {"ephemeral_5m_input_tokens": 60, "ephemeral_1h_input_tokens": 40}, "api_key_id": None,
         "service_tier": "standard", "server_tool_use": {"web_search_requests": 0}},
    ]}),
    "cost.csv": "usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,cost_type\n"
    "2026-11-03,Claude Haiku 4.5,Default,k,message,≤ 200k,input_no_cache,1.50,token\n"
    "2026-11-03,Claude Haiku 4.5,Default,k,message,≤ 200k,output,0.50,token\n",
    "usage.csv": "usage_date_utc,model_version,api_key,workspace,usage_type,usage_input_tokens_no_cache,"
    "usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,usage_output_tokens\n"
    "2026-11-03,claude-haiku-4-5-20251001,k,Default,standard,900,60,40,50,200\n",
}  # fmt: skip
OPENAI = {
    "cost.csv": "\ufeffstart_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item,api_key_id\n"
    f"{START - 86400},{START},2026-11-02,2026-11-03,,,,\n"
    f'{START},{START + 86400},2026-11-03,2026-11-04,2.0000000000000000000000,usd,"{MODEL}, input",k\n',
    "usage.csv": "start_time,end_time,model,input_tokens,output_tokens,input_cached_tokens,num_model_requests,batch\n"
    f"{START},{START + 86400},{MODEL},1000,200,0,1,False\n",
    "plain.csv": f"date,model,key,cost_usd,input_tokens,output_tokens,note\n2026-11-03,{MODEL},k,$2.00,1000,200,x\n",
    "pages.json": "\n".join(json.dumps(page(bucket(cost(1), offset=0), has_more=n == 0)) for n in range(2)),
    "list.json": [page(bucket(cost(1)), has_more=True), page(bucket(cost(1)))],
}


@pytest.mark.parametrize("name", ANTHROPIC)
def test_anthropics_exports_are_known_by_their_shape(tmp_path, name):
    a_call(**CLAUDE)
    assert "1 of 1 lines agree." in run(file(tmp_path, ANTHROPIC[name]), provider="anthropic")


@pytest.mark.parametrize("name", OPENAI)
def test_openais_exports_and_plain_files_are_known_by_their_shape(tmp_path, name):
    a_call()
    assert "1 of 1 lines agree." in run(file(tmp_path, OPENAI[name]))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("a,b\n1,2\n", "line 1: these columns are of no export"),
        ("date,model,cost_usd\n2026-11-03,m,abc\n", "line 2: cost_usd is 'abc', which is no amount"),
        ("date,model,cost_usd\n2026-11-03,m,NaN\n", "line 2: cost_usd is 'NaN'"),
        ("date,model,cost_usd\n03.11.2026,m,1\n", "line 2: date is '03.11.2026', which is no date"),
        ("date,model,cost_usd\n2026-11-03,m\n", "line 2: it has more or fewer columns"),
        ("date,model,cost_usd\n2026-11-03,m,1,2\n", "line 2: it has more or fewer columns"),
        ("date,model,cost_usd,input_tokens\n2026-11-03,m,1,1.5\n", "line 2: input_tokens is '1.5'"),
        ("date,model,cost_usd\n", "has no line with a cost"),
        ("{", "line 1: it is no JSON"),
        ('{"data": ' + "9" * 5000 + "}", "line 1: it is no JSON"),
        ("[" * 100_000, "line 1: it is no JSON"),
        ('{"data": 1}', 'page 1: a page has its buckets under "data"'),
        ({"data": [{"results": []}]}, 'bucket 1: a bucket begins at "start_time"'),
        (page(bucket(cost("x"))), "page 1, bucket 1, result 1: amount is 'x'"),
        (page(bucket({**cost(1), "amount": {"value": 1, "currency": "eur"}})), "only US dollars"),
        (page(bucket(cost(1), end_time=START + 7 * 86_400)), "longer than a day"),
        (page(bucket(cost(1)), has_more=True, next_page="abc"), "ends before its last page: fetch the page 'abc'"),
        ('{"data": []}\nnonsense', "line 2: it is no JSON"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_says_where_and_what_to_do(tmp_path, content, problem):
    with pytest.raises(CommandError) as raised:
        run(file(tmp_path, content))
    assert problem in str(raised.value) and raised.value.returncode == 2
    assert not Bill.objects.exists()


def test_other_mistakes_are_told(tmp_path):
    path = file(tmp_path, page(bucket(cost(1))))
    for args, options, problem in (
        ([path], {"provider": "opnai"}, "No provider is named opnai"),
        ([path], {"tolerance": "x"}, "percentage"),
        ([path, path], {}, "would count twice"),
        ([str(tmp_path / "none")], {}, "cannot be read"),
        ([path, file(tmp_path, page(bucket(usage(model=None))), "u")], {}, "grouped by model and another is not"),
    ):
        with pytest.raises(CommandError, match=problem):
            run(*args, **options)


def test_a_big_export_is_read_line_by_line(tmp_path):
    """Two hundred thousand lines of ten models: their sums are what is kept."""
    a_call("2000", model_served="m1")
    path = tmp_path / "big.csv"
    with path.open("w") as out:
        out.write("date,model,cost_usd\n")
        out.writelines(f"2026-11-03,m{n % 10},0.1\n" for n in range(200_000))
    shown = run(str(path), code=1)
    assert "1 of 10 lines agree." in shown and "+2000.000000" in shown


def test_only_who_may_sees_bills(tmp_path, client, django_user_model):
    a_call("2")
    run(file(tmp_path, page(bucket(cost(3)))), code=1)
    user = django_user_model.objects.create_user("bob", password="x", is_staff=True)
    client.force_login(user)
    pages = [reverse(f"admin:tollhouse_gateway_{name}_changelist") for name in ("bill", "billline")]
    pages.append(reverse("admin:tollhouse_gateway_bill_change", args=[Bill.objects.get().pk]))
    assert [client.get(path).status_code for path in pages] == [403] * 3
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_bill", "view_billline"]))
    assert "$1.00" in client.get(pages[0]).content.decode()
    lines = client.get(f"{pages[1]}?bill__id__exact={Bill.objects.get().pk}&result=differs")
    assert "+$1.00" in lines.content.decode()
    assert "Show them" in client.get(pages[2]).content.decode()
    assert client.post(pages[2], {"matches": "1"}).status_code == 403
