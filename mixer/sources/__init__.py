"""Files to batches of documents: the first thing that happens to a corpus.

Mental model, in the order in which things happen:

1. ``settings``: what the recipe says about a source.
2. ``listing``: its globs, folders and URLs become one sorted list of files; nothing is opened.
3. ``plan``: that list becomes tasks of about 128 MB; only headers and footers are opened.
4. ``read``: a task becomes batches. Content decides the format (``sniff``), never a suffix. ``streams`` hands out
   decompressed, transcoded bytes; one module a format (``jsonl``, ``jsonarray``, ``plain``, ``separated``, ``parquet``,
   ``arrow``, ``huggingface``) makes ``Rows`` of them.
5. ``rows``: the same checks for every format (null, invalid UTF-8, NUL), then batches are closed at a document that the
   content alone decides, so that no buffer size shows in the output.

A record that cannot be read is rejected with its position and cause and the rest goes on; a file that cannot be read
ends the task with an ``InputError``.
"""
