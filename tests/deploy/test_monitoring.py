"""The dashboard and rules that are shipped ask for metrics and labels that there are, in files that can be read."""

import json
import re
from pathlib import Path

import pytest
import yaml

from gateway.telemetry.names import METRICS
from gateway.telemetry.prometheus import name_of

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
#: Names of series, with the labels that they can have.
SERIES = {
    f"{name_of(metric)}{suffix}": {label.replace(".", "_") for label in metric.attributes} | ({"le"} if suffix == "_bucket" else set())
    for metric in METRICS
    for suffix in (("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",))
}  # fmt: skip
#: Of PromQL itself, of Grafana and of Prometheus.
OTHER = {"up", "job"}
NAME = re.compile(r"\b(?:tollhouse|gen_ai)_[a-z_A-Z]+\b")


def rules():
    return [
        rule
        for group in yaml.safe_load((DEPLOY / "prometheus/tollhouse-rules.yml").read_text())["groups"]
        for rule in group["rules"]
    ]


def dashboard():
    return json.loads((DEPLOY / "grafana/tollhouse.json").read_text())


def expressions():
    found = {f"rule {rule['alert']}": rule["expr"] for rule in rules()}
    return found | {f"panel {p['title']} {t['refId']}": t["expr"] for p in dashboard()["panels"] for t in p["targets"]}


@pytest.mark.parametrize("where", expressions())
def test_an_expression_asks_for_series_and_labels_that_there_are(where):
    expression = expressions()[where]
    series = set(NAME.findall(expression)) & set(SERIES)
    labels = set().union(*(SERIES[name] for name in series))
    assert series or "up{" in expression
    assert set(NAME.findall(expression)) - series <= labels
    assert expression.count("(") == expression.count(")") and expression.count("{") == expression.count("}")


def test_rules_say_what_happened_and_what_to_do():
    assert len({rule["alert"] for rule in rules()}) == len(rules()) >= 8
    for rule in rules():
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
        assert rule["annotations"].keys() == {"summary", "description"}
        asked = SERIES.keys() & set(NAME.findall(rule["expr"]))
        named = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        assert named <= set().union(*(SERIES[name] for name in asked))


def test_the_scrape_and_the_panels_are_whole():
    (job,) = yaml.safe_load((DEPLOY / "prometheus/scrape.yml").read_text())["scrape_configs"]
    assert job["metrics_path"] == "/metrics" and job["authorization"].keys() == {"credentials_file"}
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    legends = [re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]) for panel in panels for target in panel["targets"]]
    assert {label for names in legends for label in names} <= set().union(*SERIES.values())
    assert {variable["name"] for variable in dashboard()["templating"]["list"]} == {"datasource", "feature"}


def test_the_collectors_pipelines_are_of_what_it_has():
    found = yaml.safe_load((DEPLOY / "collector/otel-collector.yml").read_text())
    for pipeline in found["service"]["pipelines"].values():
        for part in ("receivers", "processors", "exporters"):
            assert pipeline[part] and set(pipeline[part]) <= found[part].keys()
