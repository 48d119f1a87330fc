"""The demo: believable, the same for the same seed, in no database with real calls, and gone when it is removed."""

import pytest
from django.core.management import CommandError, call_command

from budgets.models import Alert, Budget, Switch, Window
from dashboards.filters import Filters
from dashboards.models import RollupState
from dashboards.rollups import entities, figures
from dashboards.rollups.check import differences
from gateway.models import Call, Score
from gateway.models.calls import uuid7_time
from tests.rows import make_call


def test_the_demo_comes_and_goes(transactional_db, capsys):
    call_command("demo_data", days=3, calls=600)
    said = Score.objects.values_list("feature", "kind", "value")
    assert {kind for _, kind, _ in said} == {"edit", "feedback", "eval"} and len({feature for feature, *_ in said}) > 2
    assert 10 < Score.objects.values("call_id").distinct().count() < 60 and {value for *_, value in said} >= {0, 1}
    oldest, newest = (uuid7_time(Call.objects.order_by(by).first().id) for by in ("id", "-id"))
    whole = Filters(oldest, newest)
    [one] = figures(whole)
    assert one.calls == Call.objects.count() == 600 and one.cost_usd > 0 and one.ok > 400
    assert {found.values[0] for found in figures(whole, ("feature",))} >= {"support.reply", "support.triage"}
    assert len(figures(whole, ("tenant",))) > 20 and entities(whole)
    assert Window.objects.exists() and Switch.objects.in_force().exists() and Alert.objects.exists()
    assert RollupState.objects.get().built and not differences()
    with pytest.raises(CommandError, match="there already"):
        call_command("demo_data", calls=10)
    call_command("demo_data", remove=True)
    assert (
        not Score.objects.exists()
        and not Call.objects.exists()
        and not Budget.objects.exists()
        and not Window.objects.exists()
    )
    assert not Alert.objects.exists() and not Switch.objects.exists() and figures(whole)[0].calls == 0
    make_call()
    with pytest.raises(CommandError, match="real calls"):
        call_command("demo_data", calls=10)
