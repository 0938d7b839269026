"""Find the hub that runs in this process, for code that is not given one."""

from headrace.api.hub import Hub
from headrace.errors import ConfigError


def only() -> Hub | None:
    """Return the running hub of this process, or None; may be called from any thread.

    Raises ConfigError if there are several.
    """
    hubs = list(Hub.running)
    if len(hubs) > 1:
        raise ConfigError(
            f"{len(hubs)} hubs run in this process; choose one with headrace.appengine.bind(hub)"
        )
    return hubs[0] if hubs else None
