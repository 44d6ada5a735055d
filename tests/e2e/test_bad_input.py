"""Bad input on a running platform: each gets a clear answer, and what comes after it is not lost."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

import httpx
import pytest
from scenes.hearing import Ear
from scenes.kafka import event, send
from scenes.life import headwater

from headwater.cli.demo import Place
from headwater.errors import Conflict, HeadwaterError, InvalidInput, NotFound, Unavailable
from headwater.sdk import Client
from headwater.wire.entries.events import EventRejected
from headwater.wire.entries.models import DeploymentFailed, DeploymentRequested
from headwater.wire.entries.runs import RunFailed

STRUCTURED = {"content-type": "application/cloudevents+json"}
TOO_LARGE = event("number.came", "x" * (1 << 20), id="large")


def an_id() -> str:
    return str(uuid.uuid4())


def post(platform: Place, content: bytes, **headers: str) -> httpx.Response:
    given = {**STRUCTURED, "authorization": f"Bearer {platform.token}", **headers}
    return httpx.post(f"{platform.url}/v1/events", content=content, headers=given, timeout=30)


# Over Kafka


@pytest.mark.parametrize(
    ("raw", "code", "reason"),
    [
        pytest.param(b'{"hello": "world"}', "invalid_envelope", "specversion", id="no CloudEvent"),
        pytest.param(event("number.came", {"n": 1}), "invalid_envelope", "'?id'?", id="no id"),
        pytest.param(b'{"specversion": "1.0", ', "invalid_json", "JSON", id="bad JSON"),
        pytest.param(TOO_LARGE, "too_large", "1,?048,?576|1 MiB", id="over 1 MiB"),
    ],
)
def test_a_bad_record_is_a_dead_letter_and_the_next_good_one_runs(
    hw: Client, platform: Place, raw: bytes, code: str, reason: str
) -> None:
    ear, good = Ear(hw), an_id()
    send(platform.bootstrap, raw, event("number.came", {"n": 4}, id=good))
    _, rejected = ear.next(EventRejected)
    assert rejected.code == code
    letter = hw.dead_letter(rejected.dead_letter_id)
    assert letter.raw == raw
    assert re.search(reason, letter.reason), letter.reason
    assert hw.runs[ear.run_of(good)].result(60) == 8


def test_data_that_does_not_fit_is_a_dead_letter_with_field_value_and_type(hw: Client, platform: Place) -> None:
    ear = Ear(hw)
    send(platform.bootstrap, event("number.came", {"n": "four"}, id=an_id()))
    _, rejected = ear.next(EventRejected)
    assert rejected.code == "bad_parameters"
    assert rejected.trigger == "eta/double/event:number.came"
    for word in ("'n'", '"four"', "integer"):
        assert word in rejected.reason


def test_the_same_event_twice_is_one_run(hw: Client, platform: Place) -> None:
    ear, twice, after = Ear(hw), an_id(), an_id()
    same = event("number.came", {"n": 5}, id=twice)
    send(platform.bootstrap, same, same, event("number.came", {"n": 6}, id=after))
    assert hw.runs[ear.run_of(twice)].result(60) == 10
    assert hw.runs[ear.run_of(after)].result(60) == 12
    of_event = [hw.runs[run.id].detail().event_id for run in hw.runs(flow="double", limit=10)]
    assert of_event.count(twice) == 1


def test_the_same_id_with_another_payload_is_a_conflict(hw: Client, platform: Place) -> None:
    ear, one_id = Ear(hw), an_id()
    send(platform.bootstrap, event("number.came", {"n": 1}, id=one_id), event("number.came", {"n": 2}, id=one_id))
    _, rejected = ear.next(EventRejected)
    assert (rejected.code, rejected.event_id) == ("id_conflict", one_id)


# Over HTTP


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        pytest.param(b'{"hello": "world"}', 400, "invalid_envelope", id="no CloudEvent"),
        pytest.param(event("number.came", {"n": 1}), 400, "invalid_envelope", id="no id"),
        pytest.param(b'{"specversion": "1.0", ', 400, "invalid_json", id="bad JSON"),
        pytest.param(TOO_LARGE, 413, "too_large", id="over 1 MiB"),
    ],
)
def test_a_bad_request_is_refused_with_the_reason_and_is_no_dead_letter(
    hw: Client, platform: Place, content: bytes, status: int, code: str
) -> None:
    before = len(hw.dlq())
    answer = post(platform, content)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error["code"] == code
    assert error["message"]
    assert len(hw.dlq()) == before


@pytest.mark.parametrize("authorization", ["", "Bearer wrong"])
def test_who_has_no_token_is_turned_away(hw: Client, platform: Place, authorization: str) -> None:
    assert post(platform, event("number.came", {"n": 1}, id=an_id()), authorization=authorization).status_code == 401


def test_an_unknown_flow_cannot_be_started(hw: Client) -> None:
    with pytest.raises(NotFound, match=r"'dubble'.*Did you mean 'double'"):
        hw.run("eta/dubble", {"n": 1})


def test_parameters_that_do_not_fit_are_refused(hw: Client) -> None:
    with pytest.raises(InvalidInput, match=r"'n'.*\"one\".*integer"):
        hw.run("eta/double", {"n": "one"})


def test_an_ended_run_cannot_be_cancelled(hw: Client) -> None:
    run = hw.run("eta/double", {"n": 1})
    assert run.result(60) == 2
    with pytest.raises(Conflict, match="has ended"):
        run.cancel()
    assert run.state == "SUCCEEDED"


def test_an_unknown_run_is_not_found(hw: Client) -> None:
    with pytest.raises(NotFound, match="no run"):
        hw.runs["nobody"].detail()


def test_over_http_each_refusal_has_its_status_and_says_what_was_wrong(hw: Client, platform: Place) -> None:
    run = hw.run("eta/double", {"n": 1})
    run.result(60)
    for path, body, status, said in (
        ("/v1/runs", {"flow": "double", "project": "eta", "parameters": {"n": "one"}}, 422, "'n'"),
        ("/v1/runs/nobody/cancel", {}, 404, "nobody"),
        (f"/v1/runs/{run.id}/cancel", {}, 409, "SUCCEEDED"),
    ):
        headers = {"authorization": f"Bearer {platform.token}"}
        answer = httpx.post(f"{platform.url}{path}", json=body, headers=headers, timeout=30)
        assert answer.status_code == status
        assert said in answer.json()["error"]["message"]


# Deploys

HEAD = "from headwater.sdk import flow, on\n"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        pytest.param("import headwatr\n", ["flow.py:1", "headwatr"], id="an import that fails"),
        pytest.param("def f(:\n", ["flow.py:1", "invalid syntax"], id="a syntax error"),
        pytest.param("x = 1\n", ["flow.py", "No flow"], id="no flow"),
        pytest.param(
            HEAD + '@flow(project="flihgts")\ndef f() -> None: ...\n',
            ["flow.py:3", "flihgts", "Did you mean 'flights'?"],
            id="an unknown project",
        ),
        pytest.param(
            HEAD + '@flow(project="eta", on=on.finished("dubble"))\ndef f() -> None: ...\n',
            ["flow.py:2", "eta/dubble", "Did you mean 'eta/double'?"],
            id="a trigger on no flow",
        ),
    ],
)
def test_code_that_cannot_be_used_is_refused_with_file_and_line(
    hw: Client, tmp_path: Path, code: str, words: list[str]
) -> None:
    (tmp_path / "flow.py").write_text(code)
    with pytest.raises(HeadwaterError) as refused:
        hw.deploy(tmp_path)
    for word in words:
        assert word in str(refused.value)


def test_the_command_says_the_same_of_bad_code(hw: Client, platform: Place, tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(HEAD + '@flow(project="flihgts")\ndef f() -> None: ...\n')
    done = headwater("deploy", str(tmp_path), home=platform.home)
    assert done.code != 0
    assert "flow.py:3" in done.err
    assert "Did you mean 'flights'?" in done.err


# Code that raises


def test_a_step_that_raises_fails_the_run_with_the_users_frames(hw: Client, platform: Place) -> None:
    run = hw.run("eta/divide", {"n": 0})
    told = list(run.watch())
    last = told[-1].body
    assert isinstance(last, RunFailed)
    assert (last.failure.step, last.failure.cause_type) == ("share_of", "ZeroDivisionError")
    assert "return 1 / n" in last.failure.frames
    assert "per_head" in last.failure.frames
    assert "headwater" not in last.failure.frames.replace("headwater.sdk", "")
    assert run.state == "FAILED"
    assert "sharing one among 0" in run.logs()
    assert "sharing one among 0" in run.logs("share_of")
    shown = headwater("run", "logs", run.id, home=platform.home)
    assert shown.code == 0
    assert "sharing one among 0" in shown.out
    assert "ZeroDivisionError" in shown.out


# Predictions


@pytest.fixture(scope="module")
def adder(hw: Client) -> str:
    """A served model that adds two columns."""
    from headwater.wire.entries.models import DeploymentReady

    ear = Ear(hw)
    hw.run("eta/add")
    ear.next(DeploymentReady, lambda body: body.name == "adder")
    return "adder"


def infer(platform: Place, model: str, *inputs: dict[str, object], authorization: str | None = None) -> httpx.Response:
    url = f"{platform.inference_url}/v2/models/{model}/infer"
    headers = {"authorization": f"Bearer {platform.token}" if authorization is None else authorization}
    return httpx.post(url, json={"inputs": list(inputs)}, headers=headers, timeout=60)


def column(
    name: str, datatype: str = "FP64", shape: tuple[int, ...] = (2,), data: object = (1.0, 2.0)
) -> dict[str, object]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def test_a_served_model_answers(hw: Client, platform: Place, adder: str) -> None:
    assert hw.models[adder].predict({"left": [1.0, 2.0], "right": [10.0, 20.0]})["sum"].tolist() == [11.0, 22.0]
    answer = infer(platform, adder, column("left"), column("right"))
    assert answer.json()["outputs"][0]["data"] == [2.0, 4.0]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        pytest.param([column("left")], ["right"], id="a missing column"),
        pytest.param([column("left"), column("right"), column("rihgt")], ["rihgt"], id="an unknown column"),
        pytest.param(
            [column("left"), column("right", datatype="BYTES", data=["a", "b"])], ["right", "BYTES"], id="a wrong type"
        ),
        pytest.param(
            [column("left"), column("right", shape=(3,), data=[1.0, 2.0, 3.0])], ["right", "3"], id="a wrong shape"
        ),
        pytest.param(
            [column("left"), column("right", shape=(5,))], ["right", "5"], id="a shape that is not the data's"
        ),
    ],
)
def test_a_prediction_that_does_not_fit_is_refused_by_name(
    platform: Place, adder: str, inputs: list[dict[str, object]], words: list[str]
) -> None:
    answer = infer(platform, adder, *inputs)
    assert answer.status_code == 400, answer.text
    for word in words:
        assert word in answer.json()["error"]


@pytest.mark.parametrize("authorization", ["", "Bearer wrong"])
def test_predictions_ask_for_the_token_too(platform: Place, adder: str, authorization: str) -> None:
    answer = infer(platform, adder, column("left"), column("right"), authorization=authorization)
    assert answer.status_code == 401
    assert answer.json()["error"]


def test_the_client_names_the_missing_column(hw: Client, adder: str) -> None:
    with pytest.raises(InvalidInput, match="right"):
        hw.models[adder].predict({"left": [1.0]})


def test_an_unknown_model_is_not_there(hw: Client, platform: Place, adder: str) -> None:
    answer = infer(platform, "added", column("left"))
    assert answer.status_code == 404
    assert "Did you mean 'adder'?" in answer.json()["error"]
    with pytest.raises(NotFound, match="added"):
        hw.models["added"].predict({"left": [1.0]})


def test_a_model_that_is_not_ready_is_unavailable(hw: Client, platform: Place) -> None:
    ear = Ear(hw)
    hw.run("eta/add_unloadable")
    _, asked = ear.next(DeploymentRequested, lambda body: body.name == "unloadable")
    _, failed = ear.next(DeploymentFailed, lambda body: body.name == "unloadable")
    assert (failed.version, asked.version) == (1, 1)
    answer = infer(platform, "unloadable", column("left"), column("right"))
    assert answer.status_code == 503, answer.text
    assert answer.json()["error"].startswith("Model 'unloadable' is not ready")
    with pytest.raises(Unavailable, match="'unloadable' is not ready"):
        hw.models["unloadable"].predict({"left": [1.0], "right": [2.0]})
    (row,) = [row for row in hw.deployments() if row.name == "unloadable"]
    assert (row.state, row.url) == ("FAILED", "")


def test_a_platform_that_is_not_there_says_how_to_start_one(tmp_path: Path) -> None:
    done = headwater("runs", home=tmp_path)
    assert done.code != 0
    assert "headwater up" in done.err
    with pytest.raises(Unavailable, match="headwater up"):
        Client("http://127.0.0.1:9", "token").status()
