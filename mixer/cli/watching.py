"""Commands that look after a build that runs elsewhere: status, stop."""

from collections import Counter

import click

from mixer.commands import BUILD
from mixer.errors import UsageError
from mixer.storage import Root, workplace


@click.command()
@click.argument("directory", type=BUILD)
def status(directory: Root) -> None:
    """Say where the build in DIRECTORY stands: stage by stage what is done, running and failed.

    Works while it is being built, here or on a cluster, and afterwards.
    """
    from mixer.engine.status import read_status
    from mixer.screens.standing import show_status

    found = read_status(directory)
    if found is None:
        finished = (directory / "mixture.json").exists()
        raise UsageError(
            f"nothing says how the build in {directory} went" + (", but it is finished" if finished else ""),
            "`mixer verify` proves a finished build" if finished else "`mixer build` starts one",
        )
    show_status(directory, found, _jobs(directory) if found.engine == "slurm" else None)


def _jobs(directory: Root) -> dict[str, int] | None:
    """Count the living jobs of a build by state, where Slurm can be asked."""
    from mixer.engine.slurmctl import jobs_of

    try:
        return Counter(job.state for job in jobs_of(directory.absolute()))
    except UsageError:
        return None


@click.command()
@click.argument("directory", type=BUILD)
def stop(directory: Root) -> None:
    """Stop the build in DIRECTORY, with every job of it. `mixer build` goes on where it stopped."""
    from mixer.engine import driver
    from mixer.engine.lock import is_held
    from mixer.engine.status import interrupt, read_status

    found = read_status(directory)
    slurm = (found is not None and found.engine == "slurm") or (workplace(directory) / driver.LOGS).is_dir()
    if slurm and driver.stop(directory):
        click.echo("every job of it is cancelled")
    elif found and is_held(directory):
        if not interrupt(found):
            raise UsageError(
                f"process {found.process} on {found.host} is building in {directory}", f"end it on {found.host}"
            )
        click.echo(f"process {found.process} was told to stop")
    else:
        click.echo("nothing is building there")
