"""Tokens, grants, revocations, allowed origins and rate limits."""
