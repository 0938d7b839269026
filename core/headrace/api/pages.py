"""The files a page needs: the two forms of the JavaScript client, and the demo."""

from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import NamedTuple

from headrace.api.answers import Answer, Headers
from headrace.api.describe import Doc, Parameter, Reply
from headrace.api.routing import Access, Call, Handler, Route


class _Page(NamedTuple):
    body: bytes
    etag: str


@cache
def _page(name: str) -> _Page:
    body = files("headrace").joinpath("static", name).read_bytes()
    return _Page(body, f'"{sha256(body).hexdigest()[:20]}"')


def _static(name: str, media_type: str, *, shared: bool = True) -> Handler:
    """Return a handler for a file; `shared` lets pages of any origin import it as a module."""
    cors: Headers = (("access-control-allow-origin", "*"),) if shared else ()

    async def handler(call: Call) -> Answer:
        page = _page(name)
        headers: Headers = (
            ("content-type", f"{media_type}; charset=utf-8"),
            ("cache-control", "no-cache"),  # ask again each time: the answer is a short 304
            ("etag", page.etag),
            ("x-content-type-options", "nosniff"),
            *cors,
        )
        # RFC 9110 section 13.1.2: compared weakly, as a proxy that compresses makes a tag weak.
        known = call.request.header_list("if-none-match")
        if any(tag == "*" or tag.removeprefix("W/") == page.etag for tag in known):
            return Answer(304, headers)
        return Answer(200, headers, page.body)

    return handler


def _script(name: str, summary: str) -> Doc:
    etag = {"ETag": "Names this version of the file."}
    return Doc(
        (
            Reply(200, "The script.", media="text/javascript", headers=etag),
            Reply(304, "The version that you have is the newest.", media=None, headers=etag),
        ),
        (Parameter("If-None-Match", "The `ETag` of the version that you have.", place="header"),),
        name=name,
        summary=summary,
    )


ROUTES = (
    Route(
        "GET",
        "/_ah/channel/jsapi",
        Access.OPEN,
        _static("jsapi.js", "text/javascript"),
        doc=_script("jsapi", "The App Engine script, which gives a page `goog.appengine.Channel`."),
    ),
    Route(
        "GET",
        "/headrace.js",
        Access.OPEN,
        _static("headrace.js", "text/javascript"),
        doc=_script("headrace_js", "The JavaScript client as an ES module."),
    ),
)

DEMO_ROUTES = (Route("GET", "/", Access.OPEN, _static("demo.html", "text/html", shared=False)),)
