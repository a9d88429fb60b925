"""Runs a stage's tasks, one process each, and remembers in receipts what is done.

A stage plans tasks; the engine runs those whose receipt is missing or stale, retries a killed one, shows progress and
hands back all receipts. Engines know nothing of documents; stages know nothing of processes.
"""
