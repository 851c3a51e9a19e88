"""Whatever comes in: an answer that says why, never a crash, and nothing that cannot be is on the record."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edge.api.tokens import ApiRole
from edge.lab.result import FIELDS
from edge.record.canonical import decode
from edge.record.journal import Journal

House = Client = Any  # of conftest.py
SOME = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WORDS = st.text(max_size=30)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS) | WORDS, inner, max_size=6),
    max_leaves=12,
)


@SOME
@given(st.binary(max_size=300) | ANY_JSON.map(lambda v: json.dumps(v).encode()), st.sampled_from(["json", "csv", "x"]))
def test_any_body_of_results(house: House, client: Client, body: bytes, form: str) -> None:
    house.monotonic_s += 1.0
    media = {"json": "application/json", "csv": "text/csv", "x": "application/x"}[form]
    answer = client.post("/v1/lab-results", content=body, headers={**house.token(ApiRole.LAB), "Content-Type": media})
    assert answer.status_code in (201, 415, 422), answer.text
    json.loads(answer.text)


@SOME
@given(ANY_JSON)
@example(math.inf)
@example({"batch_id": [math.nan]})
def test_any_context(house: House, client: Client, told: Any) -> None:
    house.monotonic_s += 1.0
    headers = {**house.token(ApiRole.MES), "Content-Type": "application/json"}
    answer = client.put("/v1/context", content=json.dumps(told), headers=headers)
    assert answer.status_code in (201, 422), answer.text


@SOME
@given(st.dictionaries(st.sampled_from(["from", "to", "after", "limit", "columns"]), WORDS, max_size=4), WORDS)
def test_any_question(house: House, client: Client, params: dict[str, str], name: str) -> None:
    house.monotonic_s += 1.0
    headers = house.token(ApiRole.ENGINEER)
    assert client.get("/v1/history", params=params, headers=headers).status_code in (200, 422)
    assert client.get("/v1/spectra/" + name.encode().hex()[:20], headers=headers).status_code in (200, 404, 422)


@SOME
@given(st.binary(max_size=80))
def test_any_authorization(house: House, client: Client, raw: bytes) -> None:
    house.monotonic_s += 20.0
    header = raw.translate(None, bytes(range(32)) + b"\x7f")
    assert client.get("/v1/state", headers=[(b"Authorization", header)]).status_code == 401


def test_nothing_impossible_was_taken(house: House, client: Client) -> None:
    """Results at the edge of what numbers are, all with a good sample."""
    headers = house.token(ApiRole.LAB)
    with Journal.open_reader(house.journal) as journal:
        cycle = journal.last("cycle")
    assert cycle is not None
    values = ("1e400", "-0.0", "1e-320", "0x10", "١٠", "1_0", "inf", "NaN", "", " 10 ", 10**39, -1, True)
    for n, value in enumerate(values):
        house.monotonic_s += 1.0
        told = {"sample_id": f"E{n}", "sample_time": f"{_iso(cycle.time_s)}", "assay": value, "assay_unit": "%{w/w}"}
        client.post("/v1/lab-results", json=told, headers=headers)
    with Journal.open_reader(house.journal) as journal:
        taken = [decode(row.body) for row in journal.rows(kind="lab_result")]
    assert len(taken) == len(values), "each is on the record"
    used = [body["assay_pct"] for body in taken if body["status"] == "new"]
    assert used == [0.0, 1e-320, 10.0]


def _iso(time_s: float) -> str:
    from edge.record.export import utc

    return utc(time_s)
