"""The application's ears by HTTP: presence notices and update-messages, signed, to `app_url`.

`outbox.py` decides what goes next, without a socket or a clock; `signing.py` signs; `sender.py`
sends.
"""

from headrace.webhooks.sender import Webhooks

__all__ = ["Webhooks"]
