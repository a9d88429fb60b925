"""Training on a finished build: thin entry points over megatron-core. torch is imported nowhere else in mixer.

``command`` parses and calls, without torch; ``cpt`` is a training from top to bottom. What it is made of:

- ``presets``: the models, and the hyper-parameters of the paper; ``settings``: what a run is made with.
- ``promise``: a build that may be trained on, checked against its ``mixture.json``, and the running ALMR.
- ``processes``: process groups and the device; ``cpu``: megatron-core without a GPU, for trial runs and tests.
- ``layers``, ``model``, ``optimizer``: what is trained; ``data``: samples and batches; ``losses``: per dataset.
- ``checkpoint``: saving and resuming; ``journal``: what is logged.
"""
