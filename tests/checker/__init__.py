"""Proves, with faults, that nothing is lost and that a loss is told: see docs/losslessness.md.

    python -m tests.checker --seed 1

Many clients listen through a proxy that cuts, stalls and swallows; publishers send numbered
messages; the server is restarted and killed. Then each client's record is compared with what was
sent. The clients share no code with the server, so that no defect can hide in both.
"""
