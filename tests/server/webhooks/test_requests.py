"""What goes over the wire: forms, JSON, signatures, ids, where to."""

import logging
import ssl
from pathlib import Path

import pytest
import trustme
from tests.server.application import CAME, WENT, Application
from tests.server.kit import SECRET
from tests.server.webhooks.conftest import Connect
from tests.server.webhooks.steps import come, go, refusal

from headrace.application import UpdateMessage
from headrace.errors import ConfigError
from headrace.webhooks import Webhooks

OTHER = "the secret before, 32 bytes long"


@pytest.mark.parametrize(
    "client_id",
    ["alice", "a/b-c--d=e&f+g h", "-", "%2F", "Zoë žluť 日本 🎈", "x" * 256, "é" * 128, "\x00\r\n"],
)
async def test_a_notice_is_a_form_that_holds_any_client_id(
    application: Application, webhooks: Webhooks, client_id: str
) -> None:
    come(webhooks, client_id)
    go(webhooks, client_id)
    await application.until_told((CAME, client_id), (WENT, client_id))
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
    application: Application,
    webhooks: Webhooks,
    message: UpdateMessage,
    fields: dict[str, object],
) -> None:
    await webhooks.receive(message)
    assert application.messages == [{"from": "alice", "data": "hi", **fields}]
    assert application.posts[0].headers["content-type"] == "application/json"


async def test_each_secret_signs_so_that_secrets_can_be_rotated(
    application: Application, connect: Connect
) -> None:
    webhooks = connect(secrets=(SECRET, OTHER))
    application.secrets = [SECRET, OTHER]  # each one verifies
    come(webhooks, "a")
    await application.until_told((CAME, "a"))
    first, second = application.posts[0].headers["webhook-signature"].split(" ")
    assert first.startswith("v1,")
    webhooks.use_secrets([OTHER])
    application.secrets = [OTHER]
    go(webhooks, "a")
    await application.until_told((CAME, "a"), (WENT, "a"))
    assert application.posts[1].headers["webhook-signature"] not in (first, second)
    assert " " not in application.posts[1].headers["webhook-signature"]


async def test_an_id_stays_the_same_while_one_thing_is_repeated_and_is_never_used_again(
    application: Application, webhooks: Webhooks, connect: Connect
) -> None:
    statuses = iter([500, 503, 200, 200])
    application.answer = lambda kind, body: next(statuses)
    come(webhooks, "a")
    await application.until(lambda: len(application.posts) == 3)
    go(webhooks, "a")
    await application.until(lambda: len(application.posts) == 4)
    application.answer = lambda kind, body: 200
    await webhooks.receive(UpdateMessage("a", "x"))
    await webhooks.receive(UpdateMessage("a", "x"))
    again = connect()
    come(again, "a")
    await application.until(lambda: len(application.posts) == 7)
    ids = [post.headers["webhook-id"] for post in application.posts]
    assert ids[0] == ids[1] == ids[2]
    assert len(set(ids)) == 5


async def test_the_base_url_may_have_a_path_and_credentials(
    connect: Connect, application: Application, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    port = application.port
    webhooks = Webhooks(f"http://user:p%40ss@127.0.0.1:{port}/", [SECRET])
    come(webhooks, "a")
    await application.until_told((CAME, "a"))
    assert application.posts[0].headers["authorization"] == "Basic dXNlcjpwQHNz"
    await webhooks.aclose()
    missing = connect("/nowhere")
    assert "p%40ss" not in caplog.text
    await refusal(missing)
    assert "answers 404" in caplog.text


async def test_no_cookie_is_sent_back(application: Application, webhooks: Webhooks) -> None:
    application.headers = {"set-cookie": "session=1"}
    come(webhooks, "a", "b")
    await application.until(lambda: len(application.notices) == 2)
    go(webhooks, "a")
    await application.until(lambda: len(application.notices) == 3)
    assert all("cookie" not in post.headers for post in application.posts)


@pytest.mark.parametrize("url", ["http://[::1", "http://host:port", "http://\x00/"])
async def test_a_url_that_cannot_be_used(url: str) -> None:
    with pytest.raises(ConfigError, match="app_url cannot be used"):
        Webhooks(url, [SECRET])


async def test_tls_is_verified_with_the_system_s_authorities_or_those_of_ssl_cert_file(
    application: Application,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    authority = trustme.CA()
    application.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(application.tls)
    await application.down()
    await application.up()
    assert application.url.startswith("https:")
    stranger = Webhooks(application.url, [SECRET])
    await refusal(stranger)
    assert "CERTIFICATE_VERIFY_FAILED" in caplog.text
    await stranger.aclose()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    webhooks = Webhooks(application.url, [SECRET])
    await webhooks.receive(UpdateMessage("alice", "x"))
    await webhooks.aclose()


async def test_no_proxy_of_the_environment_is_asked(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    webhooks = Webhooks(application.url, [SECRET])
    await webhooks.receive(UpdateMessage("alice", "x"))
    await webhooks.aclose()
