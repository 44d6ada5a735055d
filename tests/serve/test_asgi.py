from __future__ import annotations

import hashlib
import logging

import httpx
import pytest

from headwater.errors import Unavailable
from headwater.serve.asgi import BODY_BYTES_MAX, Answer, App, Message, Request, check_token


async def answer(request: Request) -> Answer:
    """Echoes the path and the body's length; some paths fail."""
    match request.path:
        case "/broken":
            raise ZeroDivisionError
        case "/away":
            raise Unavailable("The model is away", remedy="Ask again.")
        case "/private":
            check_token(request, hashlib.sha256(b"good").hexdigest())
        case "/closed":
            check_token(request, "")
    body = await request.body()
    return Answer(f'"{request.method} {request.path} {len(body)}"'.encode())


async def asked(path: str, *, method: str = "GET", body: bytes = b"", token: str = "") -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    transport = httpx.ASGITransport(App(answer), root_path="/v2")
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        return await client.request(method, f"/v2{path}", content=body, headers=headers)


@pytest.mark.asyncio(loop_scope="session")
async def test_a_request_has_its_path_below_the_prefix_and_its_body() -> None:
    assert (await asked("/infer/", method="POST", body=b"12345")).json() == "POST /infer 5"
    assert (await asked("")).json() == "GET  0"


@pytest.mark.asyncio(loop_scope="session")
async def test_an_error_that_we_know_says_what_and_how() -> None:
    response = await asked("/away")
    assert response.status_code == 503
    assert response.json() == {"error": "The model is away. Ask again."}


@pytest.mark.asyncio(loop_scope="session")
async def test_an_error_that_we_do_not_know_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        response = await asked("/broken")
    assert response.status_code == 500
    assert "ZeroDivision" not in response.text
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("path", "token", "status"),
    [("/private", "good", 200), ("/private", "bad", 401), ("/private", "", 401), ("/closed", "good", 401)],
)
@pytest.mark.asyncio(loop_scope="session")
async def test_only_the_right_token_opens(path: str, token: str, status: int) -> None:
    response = await asked(path, token=token)
    assert response.status_code == status
    assert ("www-authenticate" in response.headers) == (status == 401)


@pytest.mark.asyncio(loop_scope="session")
async def test_a_body_without_end_is_cut_off() -> None:
    part = b"x" * (1 << 20)
    taken = 0
    sent: list[Message] = []

    async def receive() -> Message:
        nonlocal taken
        taken += len(part)
        return {"type": "http.request", "body": part, "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/infer", "headers": []}
    await App(answer)(scope, receive, send)
    assert sent[0]["status"] == 413
    assert taken == BODY_BYTES_MAX + len(part)
