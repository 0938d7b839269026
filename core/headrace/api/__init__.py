"""The application's interface: the public `Hub`, and the HTTP routes in front of it.

hub.py           `Hub`, what an embedding application and the routes call
dispatcher.py    from a request to its response: route, access, body, handler, errors
router.py        `Route`, `Request`, and the lookup by method and path
routes/          the routes for clients and for the application
admin/           the routes for operators: health, statistics, metrics
openapi/         `/openapi.json`, generated from the table of routes
"""
