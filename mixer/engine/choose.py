"""Makes the engine that the settings name."""

import os
from collections.abc import Callable, Sequence

from mixer.engine.cluster import ClusterEngine, Site
from mixer.engine.display import Display
from mixer.engine.engine import Engine
from mixer.engine.local import LocalEngine
from mixer.engine.settings import EngineSettings
from mixer.errors import UsageError
from mixer.storage import SCRATCH, Root, is_local


def choose(
    settings: EngineSettings,
    root: Root,
    workers: int,
    display: Display,
    preload: Sequence[str] = (),
    warm: Sequence[Callable[[], object]] = (),
) -> Engine:
    """Make an engine for the build directory ``root``; see ``LocalEngine`` for ``preload`` and ``warm``."""
    if settings.kind == "local":
        return LocalEngine(root, workers, display, preload, warm)
    return ClusterEngine(root, _site(settings, root.absolute()), settings, workers, display)


def _site(settings: EngineSettings, root: Root) -> Site:
    if not is_local(root) and SCRATCH not in os.environ:
        raise UsageError(
            f"on a cluster a build in {root} needs a folder that all nodes see, for orders, locks and logs",
            f"set {SCRATCH} to one",
        )
    # Imported here: each takes a while, and Ray is an extra.
    if settings.kind == "slurm":
        from mixer.engine.slurm import SlurmSite

        return SlurmSite(root, settings)
    from mixer.engine.ray import RaySite

    return RaySite(root, settings)
