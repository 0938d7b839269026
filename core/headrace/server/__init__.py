"""The shell around the hub: sockets, the event loop, timers."""
