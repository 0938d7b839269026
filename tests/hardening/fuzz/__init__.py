"""Fuzz targets, one for each parser of bytes from a peer or from a file.

    python -m tests.hardening.fuzz TARGET --minutes 10 --seed 1

A target has a `strategy` that makes structured inputs, a corpus under `tests/hardening/corpus/`
whose files are mutated, and a `check` that raises if a property does not hold for an input:

- only the documented exceptions are raised;
- the same bytes give the same events, however they are cut into reads;
- a second implementation reads the same;
- what is kept in memory is limited.

`test_fuzz.py` does this for a few seconds; the command above does it for longer.
"""
