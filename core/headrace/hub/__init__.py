"""Sessions, their backlogs, the history, subscriptions and presence; no I/O and no clock."""
