"""Positions, entries, messages, their encodings, and the validation of what senders choose."""
