"""The second stage, in steps: all fingerprints, in stable order -> what becomes of each document.

    fingerprints -keys-> keys by partition -buckets-> edges -components-> who must be compared with whom
        -candidates-> their fingerprints by partition -survivors-> who is lost, and to whom -fates-> fates, duplicates

All but ``components`` work in as many tasks as the corpora need, none of which holds more than its group or partition;
see ``corpus`` for these two words. The result is that of ``clusters.find_duplicates`` over all documents at once,
however many partitions and tasks there are: two documents that share no key, directly or over others, can have
nothing to do with one another, and those that do come into one partition.

Where ``dedup.paragraphs`` is on, units of text are compared after that:

    documents, fates -units-> keys by partition -repeats-> what stands in too many documents -cuts-> bytes to cut
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from mixer.dedup.buckets import Buckets
from mixer.dedup.candidates import Candidates
from mixer.dedup.components import Components
from mixer.dedup.contested import BucketsAgain, KeysAgain
from mixer.dedup.corpus import Corpus, components_path
from mixer.dedup.cuts import Cuts
from mixer.dedup.fates import Fates
from mixer.dedup.keys import Keys
from mixer.dedup.repeats import Repeats
from mixer.dedup.survivors import Survivors
from mixer.dedup.units import Units
from mixer.engine.outputs import OutputFile
from mixer.engine.stage import Receipt, Stage

STAGES = ("dedup.keys", "dedup.buckets", "dedup.components", "dedup.candidates", "dedup.survivors", "dedup.fates")
"""What the steps are called that every build takes, in their order."""
PARAGRAPHS = ("dedup.units", "dedup.repeats", "dedup.cuts")
"""Those that come after them if ``dedup.paragraphs`` is on."""
AGAIN = ("dedup.keys.again", "dedup.buckets.again", "dedup.components.again")
"""Those that come after ``dedup.components`` if it has found a component too large to be compared in one task."""


def deduplicate(
    run: Callable[[Stage], Sequence[Receipt]], corpus: Corpus, seed: int, valid_fraction: float
) -> list[Receipt]:
    """Find all duplicates; return the receipts of the last step.

    Parameters
    ----------
    run
        Runs a stage and returns its receipts.
    corpus
        What is deduplicated.
    seed, valid_fraction
        Seed of the split into train and valid, and the probability of a cluster to go to valid.
    """
    keys = _outputs(run(Keys(corpus, seed, valid_fraction)))
    edges = _outputs(run(Buckets(corpus, keys)))
    (joined,) = run(Components(corpus, edges))
    again = joined.counts["contested"] > 0
    if again:
        contested = _outputs(run(KeysAgain(corpus, joined.outputs[components_path(again=False)])))
        alike = _outputs(run(BucketsAgain(corpus, contested)))
        (joined,) = run(Components(corpus, {**edges, **alike, **joined.outputs}, again=True))
    candidates = _outputs(run(Candidates(corpus, joined.outputs[components_path(again=again)], again)))
    lost = _outputs(run(Survivors(corpus, candidates)))
    return list(run(Fates(corpus, {**keys, **lost})))


def cut_paragraphs(
    run: Callable[[Stage], Sequence[Receipt]], corpus: Corpus, fates: Iterable[Receipt]
) -> list[Receipt]:
    """Find what is cut out of the documents that survive; return the receipts of the last step, none if that is off.

    Parameters
    ----------
    run
        Runs a stage and returns its receipts.
    corpus
        What has been deduplicated.
    fates
        The receipts of ``deduplicate``.
    """
    settings = corpus.settings.paragraphs
    if not settings:
        return []
    units = _outputs(run(Units(corpus, settings, _outputs(fates))))
    repeats = _outputs(run(Repeats(corpus, settings, units)))
    return list(run(Cuts(corpus, settings, repeats)))


def _outputs(receipts: Iterable[Receipt]) -> Mapping[str, OutputFile]:
    return {path: file for receipt in receipts for path, file in receipt.outputs.items()}
