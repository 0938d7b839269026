"""Signer, verified with the library `standardwebhooks`."""

import time
from base64 import b64encode

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from headrace.hooks.signing import Signer

FIRST, SECOND, OTHER = "first secret", "second secret", "other secret"


def verify(secret: str, body: bytes, headers: dict[str, str]) -> None:
    Webhook("whsec_" + b64encode(secret.encode()).decode()).verify(body, headers, json_parse=False)


def test_every_secret_signs() -> None:
    headers = Signer([FIRST, SECOND]).headers("msg_1", time.time(), b"from=a")
    assert headers["webhook-id"] == "msg_1"
    for secret in (FIRST, SECOND):
        verify(secret, b"from=a", headers)
    with pytest.raises(WebhookVerificationError):
        verify(OTHER, b"from=a", headers)
    with pytest.raises(WebhookVerificationError):
        verify(FIRST, b"from=b", headers)


def test_the_first_secret_signs_first() -> None:
    now = time.time()
    both = Signer([FIRST, SECOND]).headers("msg_1", now, b"from=a")["webhook-signature"]
    one = Signer([FIRST]).headers("msg_1", now, b"from=a")["webhook-signature"]
    assert both.split(" ")[0] == one


def test_the_timestamp_is_whole_seconds() -> None:
    headers = Signer([FIRST]).headers("msg_1", 1_732_412_345.9, b"from=a")
    assert headers["webhook-timestamp"] == "1732412345"
