"""The API described in OpenAPI 3.1, made from the table of its routes, the classes of answers and their docstrings."""

from __future__ import annotations

import functools
import operator
import sys
from collections.abc import Mapping
from dataclasses import is_dataclass
from datetime import datetime
from http import HTTPStatus
from importlib.metadata import version
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from poller.client.answers import as_json, is_rare, object_fields
from poller.web.answers import PROBLEM, encoded
from poller.web.api import BASE
from poller.web.api_asked import JSON
from poller.web.api_orders import KEY, LONGEST_KEY
from poller.web.api_questions import LARGEST
from poller.web.api_routes import CALLS

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from poller.web.api import ApiCall

REF = "#/components/schemas/{name}"
SAID = """\
What the desk shows, and what people do there, for programs. Items of listings are those of the command line.
Times are ISO 8601 with offset; keys of rows are texts. A viewer without the right `values` gets null or an empty text
where a value of a user's table could stand. A page of a listing has in `next` the `after` of the one that follows.
A query may have 65,536 bytes, a body 262,144."""
REFUSALS = (400, 401, 403, 404, 421, 500, 503)
REFUSALS_OF_BODIES = (413, 415, 422)
TIME = Annotated[datetime, msgspec.Meta(tz=True)]


class Problem(msgspec.Struct):
    """Why a request was refused, as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str


def served(request: Request) -> Response:
    """Return the description, as the API is asked for here."""
    root = str(request.scope.get("root_path", ""))
    return encoded(described() | {"servers": [{"url": root + BASE}]})


def printed() -> str:
    """Return the description as text; neither a desk nor a database is needed."""
    return as_json(described(), indent=2)


@functools.cache
def described() -> dict[str, Any]:
    """Return the description."""
    bodies = [call.asked for call in CALLS if call.has_body]
    shapes = [shape(each, whole=not _is_listing(call)) for call in CALLS for each in _items(call)]
    _, schemas = msgspec.json.schema_components({*shapes, *bodies, Problem}, ref_template=REF)
    paths: dict[str, Any] = {}
    for call in CALLS:
        path = call.path.replace(":int", "")
        paths.setdefault(path, {})[call.method.lower()] = _operation(call)
    refusals = {
        str(each): _content(HTTPStatus(each).phrase, PROBLEM, _ref(Problem))
        for each in (*REFUSALS, *REFUSALS_OF_BODIES)
    }
    made = {
        "openapi": "3.1.0",
        "info": {"title": "poller", "version": version("poller"), "description": SAID},
        "servers": [{"url": BASE}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "responses": refusals,
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(made))  # tuples are lists there
    return found


def _operation(call: ApiCall) -> dict[str, Any]:
    said = (call.does.__doc__ or "").strip()
    made: dict[str, Any] = {
        "operationId": call.does.__name__,
        "summary": said.rstrip("."),
        "parameters": [*_of_path(call), *_of_header(call), *_of_query(call)],
        "responses": {"200": _content("The answer.", JSON, _answer(call))},
    }
    for status in (*REFUSALS, *(REFUSALS_OF_BODIES if call.method == "POST" else ())):
        made["responses"][str(status)] = {"$ref": f"#/components/responses/{status}"}
    if call.has_body:
        made["requestBody"] = {"required": True, "content": {JSON: {"schema": _ref(call.asked)}}}
    return made


def _of_path(call: ApiCall) -> list[dict[str, Any]]:
    if "{id" not in call.path:
        return []
    number = {"type": "integer", "minimum": 1, "maximum": LARGEST}
    return [{"name": "id", "in": "path", "required": True, "schema": number}]


def _of_header(call: ApiCall) -> list[dict[str, Any]]:
    if not call.is_repeatable:
        return []
    word = {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY, "pattern": "^[!-~]+$"}
    said = "Makes the order once: given again within a day, the answer is that of the first time."
    return [{"name": KEY, "in": "header", "description": said, "schema": word}]


def _of_query(call: ApiCall) -> list[dict[str, Any]]:
    if call.has_body:
        return []
    _, found = msgspec.json.schema_components([call.asked], ref_template=REF)
    asked = found[call.asked.__name__]
    return [
        {"name": name, "in": "query", "required": name in asked["required"], "schema": _given(schema)}
        for name, schema in asked["properties"].items()
    ]


def _given(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a field that is given: one that may be missing is not null."""
    some = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    return some[0] if len(some) == 1 else schema


def _answer(call: ApiCall) -> dict[str, Any]:
    refs = [_ref(shape(each, whole=not _is_listing(call))) for each in _items(call)]
    item = refs[0] if len(refs) == 1 else {"anyOf": refs}
    if not _is_listing(call):
        return item
    return {
        "type": "object",
        "required": ["items", "next", "as_of", "exact"],
        "properties": {
            "items": {"type": "array", "items": item},
            "next": {"type": ["string", "null"]},
            "as_of": {"type": "string", "format": "date-time"},
            "exact": {"type": "boolean"},
            "faults": {"type": "array", "items": {"type": "string"}},
        },
    }


def _is_listing(call: ApiCall) -> bool:
    return get_origin(call.answer) is list


def _items(call: ApiCall) -> tuple[type, ...]:
    """Return the classes of the objects that a call answers with."""
    return get_args(call.answer) or (call.answer,)


def _content(said: str, kind: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": said, "content": {kind: {"schema": schema}}}


def _ref(kind: type) -> dict[str, Any]:
    return {"$ref": REF.format(name=kind.__name__)}


def shape(kind: type, *, whole: bool = False) -> type:
    """Return what describes the object of an answer: its fields, as `as_object` has them."""
    return _shape(kind, tuple(each.name for each in object_fields(kind, whole=whole)))


@functools.cache
def _shape(kind: type, kept: tuple[str, ...]) -> type:
    names = {"datetime": datetime, "Mapping": Mapping}
    hints = get_type_hints(kind, vars(sys.modules[kind.__module__]), names)
    missing = {each.name: {"default": None} for each in object_fields(kind) if is_rare(each)}
    listed = [
        (each, _described(hints[each]), msgspec.field(name=each.removesuffix("_"), **missing.get(each, {})))
        for each in kept
    ]
    is_more = len(kept) > len(object_fields(kind))
    said = (kind.__doc__ or "").partition("\n")[0]
    name = f"{kind.__name__}InFull" if is_more else kind.__name__
    return msgspec.defstruct(name, listed, namespace={"__doc__": said})


def _described(hint: Any) -> Any:
    """Return a type in the words of msgspec: times with their zone, and shapes for dataclasses."""
    if hint is datetime:
        return TIME
    if isinstance(hint, type) and is_dataclass(hint):
        return shape(hint)
    origin, parts = get_origin(hint), get_args(hint)
    if not parts or origin is Literal:
        return hint
    described = tuple(map(_described, parts))
    if origin in {Union, UnionType}:
        return functools.reduce(operator.or_, described)
    return origin[described]
