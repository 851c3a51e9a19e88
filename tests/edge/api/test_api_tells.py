"""What the API tells of the record, and what others tell through it."""

from __future__ import annotations

import json
import time
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from edge.api.pages import LOOKED_THROUGH
from edge.api.tokens import ApiRole
from edge.record.canonical import decode, unpack_spectrum
from edge.record.journal import Journal

House = Client = Any  # of conftest.py


@pytest.fixture
def reader(house: House) -> dict[str, str]:
    return house.token(ApiRole.READER)  # type: ignore[no-any-return]


def rows(house: House, kind: str) -> list[Any]:
    with Journal.open_reader(house.journal) as journal:
        return list(journal.rows(kind=kind))


def test_what_holds_now_is_the_newest_cycle(house: House, client: Client, reader: dict[str, str]) -> None:
    newest = rows(house, "cycle")[-1]
    thought = decode(newest.body)["thought"]
    state = client.get("/v1/state", headers=reader).json()
    assert (state["seq"], state["mode"], state["line"]) == (newest.seq, "closed", "CDC-REF-1")
    assert (state["link"], state["stale"], state["age_s"]) == ("online", False, 2.0)
    assert client.get("/v1/estimate", headers=reader).json()["estimate"]["value"] == thought["estimate"]["value"]
    assert client.get("/v1/belief", headers=reader).json()["belief"]["api_pct"] == thought["belief"]["api_pct"]
    assert client.get("/v1/decision", headers=reader).json()["decision"]["reason"] == thought["decision"]["reason"]
    assert len(client.get("/v1/alarms", headers=reader).json()["alarms"]) == len(thought["alarms"])
    setpoints = client.get("/v1/setpoints", headers=reader).json()["setpoints"]
    assert (setpoints["FeederApi"]["unit"], setpoints["MainForce"]["ucum"]) == ("kg/h", "kN")
    assert setpoints["FeederApi"]["recommended"] == thought["command"]["recommended"]["FeederApi"]
    record = client.get("/v1/record", headers=reader).json()
    assert record["head"]["hash"] == newest_hash(house)


def newest_hash(house: House) -> str:
    with Journal.open_reader(house.journal) as journal:
        row = journal.last()
        assert row is not None
        return row.hash.hex()


def test_old_is_told_as_old(house: House, client: Client, reader: dict[str, str]) -> None:
    assert client.get("/v1/state", headers=reader).json()["stale"] is False
    house.monotonic_s += 20.0
    state = client.get("/v1/state", headers=reader).json()
    assert (state["stale"], state["age_s"]) == (True, 22.0)
    house.append("stop", house.wall_s, {"reason": "stopped"})
    with closing(house.client()) as another:
        state = another.get("/v1/state", headers=reader).json()
    assert (state["stale"], state["age_s"]) == (True, 2.0), "the service said goodbye"


def test_history_comes_whole_page_by_page(house: House, client: Client, reader: dict[str, str]) -> None:
    cycles, after, found = rows(house, "cycle"), None, []
    while True:
        params = {"limit": 50, "columns": "belief.api_pct,reading.FeederApi.*"} | ({"after": after} if after else {})
        page = client.get("/v1/history", params=params, headers=reader).json()
        found += page["rows"]
        after = page["next"]
        if after is None:
            break
    assert [row["seq"] for row in found] == [row.seq for row in cycles]
    assert found[-1]["belief.api_pct"] == decode(cycles[-1].body)["thought"]["belief"]["api_pct"]
    assert page["units"]["belief.api_pct"] == "%{w/w}"
    assert page["units"]["reading.FeederApi.PV"] == "kg/h"
    assert not any(name.startswith("reading.Press") for name in found[0])
    assert not any(name.startswith("reading.") for name in client.get("/v1/history", headers=reader).json()["rows"][0])


@pytest.mark.parametrize("form", ["iso", "epoch"])
def test_history_of_a_stretch_of_time(house: House, client: Client, reader: dict[str, str], form: str) -> None:
    cycles = rows(house, "cycle")
    first, last = cycles[40], cycles[60]
    stamps = [row.time_s for row in (first, last)]
    texts = [time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(s)) if form == "iso" else repr(s) for s in stamps]
    answer = client.get("/v1/history", params={"from": texts[0], "to": texts[1]}, headers=reader)
    assert [row["seq"] for row in answer.json()["rows"]] == [row.seq for row in cycles[40:61]]
    assert client.get("/v1/history", params={"from": last.time_s + 1e6}, headers=reader).json()["rows"] == []


@pytest.mark.parametrize(
    "params",
    [{"from": "yesterday"}, {"from": "nan"}, {"limit": "0"}, {"limit": "1001"}, {"after": "-1"}, {"to": "x" * 50}],
)
def test_what_cannot_be_asked_is_refused(client: Client, reader: dict[str, str], params: dict[str, str]) -> None:
    assert client.get("/v1/history", params=params, headers=reader).status_code == 422


def test_a_spectrum_comes_with_the_axis_it_was_taken_on(
    house: House, client: Client, reader: dict[str, str]
) -> None:
    row = [r for r in rows(house, "cycle") if r.blob is not None][-1]
    told = client.get(f"/v1/spectra/{row.seq}", headers=reader).json()
    assert np.array_equal(told["values"], unpack_spectrum(row.blob))
    assert (len(told["axis"]), told["axis_unit"]) == (125, "nm")
    assert told["axis_seq"] < row.seq
    start = rows(house, "start")[0].seq
    for seq, why in ((start, "is no cycle"), (10**15, "is no cycle")):
        answer = client.get(f"/v1/spectra/{seq}", headers=reader)
        assert (answer.status_code, why in answer.json()["detail"]) == (404, True)


def test_each_minute_of_material(house: House, client: Client, reader: dict[str, str]) -> None:
    minutes = client.get("/v1/genealogy", headers=reader).json()
    told = [decode(row.body)["thought"]["track"] for row in rows(house, "cycle")]
    closed = [t["minute"] for t in told if t is not None and t["minute"] is not None]
    assert len(minutes["rows"]) == len(closed) > 5
    assert minutes["rows"][0]["released_kg"] == closed[0]["released_kg"]
    assert minutes["next"] is None
    first = client.get("/v1/genealogy", params={"limit": 2}, headers=reader).json()
    rest = client.get("/v1/genealogy", params={"after": first["next"]}, headers=reader).json()
    assert first["rows"] + rest["rows"] == minutes["rows"]
    assert len(told) < LOOKED_THROUGH, "one page"


# what others tell


def sample_time(house: House) -> str:
    cycle = rows(house, "cycle")[50]
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(cycle.time_s))


def test_a_result_told_is_a_record_with_who_told_it(house: House, client: Client, reader: dict[str, str]) -> None:
    body = {"sample_id": "S9", "sample_time": sample_time(house), "assay": 101.0, "assay_unit": "%{label}"}
    answer = client.post("/v1/lab-results", json=body, headers=house.token(ApiRole.LAB, "lims"))
    assert answer.status_code == 201, answer.text
    (row,) = rows(house, "lab_result")
    told = decode(row.body)
    assert (told["source"], told["status"], told["assay_pct"]) == ("rest:lims", "new", pytest.approx(10.1))
    listed = client.get("/v1/lab-results", headers=reader).json()["rows"]
    assert [(r["seq"], r["sample_id"]) for r in listed] == [(row.seq, "S9")]
    again = client.post("/v1/lab-results", json=[body], headers=house.token(ApiRole.LAB, "lims"))
    assert again.json()["results"][0]["status"] == "duplicate"
    wrong = client.post("/v1/lab-results", json={**body, "assay": 90.0}, headers=house.token(ApiRole.LAB, "lims"))
    assert (wrong.status_code, "needs a 'reason'" in wrong.json()["results"][0]["why"]) == (422, True)
    assert len(rows(house, "lab_result")) == 3, "nothing is lost"


def test_results_as_csv(house: House, client: Client) -> None:
    lines = f"sample_id,sample_time,weight,weight_unit\nS1,{sample_time(house)},0.251,g\n"
    headers = {**house.token(ApiRole.LAB), "Content-Type": "text/csv; charset=utf-8"}
    assert client.post("/v1/lab-results", content=lines, headers=headers).status_code == 201
    assert decode(rows(house, "lab_result")[0].body)["tablet_weight_mg"] == pytest.approx(251.0)


@pytest.mark.parametrize(
    ("body", "media", "status"),
    [
        (b"{", "application/json", 422), (b"\xff", "text/csv", 422), (b"x", "text/html", 415),
        (b"", "application/json", 422),
    ],
)  # fmt: skip
def test_a_body_that_is_no_result(house: House, client: Client, body: bytes, media: str, status: int) -> None:
    headers = {**house.token(ApiRole.LAB), "Content-Type": media}
    answer = client.post("/v1/lab-results", content=body, headers=headers)
    assert answer.status_code == status
    kept = rows(house, "lab_result")
    assert [decode(row.body)["status"] for row in kept] == ([] if status == 415 else ["refused"])


def test_what_is_made_is_told_by_mes_and_is_a_record(house: House, client: Client) -> None:
    told = {"batch": "B-17", "product": "Aspirol 25", "lots": {"FeederApi": "L-1"}}
    answer = client.put("/v1/context", json=told, headers=house.token(ApiRole.MES, "mes"))
    assert answer.status_code == 201, answer.text
    (row,) = rows(house, "context")
    assert decode(row.body) == {**told, "reason": "", "source": "rest:mes"}
    assert client.get("/v1/context", headers=house.token(ApiRole.MES, "mes")).json()["context"] is None, "no cycle yet"


@pytest.mark.parametrize(
    "told",
    [
        {"batch": "x" * 65}, {"batch": "a\nb"}, {"lots": {"FeederX": "L"}}, {"bach": "B"}, {"batch": 7}, [],
        {"lots": ["a"]}, {"lots": {f"F{n}": "L" for n in range(60)}},
    ],
)  # fmt: skip
def test_a_context_that_cannot_be_is_refused(house: House, client: Client, told: Any) -> None:
    answer = client.put("/v1/context", json=told, headers=house.token(ApiRole.ENGINEER))
    assert answer.status_code == 422
    assert rows(house, "context") == []


def test_the_document_describes_every_route(client: Client, house: House) -> None:
    document = client.get("/v1/openapi.json", headers=house.token(ApiRole.MES)).json()
    assert document["openapi"].startswith("3.")
    assert set(document["paths"]) >= {"/v1/state", "/v1/history", "/v1/lab-results", "/v1/context", "/metrics"}
    verbs = [verb for path in document["paths"].values() for verb in path.values()]
    assert all(verb["security"] == [{"HTTPBearer": []}] and verb.get("description") for verb in verbs)
    json.dumps(document, allow_nan=False)


def test_looking_changes_nothing(house: House, client: Client) -> None:
    headers = house.token(ApiRole.ENGINEER)
    before = newest_hash(house)
    now = ("state", "estimate", "belief", "decision", "alarms", "setpoints", "context", "record")
    pages = ("history", "genealogy", "lab-results", "batches", "requests")
    for path in (*now, *pages, "spectra/5", "openapi.json"):
        assert client.get(f"/v1/{path}", headers=headers).status_code in (200, 404), path
    assert client.get("/metrics", headers=headers).status_code == 200
    assert newest_hash(house) == before
