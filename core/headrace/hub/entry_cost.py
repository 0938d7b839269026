"""An estimate of the memory that one entry of the history takes.

It counts the data as Python holds it, one encoding, the objects around them, and the entry's
references in the index. docs/history.md compares it with measurements.
"""

import sys
from typing import Final

import msgspec

from headrace.messages.message import Message

# Memory beside the data and its encoding, in bytes, measured by bench/system/history.py.
ENTRY_BYTES: Final = 450
"""The objects of one entry."""
KEY_BYTES: Final = 72
"""Each key of an entry, and the group's name in the message; its characters are counted too."""
ALLOCATOR_SHARE: Final = 8
"""Rounding and gaps of the allocators: one byte more for every 8 of data and encoding."""

SAMPLE_CHARACTERS: Final = 512
"""Data up to twice this length is encoded to measure it; of longer data only a sample is, of 341
to 512 characters."""

_encode_into = msgspec.json.Encoder().encode_into
_scratch = bytearray()  # for encodings that are only measured


def entry_cost(message: Message, keys: tuple[str, ...]) -> int:
    """Return the estimated memory of an entry, in bytes, once it is encoded in one encoding.

    The JSON escapes of long data are estimated from every n-th character. The index of the first
    one depends on the time and on the process's hash seed, so that a sender cannot hide escapes
    from the estimate: for any data it is right on average.
    """
    data = message.data
    if len(data) <= 2 * SAMPLE_CHARACTERS:
        _encode_into(data, _scratch)
        cost_bytes = len(_scratch) + sys.getsizeof(data)  # with its UTF-8, which Python now caches
    else:
        step = len(data) // SAMPLE_CHARACTERS | 1  # odd, or it would fit the period of much data
        sample = data[(message.position.ms + hash(keys[0])) % step :: step]
        _encode_into(sample, _scratch)
        sample_bytes = len(sample) if sample.isascii() else len(sample.encode())
        escapes_bytes = step * (len(_scratch) - 2 - sample_bytes)
        cost_bytes = sys.getsizeof(data) + message.size_bytes + 2 + escapes_bytes
        if not data.isascii():  # encoding it caches its UTF-8
            cost_bytes += message.size_bytes + 1
    cost_bytes += cost_bytes // ALLOCATOR_SHARE + ENTRY_BYTES
    if message.group is not None:
        cost_bytes += KEY_BYTES + len(message.group)
    for key in keys:
        cost_bytes += KEY_BYTES + len(key)
    return cost_bytes
