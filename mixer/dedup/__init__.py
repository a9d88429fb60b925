"""Duplicates, over all sources and languages together: exact ones and near ones by MinHash.

``fingerprint`` makes a few hundred bytes of each document while it is prepared (``minhash`` holds its kernels);
``stage`` reads them all; ``clusters`` decides, in pure functions, who survives. Text is not read again.
"""
