"""The dashboard shows what is exported: no panel asks for a metric that is not there, no metric is on no panel."""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

from actors.gauges import METRICS

DASHBOARD = Path(__file__).resolve().parents[2] / "clusters" / "grafana.json"


def panels() -> list[dict[str, Any]]:
    return json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]


def expressions() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel.get("targets", ())]


def asked(expression: str) -> set[str]:
    return set(re.findall(r"\bray_truing_\w+", expression))


def test_each_panel_asks_for_metrics_that_are_exported() -> None:
    exported = {name for metric in METRICS.values() for name in metric.exported}
    for expression in expressions():
        names = asked(expression)
        assert names, expression
        assert names <= exported, expression


def test_each_metric_is_on_a_panel() -> None:
    shown = {name for expression in expressions() for name in asked(expression)}
    assert [metric.name for metric in METRICS.values() if not shown & set(metric.exported)] == []


def test_each_query_keeps_to_the_chosen_runs_and_roles() -> None:
    for expression in expressions():
        chosen = expression.count('{run=~"$run", role=~"$role"}')
        assert chosen == len(re.findall(r"\bray_truing_\w+", expression)), expression


def test_a_counter_is_asked_for_its_rate_or_its_sum() -> None:
    counters = {name for metric in METRICS.values() if metric.kind == "counter" for name in metric.exported}
    for expression in expressions():
        if asked(expression) & counters:
            assert re.match(r"sum by \(run, role\) \(", expression), expression


def test_legends_name_tags_that_the_metric_has() -> None:
    """Each metric has run and role; WorkerId, one a process, is Ray's."""
    tags = {name: {"run", "role", "WorkerId", *one.tags} for one in METRICS.values() for name in one.exported}
    for panel in panels():
        for target in panel.get("targets", ()):
            (name,) = asked(target["expr"])
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= tags[name], target


def test_panels_have_their_own_ids_and_places() -> None:
    every = panels()
    assert len({panel["id"] for panel in every}) == len(every)
    for one, other in combinations(every, 2):
        a, b = one["gridPos"], other["gridPos"]
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        above = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert beside or above, (one["title"], other["title"])


def test_rows_are_the_roles() -> None:
    titles = [panel["title"] for panel in panels() if panel["type"] == "row"]
    assert titles == ["Training, by stage", "Labels and other offline passes", "Engines", "Actors"]
