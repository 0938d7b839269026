"""All fuzz targets by name."""

from tests.hardening.fuzz.target import Target
from tests.hardening.fuzz.targets import (
    client,
    frames,
    handshake,
    http,
    journal,
    json_bodies,
    names,
    snapshot,
    tokens,
)

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        http.TARGET,
        frames.TARGET,
        handshake.TARGET,
        tokens.TARGET,
        names.POSITION,
        names.GRANTS,
        names.ORIGINS_TARGET,
        snapshot.TARGET,
        journal.TARGET,
        client.FRAMES_TARGET,
        client.RESPONSES_TARGET,
        json_bodies.TARGET,
        json_bodies.LINES_TARGET,
    )
}
