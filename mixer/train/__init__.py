"""Training: thin entry points over megatron-core. torch is imported nowhere else in mixer.

``command`` offers the commands, whose ``options`` know no torch; ``loop`` is the training itself, from top to bottom.
What differs between kinds stands in one module each: ``cpt`` reads a finished build, ``sft`` and ``dpo`` read dialogues
and preferences (``mixer.dialogues``). What they are made of:

- ``presets``: the models, and the hyper-parameters of the paper; ``settings``: what a run is made with.
- ``promise``: a build that may be trained on, checked against its ``mixture.json``, and the running ALMR; ``data``: its
  samples and batches.
- ``finetuning``: examples in the order in which a run reads them; ``packing``: side by side in rows; ``handover``: a
  run for LLaMA-Factory to make.
- ``processes``: process groups and the device; ``cpu``: megatron-core without a GPU, for trial runs and tests.
- ``layers``, ``model``, ``optimizer``: what is trained; ``losses``: what is minimised.
- ``checkpoint``: saving and resuming; ``journal``: what is logged; ``convert``, ``huggingface``, ``tokenizer``: weights
  from and to Hugging Face's format.
"""
