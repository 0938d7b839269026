"""The files that a page loads: both forms of the JavaScript client, and the demo."""

from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import NamedTuple

from headrace.api.openapi.operation import OperationDoc, Parameter, ResponseDoc
from headrace.api.responses import Headers, Response
from headrace.api.router import Handler, Request, Route


class _File(NamedTuple):
    body: bytes
    etag: str


@cache
def _load(name: str) -> _File:
    body = files("headrace").joinpath("static", name).read_bytes()
    return _File(body, f'"{sha256(body).hexdigest()[:20]}"')


def _static(name: str, media_type: str, *, any_origin: bool = True) -> Handler:
    """Return a handler that serves a file; with `any_origin`, pages of any origin may import it."""
    cors: Headers = (("access-control-allow-origin", "*"),) if any_origin else ()

    async def handler(request: Request) -> Response:
        file = _load(name)
        headers: Headers = (
            ("content-type", f"{media_type}; charset=utf-8"),
            ("cache-control", "no-cache"),  # revalidate each time: the response is a short 304
            ("etag", file.etag),
            *cors,
        )
        # RFC 9110 section 13.1.2: compared weakly, since a compressing proxy weakens the tag.
        known = request.head.header_list("if-none-match")
        if any(tag == "*" or tag.removeprefix("W/") == file.etag for tag in known):
            return Response(304, headers)
        return Response(200, headers, file.body)

    return handler


def _script_doc(name: str, summary: str) -> OperationDoc:
    etag = {"ETag": "Identifies this version of the file."}
    return OperationDoc(
        (
            ResponseDoc(200, "The script.", media="text/javascript", headers=etag),
            ResponseDoc(304, "The client has the newest version.", media=None, headers=etag),
        ),
        (Parameter("If-None-Match", "The `ETag` of the version the client has.", place="header"),),
        name=name,
        summary=summary,
    )


ROUTES = (
    Route(
        "GET",
        "/_ah/channel/jsapi",
        _static("jsapi.js", "text/javascript"),
        doc=_script_doc("jsapi", "The App Engine script, which defines `goog.appengine.Channel`."),
    ),
    Route(
        "GET",
        "/headrace.js",
        _static("headrace.js", "text/javascript"),
        doc=_script_doc("headrace_js", "The JavaScript client as an ES module."),
    ),
)

DEMO_ROUTES = (Route("GET", "/", _static("demo.html", "text/html", any_origin=False)),)
