"""The command line: parse, call, print. Nothing is done here; ``commands`` shows the errors, with their exit codes."""

import atexit
import gc

import click

from mixer import __version__
from mixer.cli import building, documents, handover, mixing, recipes, watching
from mixer.commands import EXIT_CODES, ShownGroup
from mixer.train.command import train


@click.group(
    cls=ShownGroup,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="mixer")
def main() -> None:
    """Prepare corpora for continual pre-training and mix them by an exact additional-language ratio."""
    # On its way out Python would look at every imported object once more, for 0.3 s.
    atexit.register(gc.freeze)


for _command in (
    building.build,
    building.plan_mixture,
    building.verify,
    building.relocate,
    building.clean,
    watching.status,
    watching.stop,
    mixing.mix,
    mixing.sweep,
    mixing.frontier,
    documents.rules,
    documents.filter_files,
    documents.inspect,
    documents.locate,
    handover.report,
    handover.attribution,
    handover.export_mixture,
    recipes.recipe,
    train,
):
    main.add_command(_command)
