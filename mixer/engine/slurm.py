"""Slurm as a site: a round is an array job that datatrove's executor submits, and Slurm is asked what became of it.

What of datatrove's executor is kept out, and why: the job that merges its statistics waits for the array for ever once
one rank has failed; its completions and exit codes say nothing that receipts do not say better. Each round has a fresh
logging folder, so that it never finds ranks "completed". Requeueing is switched off: Slurm would start a rank again on
its own while a lost node may still be at it.
"""

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datatrove.executor.slurm import SlurmPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.utils.logging import logger

from mixer.engine.rank import run_rank
from mixer.engine.settings import EngineSettings
from mixer.engine.slurmctl import (
    HELD,
    Job,
    array_jobs,
    cancel,
    drop,
    environment_of,
    job_name,
    largest_array,
    offers,
    scrubbed,
    trial,
)
from mixer.errors import UsageError
from mixer.storage import Root, workplace

ASK_SECONDS = 2.0
"""Between two questions to Slurm."""
NEVER_SECONDS = 10.0
"""How long a reason why a job can never start is allowed to be one of the moment."""
WAITING_SECONDS = 30.0
"""After so long without a running rank the user is told what Slurm says it waits for."""


class RankStep(PipelineStep):
    """A rank as a step of datatrove's, which its executor calls on the node."""

    type = "mixer"
    name = "rank"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> None:
        """Do the tasks of a rank.

        Raises
        ------
        SystemExit
            Not all of them are done, so that Slurm's own tools show the job as failed. Not an ``Exception``, whose
            traceback datatrove would put below what the task has said.
        """
        if not run_rank(self._folder, rank):
            raise SystemExit(1)


class _Executor(SlurmPipelineExecutor):
    """Datatrove's executor without the job that merges statistics."""

    def launch_merge_stats(self) -> None:
        """Submit nothing: it would be an orphan as soon as a rank fails."""

    def get_sbatch_args(self, max_array: int = 1) -> dict[str, Any]:
        """Leave out what is not set."""
        return {key: value for key, value in super().get_sbatch_args(max_array).items() if value is not None}


class SlurmSite:
    """Starts ranks as array jobs named after the build directory ``root``, by which they are found again."""

    name = "Slurm"

    def __init__(self, root: Root, settings: EngineSettings) -> None:
        self._root = root
        self._settings = settings.slurm
        self._at_once = settings.at_once
        self._most: int | None = None
        self._job: str | None = None
        self._folder = workplace(root)
        self._jobs: dict[int, Job] = {}
        self._ended: dict[int, str] = {}
        self._ranks = 0
        self._asked = self._submitted = self._moving = 0.0

    @property
    def most_ranks(self) -> int:
        """The site's largest array."""
        if self._most is None:
            self._most = largest_array()
        return self._most

    def check(self) -> None:
        """Have Slurm judge a job like those to come, without submitting it."""
        settings = self._settings
        arguments = [f"--{key}={value}" if value != "" else f"--{key}" for key, value in self._arguments().items()]
        if fault := trial([*arguments, "--array=0-0"]):
            raise UsageError(
                f"Slurm refuses a job of {self._asked_for()}: {fault}",
                f"change `engine.slurm` in the recipe; there is: {offers(settings.partition)}",
            )

    def evict(self) -> None:
        """Cancel every array of this directory."""
        cancel(self._root)

    def start(self, stage: str, folder: Path, ranks: int) -> None:
        """Submit the array."""
        settings = self._settings
        executor = _Executor(
            pipeline=[RankStep(folder)],
            tasks=ranks,
            time=settings.time,
            partition=settings.partition,
            cpus_per_task=settings.cpus,
            workers=min(self._at_once, ranks),
            job_name=job_name(self._root, stage),
            qos=settings.qos,
            env_command=environment_of(settings.environment),
            sbatch_args=self._arguments(),
            max_array_size=self.most_ranks,
            logging_dir=str(folder),
            slurm_logs_folder=str(folder / "slurm"),
            requeue=False,
            requeue_signals=None,
            with_srun=False,
        )
        logger.disable("datatrove")
        try:
            with scrubbed():
                executor.run()
        except subprocess.CalledProcessError as error:
            self.evict()  # sbatch may have failed after Slurm had taken the job
            raise UsageError(
                f"sbatch has failed for {folder / 'launch_script.slurm'} (exit code {error.returncode})",
                "see what it said above; run the same command again",
            ) from error
        finally:
            logger.enable("datatrove")
        self._job, self._folder, self._ranks = str(executor.job_id), folder, ranks
        self._jobs, self._ended = {}, {}
        self._submitted = self._moving = time.monotonic()

    def ended(self) -> Mapping[int, str]:
        """Ask Slurm, now and then."""
        now = time.monotonic()
        if self._job is None or now < self._asked + ASK_SECONDS:
            return self._ended
        self._asked = now
        jobs = array_jobs(self._job)
        if jobs is None:  # it does not answer: nothing is known
            return self._ended
        self._jobs = {job.index: job for job in jobs}
        self._ended = {
            rank: self._cause(self._jobs[rank]) if rank in self._jobs else self._ended.get(rank, "Slurm forgot it")
            for rank in range(self._ranks)
            if rank not in self._jobs or self._jobs[rank].over
        }
        if any(job.running for job in jobs):
            self._moving = now
        self._refuse_what_never_starts(now)
        return self._ended

    def waiting(self) -> str:
        """Say what pending ranks wait for, when none is running."""
        if time.monotonic() < self._moving + WAITING_SECONDS:
            return ""
        reasons = {job.reason for job in self._jobs.values() if not job.over}
        if not reasons:
            return ""
        return (
            f"nothing is running; Slurm says {', '.join(sorted(reasons))}; asked for: {self._asked_for()}; "
            f"there is: {offers(self._settings.partition)}"
        )

    def stop(self) -> None:
        """Cancel the array."""
        if self._job is not None:
            self.evict()
            self._job = None

    def log(self, rank: int) -> Path:
        """Say where Slurm puts what a rank prints."""
        return self._folder / "slurm" / f"{self._job}_{rank}.out"

    def close(self) -> None:
        """Do nothing: there is nothing to give back."""

    def _refuse_what_never_starts(self, now: float) -> None:
        pending = [job for job in self._jobs.values() if not job.over and not job.running]
        for job in pending:
            if job.reason in HELD:  # a node could not start it; it would stay in the queue for ever
                drop(job)
            if job.never and now > self._submitted + NEVER_SECONDS:
                raise UsageError(
                    f"Slurm will never start a job of {self._asked_for()}: {job.reason}",
                    f"change `engine.slurm` in the recipe; there is: {offers(self._settings.partition)}",
                )

    def _cause(self, job: Job) -> str:
        """Say how a job has ended, with the setting that decides it."""
        settings = self._settings
        limits = {"TIMEOUT": f"time is {settings.time}", "OUT_OF_MEMORY": f"memory_gb is {settings.memory_gb:g}"}
        return f"{job.state}: engine.slurm.{limits[job.state]}" if job.state in limits else job.state

    def _arguments(self) -> dict[str, str | int]:
        settings = self._settings
        given: dict[str, str | int | None] = {
            "partition": settings.partition,
            "time": settings.time,
            "cpus-per-task": settings.cpus,
            "account": settings.account,
            "qos": settings.qos,
        }
        memory = {"mem-per-cpu": f"{round(settings.memory_gb * 1000 / settings.cpus)}M"}
        return {key: value for key, value in given.items() if value is not None} | memory | self._more()

    def _more(self) -> dict[str, str | int]:
        return {"no-requeue": "", **self._settings.sbatch}

    def _asked_for(self) -> str:
        settings = self._settings
        parts = [
            f"partition {settings.partition or '(the default)'}",
            f"{settings.memory_gb:g} GB",
            f"{settings.cpus} cores",
            f"time {settings.time}",
        ]
        parts += [f"{key} {value}" for key, value in (("account", settings.account), ("qos", settings.qos)) if value]
        return ", ".join([*parts, *(f"--{key}={value}" for key, value in settings.sbatch.items())])
