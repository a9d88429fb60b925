"""Kernels that every room needs: walking UTF-8, character classes, normalisation, hashes.

A column of text is ``(data, offsets)`` (see ``utf8``); a kernel walks it once, takes ``characters.CLASSES`` as an
argument and writes NumPy columns. Nothing here knows documents, sources or settings.
"""
