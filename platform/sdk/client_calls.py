"""Everything a client can ask, without I/O: a program yields calls, is sent the replies, returns the answer.

Both faces of the client drive the same programs, one with `http.client`, one with asyncio.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from ..errors import Conflict, HeadwaterError, InvalidInput, NotFound, Unavailable
from ..wire import api
from ..wire.types import JSON, Failure

T = TypeVar("T")

NO_HEADERS: Final[Mapping[str, str]] = {}
Body: TypeAlias = bytes | Callable[[], Iterable[bytes]] | None


class Call(NamedTuple):
    """One HTTP request. `base` is another server's address, for inference. A callable body is streamed."""

    method: str
    path: str
    headers: Mapping[str, str] = NO_HEADERS
    body: Body = None
    base: str = ""


class Reply(NamedTuple):
    status: int
    body: bytes


Program: TypeAlias = Generator[Call, Reply, T]


class RunFailed(HeadwaterError):
    """A run ended without success: `state` says how, `failure` why."""

    def __init__(self, run_id: str, state: str, failure: Failure | None) -> None:
        cause = f": {failure.cause_type} {failure.message}".replace(":  ", ": ") if failure else ""
        super().__init__(f"Run {run_id} ended {state}{cause}", remedy=f"See `headwater run logs {run_id}`.")
        self.run_id, self.state, self.failure = run_id, state, failure

    def __reduce__(self) -> tuple[object, ...]:
        return RunFailed, (self.run_id, self.state, self.failure)


ERRORS: Final[dict[int, type[HeadwaterError]]] = {
    400: InvalidInput,
    404: NotFound,
    409: Conflict,
    413: InvalidInput,
    415: InvalidInput,
    422: InvalidInput,
    503: Unavailable,
}


def checked(reply: Reply) -> bytes:
    """The body of a good reply; raises the server's own words otherwise."""
    if reply.status < 400:
        return reply.body
    kind = ERRORS.get(reply.status, HeadwaterError)
    problem = api.decode_error(reply.body)
    if problem is None:
        raise kind(_foreign(reply))
    place = f"{problem.file}:{problem.line}: " if problem.file and not problem.message.startswith(problem.file) else ""
    message = f"{place}{problem.message}"
    raise kind(message.removesuffix(".") if problem.remedy else message, remedy=problem.remedy)


def ask(call: Call, kind: Any) -> Program[Any]:
    """The answer to one call as `kind`."""
    reply = yield call
    return msgspec.json.decode(checked(reply), type=kind)


def get(path: str, kind: Any, **filters: object) -> Program[Any]:
    """The answer to a GET; filters that are None are left out."""
    given = urlencode({name: text for name, text in filters.items() if text is not None})
    return ask(Call("GET", f"{path}?{given}" if given else path), kind)


def post(path: str, body: msgspec.Struct, kind: Any) -> Program[Any]:
    return ask(Call("POST", path, {"Content-Type": "application/json"}, msgspec.json.encode(body)), kind)


# Events


def publish(event: dict[str, JSON]) -> Program[str]:
    """Publishes one CloudEvent; gives back its id once it is durable."""
    present = {name: value for name, value in event.items() if value is not None}
    body = msgspec.json.encode({"specversion": "1.0", **present})
    headers = {"Content-Type": "application/cloudevents+json"}
    accepted: api.Accepted = yield from ask(Call("POST", "/v1/events", headers, body), api.Accepted)
    return accepted.ids[0]


def event_types() -> Program[list[api.EventType]]:
    return _items("/v1/events/types", api.EventType)


# Runs


def start(asked: api.StartRun) -> Program[str]:
    """The id of the run. Asking again with its key gives the same run."""
    reply = yield Call("POST", "/v1/runs", {"Content-Type": "application/json"}, msgspec.json.encode(asked))
    body = checked(reply)
    if reply.status != 202:
        return msgspec.json.decode(body, type=api.Started).run_id
    command = msgspec.json.decode(body, type=api.CommandView)
    what = f"The platform has not started '{asked.flow}' yet (command {command.id})"
    raise Unavailable(what, remedy="Ask again with the same key: it starts one run.")


def runs(**filters: object) -> Program[list[api.RunSummary]]:
    return _items("/v1/runs", api.RunSummary, **filters)


def run(run_id: str) -> Program[api.RunDetail]:
    return get(run_path(run_id), api.RunDetail)


def run_path(run_id: str) -> str:
    return f"/v1/runs/{quote(run_id, safe='')}"


def cancel(run_id: str, reason: str) -> Program[api.CommandView]:
    return post(f"{run_path(run_id)}/cancel", api.CancelRun(reason=reason), api.CommandView)


def logs(run_id: str, step: str | None) -> Program[str]:
    query = f"?{urlencode({'step': step})}" if step else ""
    reply = yield Call("GET", f"{run_path(run_id)}/logs{query}")
    return checked(reply).decode(errors="replace")


def result(run_id: str) -> Program[JSON]:
    """What a run that ended gave back; raises RunFailed where it did not succeed."""
    detail: api.RunDetail = yield from run(run_id)
    if detail.state != "SUCCEEDED":
        raise RunFailed(run_id, detail.state, detail.failure)
    return detail.result


# What there is


def flows() -> Program[list[api.FlowView]]:
    return _items("/v1/flows", api.FlowView)


def models() -> Program[list[api.ModelView]]:
    return _items("/v1/models", api.ModelView)


def deployments() -> Program[list[api.DeploymentView]]:
    return _items("/v1/deployments", api.DeploymentView)


def tables() -> Program[list[api.TableView]]:
    return _items("/v1/tables", api.TableView)


def dead_letters() -> Program[list[api.DeadLetterSummary]]:
    return _items("/v1/dlq", api.DeadLetterSummary)


def dead_letter(letter_id: str) -> Program[api.DeadLetterDetail]:
    return get(f"/v1/dlq/{quote(letter_id, safe='')}", api.DeadLetterDetail)


def actors() -> Program[list[api.ActorView]]:
    return _items("/v1/actors", api.ActorView)


def quota() -> Program[api.QuotaView]:
    return get("/v1/quota", api.QuotaView)


def status() -> Program[api.Status]:
    return get("/v1/status", api.Status)


def ready() -> Program[api.Readiness]:
    """The readiness, whether good or bad."""
    reply = yield Call("GET", "/readyz")
    return msgspec.json.decode(reply.body, type=api.Readiness)


def order(asked: api.PostOrder) -> Program[api.CommandView]:
    return post("/v1/orders", asked, api.CommandView)


# What goes in


def deploy(packed: bytes) -> Program[api.Deployed]:
    return ask(Call("POST", "/v1/deploys", {"Content-Type": "application/gzip"}, packed), api.Deployed)


def append(table: str, stream: Callable[[], Iterable[bytes]], *, key: str, project: str) -> Program[api.Appended]:
    path = f"/v1/tables/{quote(table, safe='')}/append?{urlencode({'project': project})}"
    headers = {"Content-Type": "application/vnd.apache.arrow.stream", "Idempotency-Key": key}
    return ask(Call("POST", path, headers, stream), api.Appended)


def _items(path: str, kind: Any, **filters: object) -> Program[list[Any]]:
    """The items of a listing: all pages, or as many items as `limit` says."""
    limit = filters.pop("limit", None)
    wanted = limit if isinstance(limit, int) else None
    found: list[Any] = []
    after: str | None = None
    while wanted is None or len(found) < wanted:
        size = min(api.PAGE_MAX, api.PAGE_MAX if wanted is None else wanted - len(found))
        paging = {} if path.endswith("/types") or path == "/v1/actors" else {"after": after, "limit": size}
        page = yield from get(path, api.Page[kind], **filters, **paging)
        found += page.items
        after = page.next
        if after is None:
            break
    return found


def _foreign(reply: Reply) -> str:
    """The words of a server that is not Web: v2's `{"error": "text"}`, or the beginning of a page."""
    try:
        said = msgspec.json.decode(reply.body)["error"]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
        said = reply.body[:200].decode(errors="replace").strip()
    return f"{said} (HTTP {reply.status})"
