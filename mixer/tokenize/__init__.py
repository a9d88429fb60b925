"""From surviving documents to Megatron's datasets: load a vocabulary, encode, count, write shards, join them.

``vocabulary`` says what the tokens are (plain data, made once), ``encode`` makes ids of a batch, ``count`` tells which
of them are in the additional language, ``stage`` writes one shard a task, ``join`` makes datasets of the shards.
"""
