"""The page /docs: the OpenAPI document as one self-contained page, without scripts or anything from elsewhere."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

from fastapi import FastAPI, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

Schema = Mapping[str, Any]
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
CODE: Final = re.compile(r"`([^`]+)`")
STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --dim: #6a6a6a; --get: #1a7f4b; --post: #1f5fbf }
@media (prefers-color-scheme: dark) { :root { --dim: #a0a0a0; --get: #5fd39a; --post: #8ab4f8 } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 62rem; padding: 2rem 1.5rem 6rem; font: 16px/1.55 system-ui, sans-serif }
h1 { margin: 0 } h1 small { font-size: 1rem; font-weight: 400; color: var(--dim) }
h2 { margin: 2.5rem 0 .6rem; text-transform: capitalize }
nav a { margin-right: 1rem; text-transform: capitalize } a { color: var(--post) }
code, pre { font: 13.5px/1.5 ui-monospace, "DejaVu Sans Mono", monospace }
p code, td code { background: var(--soft); padding: .1em .3em; border-radius: 4px }
p code { overflow-wrap: anywhere }
pre { background: var(--soft); padding: .8rem 1rem; border-radius: 6px; overflow-x: auto; margin: .4rem 0 1rem }
details { border: 1px solid var(--line); border-radius: 8px; margin: .5rem 0 }
summary { padding: .55rem .9rem; cursor: pointer; display: flex; gap: .8rem; align-items: baseline }
summary > span { color: var(--dim); font-size: .9rem; overflow: hidden; white-space: nowrap; text-overflow: ellipsis }
details > div { padding: 0 .9rem .4rem } h3 { font-size: .9rem; margin: 1rem 0 .2rem }
section { border-top: 1px solid var(--line); padding-bottom: .8rem } section:target { background: var(--soft) }
section p { margin: .2rem 0 }
b.verb { min-width: 3.4rem; font-size: .8rem; letter-spacing: .04em } .get { color: var(--get) }
.post { color: var(--post) }
table { border-collapse: collapse; font-size: .9rem } td { padding: .15rem 1rem .15rem 0; vertical-align: top }
@media (max-width: 40rem) { body { padding: 1.2rem 1rem 4rem } summary { flex-wrap: wrap; row-gap: .1rem }
  summary > code { overflow-wrap: anywhere; min-width: 0; flex: 1 } summary > span { flex-basis: 100% } }
"""


def install(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def front() -> Response:
        return RedirectResponse("/docs")

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        text = page(app.openapi(), str(request.base_url).rstrip("/"))
        return HTMLResponse(text, headers={"Content-Security-Policy": POLICY})


def page(document: Schema, url: str) -> str:
    """The document as HTML; `url` is the address that the examples call."""
    info, by_tag = document["info"], _by_tag(document)
    links = " ".join(f'<a href="#{_slug(tag)}">{escape(tag)}</a>' for tag in (*by_tag, "schemas"))
    parts = [f"<h2 id='{_slug(tag)}'>{escape(tag)}</h2>{''.join(calls)}" for tag, calls in _written(by_tag, url)]
    schemas = document["components"]["schemas"]
    parts.append(f"<h2 id='schemas'>schemas</h2>{''.join(_schema(name, schemas[name]) for name in sorted(schemas))}")
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{escape(info['title'])}</title>"
        f"<meta name='viewport' content='width=device-width'><style>{STYLE}</style>"
        f"<h1>{escape(info['title'])} <small>{escape(info['version'])} · "
        f"<a href='/openapi.json'>openapi.json</a></small></h1>"
        f"{_text(info.get('description', ''))}<nav>{links}</nav>{''.join(parts)}</html>"
    )


def _by_tag(document: Schema) -> dict[str, list[tuple[str, str, Schema]]]:
    found: dict[str, list[tuple[str, str, Schema]]] = {}
    for path, verbs in document["paths"].items():
        for verb, call in verbs.items():
            found.setdefault((call.get("tags") or ["other"])[0], []).append((verb, path, call))
    return found


def _written(by_tag: Mapping[str, list[tuple[str, str, Schema]]], url: str) -> Iterator[tuple[str, list[str]]]:
    for tag, calls in by_tag.items():
        yield tag, [_call(verb, path, call, url) for verb, path, call in calls]


def _call(verb: str, path: str, call: Schema, url: str) -> str:
    description = call.get("description") or call.get("summary") or ""
    first = _plain(description)
    body = _media(call.get("requestBody", {}))
    good: Schema = next((each for status, each in call.get("responses", {}).items() if status.startswith("2")), {})
    sections = [_text(description), _parameters(call), _block("Try it", _command(verb, path, body, url))]
    sections += [_shape("Takes", body), _shape("Answers", _media(good))]
    return (
        f"<details><summary><b class='verb {verb}'>{verb.upper()}</b><code>{escape(path)}</code>"
        f"<span>{first}</span></summary><div>{''.join(sections)}</div></details>"
    )


def _parameters(call: Schema) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(each['name'])}</code><td>{escape(each['in'])}<td>{_kind(each.get('schema', {}))}"
        f"<td>{'required' if each.get('required') else 'optional'}"
        for each in call.get("parameters", ())
    )
    return f"<h3>Parameters</h3><table>{rows}</table>" if rows else ""


def _command(verb: str, path: str, body: Schema, url: str) -> str:
    words = ["curl", "" if verb == "get" else f"-X {verb.upper()}"]
    if path.startswith("/v1"):
        words.append('-H "Authorization: Bearer $(cat .headwater/token)"')
    if body:
        sent = f"-d {shlex.quote(json.dumps(body['example']))}" if "example" in body else "--data-binary @FILE"
        words.append(f"-H 'Content-Type: {body['name']}' \\\n  {sent} \\\n ")
    return " ".join(word for word in (*words, f"'{url}{path}'") if word)


def _shape(heading: str, media: Schema) -> str:
    if media.get("schema", {}).get("format") == "binary":
        heading = f"{heading} {escape(media['names'])}"
    if "example" in media:
        return _block(heading, json.dumps(media["example"], indent=2, ensure_ascii=False))
    kind = _kind(media.get("schema", {}))
    return f"<h3>{heading}</h3><p>{kind}</p>" if kind else ""


def _schema(name: str, schema: Schema) -> str:
    required = schema.get("required", ())
    rows = "".join(
        f"<tr><td><code>{escape(field)}</code><td>{_kind(each)}<td>{'required' if field in required else 'optional'}"
        for field, each in schema.get("properties", {}).items()
    )
    return (
        f"<section id='schema-{escape(name)}'><h3><code>{escape(name)}</code></h3>"
        f"{_text(schema.get('description', ''))}<table>{rows}</table></section>"
    )


def _kind(schema: Schema) -> str:
    """A schema in a few words, with a link where it has a name."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rsplit("/", 1)[-1])
        return f"<a href='#schema-{name}'>{name}</a>"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(each) for each in schema["anyOf"] if _kind(each)))
    if "enum" in schema:
        return escape(" | ".join(map(str, schema["enum"])))
    if "items" in schema.get("properties", {}):
        return f"a page: {_kind(schema['properties']['items'])}"
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items') or {}) or 'anything'}"
    kind = schema.get("type", "")
    return escape(" or ".join(kind) if isinstance(kind, list) else str(kind))


def _media(answer: Schema) -> Schema:
    """What is sent as the first media type with an example, with its name and those of all."""
    content = answer.get("content", {})
    name = next((each for each in content if "example" in content[each]), next(iter(content), ""))
    return {**content[name], "name": name, "names": ", ".join(content)} if name else {}


def _block(heading: str, text: str) -> str:
    return f"<h3>{heading}</h3><pre>{escape(text)}</pre>"


def _slug(tag: str) -> str:
    return escape(tag.replace(" ", "-"))


def _plain(words: str) -> str:
    return escape(words.split("\n")[0].replace("`", ""))


def _text(words: str) -> str:
    """Paragraphs, with what stands between backticks as code."""
    parts = [CODE.sub(r"<code>\1</code>", escape(part)) for part in words.split("\n\n") if part]
    return "".join(f"<p>{part}</p>" for part in parts)
