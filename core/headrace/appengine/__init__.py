"""Applications written for App Engine's Channel API."""
