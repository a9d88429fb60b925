"""Which documents are kept, and why the others are not: language first, then rules.

``language`` labels each document of a batch; ``judge`` then computes the statistics that the rules in force look at
and gives each document the name of the first rule that objects. A rule is declared once, in the table of ``rules``;
``settings`` is what a recipe may say about languages and rules. The statistics themselves are columns made by kernels
over a whole batch: ``words`` (segmentation and Gopher's quality), ``lines`` (characters and the shape of lines) and
``repetition`` (repeated lines, paragraphs and n-grams), gathered by name in ``statistics``. Nothing here edits text.
"""
