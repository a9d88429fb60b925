"""Dialogues and preferences: what fine-tuning learns from, read as they are published, down to token ids. No torch.

Mental model, in the order in which things happen:

1. ``settings``: DATA.yaml, what the user says about the sources and their mixture.
2. ``records``: the files of a source become records, whole; ``formats`` makes of each what its publisher meant: a
   ``Dialogue`` or a ``Preference`` (``turns``), or says why it cannot.
3. ``checks``: one form for all of them; what must not be trained on is set aside and counted, by reason.
4. ``template`` and ``encode``: turns become token ids of a chat template, and it is marked which of them are learned.
5. ``prepare``: all sources together as columns (``examples``), with the languages of prompts and of answers.
6. ``draw``: which example comes at which place of a training, by the weights.
7. ``shares``: what is told about all that, on the screen and as JSON; ``llamafactory`` hands it over to another
trainer.

Training imports ``prepare``, ``draw`` and ``examples``, and what it finds there are NumPy columns.
"""
