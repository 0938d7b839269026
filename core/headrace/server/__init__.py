"""The server of one process: sockets, the event loop, timers.

server.py            `Server`: listens, and its life cycle
run.py               `run_server`: serve until a signal
context.py           `ServerContext`: what connections share
connections/         one asyncio protocol for each thing a connection can be
timers.py            one timer for all deadlines
tick_budget.py       work that is spread over event loop ticks
sockets.py           listening sockets and TLS
state_directory.py   the state that a planned restart carries over
"""
