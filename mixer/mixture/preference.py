"""Which shares a mixture would have if nothing stood against it: what the solver comes as near to as it can.

The decision is by source, because that is what a user names and what sampling papers mean by a corpus; inside a source
its languages keep the proportion of their tokens. So a few stray pages in another language never count as a corpus of
their own. With T tokens in a source the preferred share is in proportion to

- ``proportional``: T;
- ``temperature``: T to the power of 1 / temperature (Devlin et al. 2018, multilingual BERT; Xue et al. 2021, mT5);
- ``unimax``: 1 for every source. UniMax (Chung et al. 2023, arXiv:2304.09151, Algorithm 1) gives all the same, less
  what a cap on epochs cuts off, which the others share evenly: the nearest shares to uniform ones under the caps;
- ``weights``: the weight given for it, as RegMix, DoReMi and the like find them.
"""

import numpy as np
from numpy.typing import NDArray

from mixer.mixture.inventory import Inventory, Target

Floats = NDArray[np.float64]


def log_preferred(inventory: Inventory, allowed: NDArray[np.bool_], target: Target) -> Floats:
    """Return the logarithms of the preferred shares, up to a constant: float64[K].

    Parameters
    ----------
    inventory, target
        The datasets, and the strategy for them.
    allowed
        bool[K]: which may get samples; the others do not count as tokens of their source either.

    Returns
    -------
    -inf for a dataset that shall have nothing: not allowed, or of a source with the weight 0.
    """
    names = sorted(set(inventory.source))
    source = np.array([names.index(name) for name in inventory.source], np.int64)
    totals = np.bincount(source, np.where(allowed, inventory.tokens, 0), len(names))
    with np.errstate(divide="ignore"):
        size = np.log(totals)
        match target.strategy:
            case "proportional":
                wish = size
            case "temperature":
                wish = size / target.temperature
            case "unimax":
                wish = np.zeros(len(names))
            case "weights":
                given = target.weights or {}
                wish = np.log(np.array([given.get(name, 0.0) for name in names]))
        part = np.log(np.where(allowed, inventory.tokens, 0)) - np.where(totals > 0, size, 0.0)[source]
    return np.where(allowed, wish[source], -np.inf) + part


def unwanted(inventory: Inventory, target: Target) -> NDArray[np.bool_]:
    """Which datasets shall have nothing, because their source has the weight 0 or the largest share 0: bool[K]."""
    nothing = {name for name, (_, high) in target.shares.items() if high == 0}
    if target.strategy == "weights":
        given = target.weights or {}
        nothing |= {name for name in inventory.source if not given.get(name, 0.0)}
    return np.array([source in nothing for source in inventory.source], np.bool_)
