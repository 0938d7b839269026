"""The log that gives entries their place in the one total order.

`base.py` is the interface and its promises; `local.py` is the log of a single process.
"""
