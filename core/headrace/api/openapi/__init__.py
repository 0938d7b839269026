"""`/openapi.json`, generated from the table of routes and the types of their bodies."""
