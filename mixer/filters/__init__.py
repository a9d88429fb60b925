"""Which documents are kept, what is changed in them, and why the others are not.

``language`` labels each document of a batch; ``edits`` changes its text; ``judge`` computes the statistics that the
rules in force look at and gives each document the name of the first rule that objects. Rules and edits are declared
once, in ``families``, and put in order in ``table``; ``settings`` is what a recipe may say about them. Statistics and
edits themselves are ``kernels`` over a whole batch, gathered by name in ``statistics`` and ``edits``.
"""
