"""Applications written for App Engine's Channel API, unchanged.

    import headrace.appengine
    headrace.appengine.install()

    from google.appengine.api import channel        # is headrace.appengine.channel

In a process in which a Headrace server runs, the module talks to that server's hub. Elsewhere it
talks to the server at `HEADRACE_URL` with `HEADRACE_API_KEY`; where `HEADRACE_SECRET` is set too,
tokens are recognised by their signature and not by their form alone. `bind` and `use` say
otherwise.
"""

from headrace.appengine.backend import Backend
from headrace.appengine.choice import bind, use
from headrace.appengine.http import HttpBackend
from headrace.appengine.hub import Host, HubBackend
from headrace.appengine.namespace import install

__all__ = ["Backend", "Host", "HttpBackend", "HubBackend", "bind", "install", "use"]
