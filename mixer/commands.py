"""What all commands have in common: how a build directory is named, and how errors end them, without a traceback."""

import errno
from typing import Any, NoReturn

import click

from mixer.errors import MixerError, UsageError
from mixer.storage import Root, at, local_only, trouble

INTERRUPTED = 130  # what a shell reports for a process that Ctrl-C ended
NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)
EXIT_CODES = (
    "Exit codes: 0 done; 1 failed; 2 wrong usage, recipe or directory; 3 the mixture is infeasible; 4 a promise is "
    "broken; 130 interrupted."
)


class BuildDirectory(click.ParamType[Root]):
    """A build directory: a path, or the URL of one in an object store, which commands that need a disk refuse."""

    name = "directory"

    def __init__(self, *, local: bool = False) -> None:
        self._local = local

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Root:
        """Take what the user wrote, or a default."""
        root = at(value) if isinstance(value, str) else value
        return local_only(root, f"`mixer {ctx.info_name}`" if ctx else "this command") if self._local else root


BUILD = BuildDirectory()
LOCAL_BUILD = BuildDirectory(local=True)


class ShownGroup(click.Group):
    """Commands whose errors are shown without a traceback; anything else is a bug and keeps it."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command and turn its errors into messages and exit codes."""
        try:
            return super().invoke(ctx)
        except MixerError as error:
            _show(error, ctx)
        except OSError as error:
            if found := trouble(error):
                _show(found, ctx)
            if error.errno not in NOT_ALLOWED:
                raise
            click.secho(f"error: {error.filename}: {error.strerror}", fg="red", err=True)
            click.echo("  remedy: change the owner or mode of that file or folder, or use another directory", err=True)
            ctx.exit(UsageError.exit_code)
        except KeyboardInterrupt:
            click.echo("interrupted: the same command goes on where this one stopped", err=True)
            ctx.exit(INTERRUPTED)
        except Exception as error:
            if (found := trouble(error)) is None:
                raise
            _show(found, ctx)


def _show(error: MixerError, ctx: click.Context) -> NoReturn:
    click.secho(f"error: {error.message}", fg="red", err=True)
    if error.remedy:
        click.echo(f"  remedy: {error.remedy}", err=True)
    ctx.exit(error.exit_code)
