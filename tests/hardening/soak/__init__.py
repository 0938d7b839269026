"""A soak test: a server process under a mix of load, faults and restarts for a long time.

    python -m tests.hardening.soak --minutes 30 --seed 1

It starts `headrace serve` with `--state-dir`, and repeats rounds of connect waves, bursts, slow
clients, half-open peers and malformed requests, in an order that the seed decides. Planned
handovers replace the process several times. After each round, when all clients are gone, it reads
the process's resident memory and its descriptors from /proc.

At the end it checks for each process: memory after the last round is at most 5 % over that after
the warm-up rounds, no descriptor is left over, the exit status is 0, and stderr has expected lines
only.
"""
