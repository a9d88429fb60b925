"""Kernels over the text of a whole batch: each measures or edits, none knows a threshold or a rule."""
