"""Training on a finished build: thin entry points over megatron-core. torch is imported nowhere else in mixer.

``command`` offers the commands, whose ``options`` know no torch; ``cpt`` is what continual pre-training reads,
minimises and logs; ``loop`` is the training itself, from top to bottom. What they are made of:

- ``presets``: the models, and the hyper-parameters of the paper; ``settings``: what a run is made with.
- ``promise``: a build that may be trained on, checked against its ``mixture.json``, and the running ALMR.
- ``processes``: process groups and the device; ``cpu``: megatron-core without a GPU, for trial runs and tests.
- ``layers``, ``model``, ``optimizer``: what is trained; ``data``: samples and batches; ``losses``: what is minimised.
- ``checkpoint``: saving and resuming; ``journal``: what is logged; ``convert``, ``huggingface``: weights from and to
  Hugging Face's format.
"""
