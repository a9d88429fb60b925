"""From token counts to what Megatron is handed, and the proof that it is what was promised. No text is touched.

``settings`` says what a user may ask for, ``weights`` finds the samples of every dataset, ``export`` writes
``mixture.json`` and Megatron's files, ``verify`` reads all of it back and replays the whole training.
"""
