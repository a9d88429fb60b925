"""How every command ends: the errors a user can meet, shown without a traceback, and the exit codes."""

import errno
from typing import Any

import click

from mixer.errors import MixerError, UsageError

INTERRUPTED = 130  # what a shell reports for a process that Ctrl-C ended
NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)
EXIT_CODES = (
    "Exit codes: 0 done; 1 failed; 2 wrong usage, recipe or directory; 3 the mixture is infeasible; 4 a promise is "
    "broken; 130 interrupted."
)


class ShownGroup(click.Group):
    """Commands whose errors are shown without a traceback; anything else is a bug and keeps it."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command and turn its errors into messages and exit codes."""
        try:
            return super().invoke(ctx)
        except MixerError as error:
            click.secho(f"error: {error.message}", fg="red", err=True)
            if error.remedy:
                click.echo(f"  remedy: {error.remedy}", err=True)
            ctx.exit(error.exit_code)
        except OSError as error:
            if error.errno not in NOT_ALLOWED:
                raise
            click.secho(f"error: {error.filename}: {error.strerror}", fg="red", err=True)
            click.echo("  remedy: change the owner or mode of that file or folder, or use another directory", err=True)
            ctx.exit(UsageError.exit_code)
        except KeyboardInterrupt:
            click.echo("interrupted: the same command goes on where this one stopped", err=True)
            ctx.exit(INTERRUPTED)
