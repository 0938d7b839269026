"""`GET /healthz` and `GET /readyz`: the probes of an orchestrator or a load balancer."""

from headrace.api.openapi.operation import OperationDoc, ResponseDoc
from headrace.api.responses import Response
from headrace.api.router import Request, Route
from headrace.messages.wire import Health, Readiness


async def health(_request: Request) -> Response:
    """Report that the process runs its event loop."""
    return Response.json(Health("ok"))


async def ready(request: Request) -> Response:
    """Report that clients may connect; raise UnavailableError once the server is draining."""
    request.hub.check_accepting()
    return Response.json(Readiness("ready"))


_HEALTH = OperationDoc((ResponseDoc(200, "The process is running.", Health),))
_READY = OperationDoc(
    (ResponseDoc(200, "Clients may connect.", Readiness),),
    summary="Report whether clients may connect.",
)

ROUTES = (
    Route("GET", "/healthz", health, doc=_HEALTH),
    Route("GET", "/readyz", ready, doc=_READY),
)
