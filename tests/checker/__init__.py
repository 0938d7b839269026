"""Verify under injected faults that no message is lost without the client being told.

    python -m tests.checker --seed 1

Many clients listen through a proxy that breaks, stalls and silences connections. Publishers send
numbered messages, and the server is restarted and killed. Then the delivery log of each client is
compared with the messages that were sent. The clients share no code with the server, so that a bug
cannot be in both. See docs/losslessness.md.
"""
