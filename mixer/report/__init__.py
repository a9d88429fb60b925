"""Pictures of results. Needs matplotlib (extra ``report``), which nothing outside this room imports."""
