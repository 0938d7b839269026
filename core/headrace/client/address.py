"""The server's base URL and the API key, from arguments or the environment."""

import os
import re
from typing import NamedTuple

from headrace.client.errors import ConfigError
from headrace.settings import is_base_url

_HEADER_VALUE = re.compile(r"[!-~]+")


class Address(NamedTuple):
    """A base URL without a trailing slash, and the API key; None if not known."""

    url: str | None
    api_key: str | None


def find_address(url: str | None = None, api_key: str | None = None) -> Address:
    """Return the address; `HEADRACE_URL` and `HEADRACE_API_KEY` replace what is None.

    Raise ConfigError if the URL or the key cannot be used.
    """
    source = "url"
    if url is None:
        source, url = "HEADRACE_URL", os.environ.get("HEADRACE_URL") or None
    if url is not None:
        url = check_base_url(url, source)
    if api_key is None:
        api_key = os.environ.get("HEADRACE_API_KEY") or None
    if api_key is not None and not _HEADER_VALUE.fullmatch(api_key):
        raise ConfigError(
            "api_key has a character that a header cannot hold: `headrace keygen` makes a key"
        )
    return Address(url, api_key)


def check_base_url(url: str, source: str) -> str:
    """Return `url` without a trailing slash.

    Raise ConfigError, with `source` as the name, if it is not a base URL or has a user name.
    """
    if "@" in url:  # do not show it: it may contain a password
        raise ConfigError(f"{source} contains a user name; the server expects only the API key")
    if not is_base_url(url):
        raise ConfigError(f"{source} is {url!a}; it must be like http://127.0.0.1:8080, in ASCII")
    return url.rstrip("/")
