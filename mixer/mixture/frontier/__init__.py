"""Which ratio, and which learning rate with it: read from the results of trial runs, as Xi et al. (2024) chose theirs.

``runs`` reads the CSV of results. ``surface`` lays a smooth surface through the losses and another through the metrics,
over log10 of the learning rate and the ALMR. ``lines`` draws one frontier on each; where they cross is the choice.
``choice`` does all of that, for the runs and for resamples of them, and says what to doubt. ``paper`` holds the lines
that Xi et al. published. ``dcpt`` and ``cmr`` are two laws that look at losses alone; ``laws`` asks them the same
question. Nothing here prints or draws.

ALMR is a share (0 to 1) everywhere inside; percent is a matter of reading and showing.
"""
