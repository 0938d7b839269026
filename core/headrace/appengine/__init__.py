"""Run applications that were written for App Engine's Channel API, without changes to them.

    import headrace.appengine
    headrace.appengine.install()

    from google.appengine.api import channel        # is headrace.appengine.channel

If a `Hub` runs in this process, the module uses it. Otherwise it uses the server at `HEADRACE_URL`
with `HEADRACE_API_KEY`; with `HEADRACE_SECRET` it recognises tokens by their signature instead of
their format only. `bind` and `use` choose a hub or a backend explicitly.
"""

from headrace.appengine.backend import Backend
from headrace.appengine.current_backend import bind, use
from headrace.appengine.http_backend import HttpBackend
from headrace.appengine.hub_backend import HubBackend
from headrace.appengine.namespace import install

__all__ = ["Backend", "HttpBackend", "HubBackend", "bind", "install", "use"]
