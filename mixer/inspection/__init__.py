"""Looks into a finished build: documents with what decided about them, and what other thresholds would have decided.

Everything is read from ``documents/`` and ``dropped/``: the text, the statistics that rules looked at, and the rules
themselves, which each file records (``finished``). ``specimens`` draws documents, ``what_if`` decides again.
"""
