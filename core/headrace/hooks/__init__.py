"""How the application receives presence changes and update-messages.

`callbacks.py` calls functions in the same process. `webhooks.py` sends signed HTTP requests to
`app_url`: `outbox.py` and the modules that it imports decide what is sent when, `webhook_client.py`
makes the requests, `signing.py` signs them, and `failure_log.py` logs their failures.
"""
