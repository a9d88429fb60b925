"""Plans a whole mixture from token counts alone, before anything is downloaded: ``mixer plan``.

``counts.py`` reads what there is of each source, ``kinds.py`` holds what was measured of each kind of text,
``costs.py`` makes hours and bytes of it, and ``forecast.py`` puts them beside the mixture that the solver finds.
"""
