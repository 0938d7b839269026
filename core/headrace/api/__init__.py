"""The routes: requests in, answers out. The server feeds them; they know no transport."""
