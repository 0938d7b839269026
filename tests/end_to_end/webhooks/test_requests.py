"""The requests: forms, JSON, signatures, ids, URLs, TLS."""

import logging
import ssl
from pathlib import Path

import pytest
import trustme
from tests.end_to_end.webhooks.conftest import Connect
from tests.helpers.application import CONNECTED, DISCONNECTED, FakeApplication
from tests.helpers.presence_changes import connected, disconnected, expect_unavailable
from tests.helpers.site import SECRET

from headrace.errors import ConfigError, ForbiddenError
from headrace.hooks.webhooks import Webhooks
from headrace.hub.application import UpdateMessage

OTHER_SECRET = "the previous secret, 32 bytes lo"


@pytest.mark.parametrize(
    "client_id",
    ["alice", "a/b-c--d=e&f+g h", "-", "%2F", "Zoë žluť 日本 🎈", "x" * 256, "é" * 128, "\x00\r\n"],
)
async def test_a_notice_is_a_form_for_any_client_id(
    application: FakeApplication, webhooks: Webhooks, client_id: str
) -> None:
    connected(webhooks, client_id)
    disconnected(webhooks, client_id)
    await application.wait_for_notices((CONNECTED, client_id), (DISCONNECTED, client_id))
    for post in application.posts:
        assert post.headers["content-type"] == "application/x-www-form-urlencoded"
        assert post.headers["user-agent"].startswith("headrace/")
        assert "cookie" not in post.headers


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (UpdateMessage("alice", "hi"), {}),
        (UpdateMessage("alice", "hi", ("bob",)), {"to": "bob"}),
        (UpdateMessage("alice", "hi", ("bob", "eve")), {"to": ["bob", "eve"]}),
        (UpdateMessage("alice", "hi", (), "lobby"), {"group": "lobby"}),
    ],
)
async def test_an_update_message_is_json(
    application: FakeApplication,
    webhooks: Webhooks,
    message: UpdateMessage,
    fields: dict[str, object],
) -> None:
    await webhooks.receive(message)
    assert application.messages == [{"from": "alice", "data": "hi", **fields}]
    assert application.posts[0].headers["content-type"] == "application/json"


async def test_every_secret_signs(application: FakeApplication, connect: Connect) -> None:
    webhooks = connect(secrets=(SECRET, OTHER_SECRET))
    application.secrets = [SECRET, OTHER_SECRET]  # each one verifies
    connected(webhooks, "a")
    await application.wait_for_notices((CONNECTED, "a"))
    first, second = application.posts[0].headers["webhook-signature"].split(" ")
    assert first.startswith("v1,")
    webhooks.use_secrets([OTHER_SECRET])
    application.secrets = [OTHER_SECRET]
    disconnected(webhooks, "a")
    await application.wait_for_notices((CONNECTED, "a"), (DISCONNECTED, "a"))
    assert application.posts[1].headers["webhook-signature"] not in (first, second)
    assert " " not in application.posts[1].headers["webhook-signature"]


async def test_retries_have_the_same_id_and_no_id_is_reused(
    application: FakeApplication, webhooks: Webhooks, connect: Connect
) -> None:
    statuses = iter([500, 503, 200, 200])
    application.respond = lambda kind, body: next(statuses)
    connected(webhooks, "a")
    await application.wait_until(lambda: len(application.posts) == 3)
    disconnected(webhooks, "a")
    await application.wait_until(lambda: len(application.posts) == 4)
    application.respond = lambda kind, body: 200
    await webhooks.receive(UpdateMessage("a", "x"))
    await webhooks.receive(UpdateMessage("a", "x"))
    second = connect()
    connected(second, "a")
    await application.wait_until(lambda: len(application.posts) == 7)
    ids = [post.headers["webhook-id"] for post in application.posts]
    assert ids[0] == ids[1] == ids[2]
    assert len(set(ids)) == 5


async def test_the_base_url_may_have_a_path_and_credentials(
    connect: Connect, application: FakeApplication, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    port = application.port
    webhooks = Webhooks(f"http://user:p%40ss@127.0.0.1:{port}/", [SECRET])
    connected(webhooks, "a")
    await application.wait_for_notices((CONNECTED, "a"))
    assert application.posts[0].headers["authorization"] == "Basic dXNlcjpwQHNz"
    await webhooks.aclose()
    missing = connect("/nowhere")
    assert "p%40ss" not in caplog.text
    with pytest.raises(ForbiddenError):
        await missing.receive(UpdateMessage("a", "x"))
    assert "status 404" in caplog.text


async def test_cookies_are_not_stored(application: FakeApplication, webhooks: Webhooks) -> None:
    application.headers = {"set-cookie": "session=1"}
    connected(webhooks, "a", "b")
    await application.wait_until(lambda: len(application.notices) == 2)
    disconnected(webhooks, "a")
    await application.wait_until(lambda: len(application.notices) == 3)
    assert all("cookie" not in post.headers for post in application.posts)


@pytest.mark.parametrize("url", ["http://[::1", "http://host:port", "http://\x00/"])
async def test_a_url_that_cannot_be_used(url: str) -> None:
    with pytest.raises(ConfigError, match="app_url cannot be used"):
        Webhooks(url, [SECRET])


async def test_certificates_are_verified_and_ssl_cert_file_is_honoured(
    application: FakeApplication,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    authority = trustme.CA()
    application.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(application.tls)
    await application.stop()
    await application.start()
    assert application.url.startswith("https:")
    untrusting = Webhooks(application.url, [SECRET])
    await expect_unavailable(untrusting)
    assert "CERTIFICATE_VERIFY_FAILED" in caplog.text
    await untrusting.aclose()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    webhooks = Webhooks(application.url, [SECRET])
    await webhooks.receive(UpdateMessage("alice", "x"))
    await webhooks.aclose()


async def test_proxies_from_the_environment_are_ignored(
    application: FakeApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    webhooks = Webhooks(application.url, [SECRET])
    await webhooks.receive(UpdateMessage("alice", "x"))
    await webhooks.aclose()
