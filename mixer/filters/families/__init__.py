"""The declarations of the checks, one file a family: names, thresholds, profiles and sources, no code that runs."""
