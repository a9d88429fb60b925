"""Megatron's facts, without Megatron and without torch: what its files look like and in which order it reads them.

``indexed`` writes, joins and checks ``.bin``/``.idx`` pairs; ``blend`` replays the rule by which Megatron draws from a
weighted list of them. Numbers and open files in, numbers out; the tests hold both against megatron-core itself.
"""
