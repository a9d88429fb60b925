"""mixer: prepares corpora for continual pre-training and mixes them by an exact additional-language ratio.

Text flows as Arrow record batches through ``prepare`` (read, language, rules, fingerprint), ``dedup`` and
``tokenize`` into Megatron indexed datasets; ``mixture`` solves their weights and proves the ratio; ``build`` shows
the whole pipeline on one screen.
"""

__version__ = "0.1.0"
