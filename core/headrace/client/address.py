"""Where a server is, and what opens it."""

import os
import re
from typing import NamedTuple
from urllib.parse import urlsplit

from headrace.client.errors import ConfigError

_VISIBLE = re.compile(r"[!-~]+")


class Address(NamedTuple):
    """A base URL without a last slash, and the API key; None where it is not known."""

    url: str | None
    api_key: str | None


def find_address(url: str | None = None, api_key: str | None = None) -> Address:
    """Return an address; what is None comes from `HEADRACE_URL` and `HEADRACE_API_KEY`.

    ConfigError, naming which, for a URL or a key that cannot be used.
    """
    source = "url"
    if url is None:
        source, url = "HEADRACE_URL", os.environ.get("HEADRACE_URL") or None
    if url is not None:
        url = check_base_url(url, source)
    if api_key is None:
        api_key = os.environ.get("HEADRACE_API_KEY") or None
    if api_key is not None and not _VISIBLE.fullmatch(api_key):
        raise ConfigError("api_key has characters that no header can carry: `headrace keygen`")
    return Address(url, api_key)


def check_base_url(url: str, source: str) -> str:
    """Return `url` without its last slash; ConfigError, naming `source`, where it is no base URL.

    A base URL is `http://` or `https://`, a host, perhaps a port and a path.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # the port is no number, or the brackets of an IPv6 address are open
        usable = False
    else:
        if "@" in parts.netloc:  # not shown: it may be a password
            raise ConfigError(f"{source} names a user; what opens the server is the API key")
    if not usable or not _VISIBLE.fullmatch(url) or parts.query or parts.fragment:
        raise ConfigError(f"{source} is {url!a}; it must be like http://127.0.0.1:8080, in ASCII")
    return url.rstrip("/")
