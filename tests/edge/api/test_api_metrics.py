"""The metrics: readable by Prometheus, true to the record, and every query of the dashboard finds its own."""

from __future__ import annotations

import json
import math
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge.api.metrics import MOST_BEHIND, names
from edge.api.tokens import ApiRole
from edge.record.canonical import decode
from edge.record.journal import Journal

House = Client = Any  # of conftest.py
LINE_FILE = Path(__file__).parents[3] / "deploy" / "lines" / "cdc_ref_1.toml"
BOARD = Path(__file__).parents[3] / "deploy" / "grafana" / "patloop.json"
FUNCTIONS = {"histogram_quantile", "sum", "by", "rate", "increase", "label_values", "le", "outcome", "role", "status"}


def samples(client: Client, headers: dict[str, str]) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    found = {}
    for family in text_string_to_metric_families(answer.text):
        assert family.documentation, family.name
        for sample in family.samples:
            found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return found


def test_the_figures_are_those_of_the_newest_cycle(house: House, client: Client) -> None:
    found = samples(client, house.token(ApiRole.READER))
    with Journal.open_reader(house.journal) as journal:
        newest = journal.last("cycle")
        assert newest is not None
        body = decode(newest.body)
        head = journal.last()
    thought = body["thought"]
    assert found["patloop_estimate", ()] == thought["estimate"]["value"]
    assert found["patloop_belief_api_percent", ()] == thought["belief"]["api_pct"]
    assert found["patloop_t2_ratio", ()] == pytest.approx(thought["estimate"]["t2"] / thought["estimate"]["t2_limit"])
    assert found["patloop_mode", (("mode", "closed"),)] == 1.0
    assert found["patloop_mode", (("mode", "advise"),)] == 0.0
    assert found["patloop_link_up", ()] == 1.0
    assert found["patloop_cycle_age_seconds", ()] == 2.0
    assert found["patloop_diverted_kg", ()] == thought["track"]["balance"]["diverted_kg"]
    assert found["patloop_authority_pat", ()] == thought["room"]["pat"]
    unit = (("kind", "working"), ("name", "MainForce"), ("unit", "kN"))
    assert found["patloop_setpoint", unit] == body["sample"]["readings"]["MainForce.SP_Working"]["value"]
    assert found["patloop_record_head_seq", ()] == head.seq  # type: ignore[union-attr]
    assert found["patloop_journal_bytes", ()] >= house.journal.stat().st_size
    alarms = sum(found["patloop_alarms", (("priority", str(p)),)] for p in (1, 2, 3))
    assert alarms == len(thought["alarms"])
    assert found["patloop_info", (("line", "CDC-REF-1"), ("version", "0.1.0"))] == 1.0


def test_what_happens_is_counted_from_the_first_look_on(house: House, client: Client) -> None:
    headers = house.token(ApiRole.READER)
    with Journal.open_reader(house.journal) as journal:
        cycles = list(journal.rows(kind="cycle"))[-20:]
    before = samples(client, headers)
    for k, row in enumerate(cycles):
        house.append("cycle", house.wall_s + 5.0 * k, decode(row.body))
        house.append("act", house.wall_s + 5.0 * k, {"cycle": k, "result": "good" if k else "refused", "codes": {}})
    house.append("lab_result", house.wall_s, {"status": "refused", "sample_time_s": math.nan})
    after = samples(client, headers)
    assert ("patloop_writes_total", (("outcome", "good"),)) not in before
    assert after["patloop_writes_total", (("outcome", "good"),)] == 19.0
    assert after["patloop_writes_total", (("outcome", "refused"),)] == 1.0
    assert after["patloop_lab_results_total", (("status", "refused"),)] == 1.0
    assert after["patloop_cycle_period_seconds_count", ()] == 19.0
    assert after["patloop_cycle_period_seconds_bucket", (("le", "5.1"),)] == 19.0
    assert after["patloop_api_requests_total", (("role", "reader"), ("status", "200"))] == 1.0


def test_who_scrapes_seldom_loses_counts_not_figures(house: House, client: Client) -> None:
    headers = house.token(ApiRole.READER)
    samples(client, headers)
    with Journal.open_reader(house.journal) as journal:
        newest = journal.last()
    assert newest is not None
    _metrics_of(client)._seq = newest.seq - MOST_BEHIND - 7  # as after hours without a scrape
    found = samples(client, headers)
    assert found["patloop_skipped_records_total", ()] == 7.0
    assert found["patloop_link_up", ()] == 1.0


def _metrics_of(client: Client) -> Any:
    (route,) = [route for route in client.app.routes if route.path == "/metrics"]
    return route.endpoint.__self__.metrics


def test_a_line_that_has_just_begun_has_metrics_too(house: House) -> None:
    house.folder = house.folder / "new"
    with Journal.open(house.journal, house.config.line.name):
        pass
    with closing(house.client()) as client:
        found = samples(client, house.token(ApiRole.READER, "another"))
        assert client.get("/v1/state", headers=house.token(ApiRole.READER, "another")).status_code == 404
    assert found["patloop_record_head_seq", ()] >= 1.0


def test_prometheus_may_come_without_a_token_only_where_it_is_said_and_only_from_here(house: House) -> None:
    for host, opened, status in (("127.0.0.1", True, 200), ("127.0.0.1", False, 401), ("10.0.0.9", True, 401)):
        with closing(house.client(host=host, open_metrics=opened)) as client:
            assert client.get("/metrics").status_code == status
            assert client.get("/v1/state").status_code == 401
            assert client.post("/metrics").status_code in (401, 405)


def test_every_query_of_the_dashboard_names_a_metric_that_is_there(house: House, client: Client) -> None:
    house.append("act", house.wall_s, {"cycle": 1, "result": "good", "codes": {}})
    house.append("lab_result", house.wall_s, {"status": "new", "sample_time_s": house.wall_s})
    client.get("/metrics", headers=house.token(ApiRole.READER))
    there = {name for name, _ in samples(client, house.token(ApiRole.READER))}
    board = json.loads(BOARD.read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    queries += [variable["query"] for variable in board["templating"]["list"] if variable["type"] == "query"]
    asked = set()
    for query in queries:
        bare = re.sub(r'\{[^}]*\}|\[[^\]]*\]|"[^"]*"', "", query)
        words = set(re.findall(r"[a-z_][a-z0-9_]*", bare))
        asked |= {word for word in words if word.startswith("patloop_")}
        assert words - FUNCTIONS - {"job"} <= names(), query
    assert asked <= names()
    assert {name for name in asked if name not in there} <= {"patloop_lab_results_total", "patloop_writes_total"}
    assert len(asked) >= 25
    assert names() - asked - {"patloop_cycle_period_seconds_bucket"} == set(), "every metric has its place on the board"


def test_labels_of_the_dashboard_are_labels_of_the_metrics(house: House, client: Client) -> None:
    found = samples(client, house.token(ApiRole.READER))
    labels: dict[str, set[str]] = {}
    for name, pairs in found:
        labels.setdefault(name, set()).update(label for label, _ in pairs)
    board = json.loads(BOARD.read_text())
    for panel in board["panels"]:
        for target in panel["targets"]:
            for name, chosen in re.findall(r"(patloop_[a-z0-9_]+)\{([^}]*)\}", target["expr"]):
                told = set(re.findall(r"(\w+)\s*=", chosen)) - {"job"}
                assert told <= labels.get(name, told), target["expr"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="Prometheus' own checker, promtool, is not installed here")
def test_prometheus_own_checker_has_nothing_to_say(house: House, client: Client) -> None:
    text = client.get("/metrics", headers=house.token(ApiRole.READER)).text
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="the program prometheus is not installed here")
def test_a_real_prometheus_scrapes_it_and_answers_every_query(house: House, tmp_path: Path) -> None:
    ports = [_free_port(), _free_port()]
    (tmp_path / "token").write_text(house.token(ApiRole.READER)["Authorization"].removeprefix("Bearer "))
    settings = {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [
            {
                "job_name": "line", "scheme": "https", "static_configs": [{"targets": [f"127.0.0.1:{ports[0]}"]}],
                "authorization": {"credentials_file": str(tmp_path / "token")},
                "tls_config": {"ca_file": str(house.folder / "pki" / "api_cert.pem")},
            }
        ],
    }  # fmt: skip
    (tmp_path / "prometheus.yml").write_text(json.dumps(settings))  # JSON is YAML
    state = ["--state", str(house.folder), "--port", str(ports[0])]
    served = [sys.executable, "-m", "deploy.cli", "api", str(LINE_FILE), *state]
    scraped = [
        "prometheus", f"--config.file={tmp_path / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{ports[1]}",
    ]  # fmt: skip
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(served, **quiet) as line, subprocess.Popen(scraped, **quiet) as prometheus:  # type: ignore[call-overload]
        try:
            base = f"http://127.0.0.1:{ports[1]}/api/v1/query"
            assert _asked(base, "patloop_link_up", until_there=True)[0]["value"][1] == "1"
            board = json.loads(BOARD.read_text())
            for panel in board["panels"]:
                for target in panel["targets"]:
                    _asked(base, target["expr"].replace("$job", "line"))
        finally:
            line.terminate()
            prometheus.terminate()


def _asked(base: str, query: str, *, until_there: bool = False) -> list[Any]:
    deadline = time.monotonic() + 30.0
    while True:
        try:
            answer = httpx.get(base, params={"query": query}, trust_env=False)
            assert answer.json()["status"] == "success", (query, answer.text)
            found: list[Any] = answer.json()["data"]["result"]
        except (httpx.HTTPError, ValueError):
            found = []
        if found or not until_there:
            return found
        assert time.monotonic() < deadline, "Prometheus has scraped nothing"
        time.sleep(0.2)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])
