"""Where a build runs: the section ``engine`` of a recipe. It decides nothing of what comes out."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

EngineName = Literal["local", "slurm", "ray"]


def _quoted(value: Any) -> Any:
    if isinstance(value, int):
        raise ValueError("YAML takes this for a number (1:30:00 for 5400): write it with quotes, such as '01:30:00'")
    return value


Duration = Annotated[str, BeforeValidator(_quoted), Field(pattern=r"^(\d+-\d+(:\d+){0,2}|\d+(:\d+){0,2})$")]
"""A length of time as Slurm writes it: minutes, ``hours:minutes:seconds``, ``days-hours``."""


class SlurmSettings(BaseModel):
    """How tasks become jobs of Slurm; see docs/cluster.md."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    partition: str | None = Field(None, description="Partition; default: the site's.")
    time: Duration = Field(
        "04:00:00", description="Longest time for one array task, which does its tasks one after another."
    )
    memory_gb: float = Field(4.0, gt=0, description="Memory for one array task, in GB.")
    cpus: int = Field(1, ge=1, description="Cores for one array task. It uses one: ask for more to be alone.")
    account: str | None = Field(None, description="Account to charge.")
    qos: str | None = Field(None, description="Quality of service; default: the site's.")
    environment: str = Field(
        "",
        description=(
            "Shell command that makes `python` mixer's own on a node, such as `source /shared/venv/bin/activate`; "
            "default: the same Python at the same path."
        ),
    )
    sbatch: dict[str, str | int] = Field(
        default_factory=dict,
        description="More arguments for sbatch, without the dashes: `constraint: avx512`; an empty text is a flag.",
    )
    driver_time: Duration = Field(
        "7-00:00:00", description="Longest time for the job that submits the others and mixes and verifies at the end."
    )
    driver_memory_gb: float = Field(8.0, gt=0, description="Memory for that job, in GB.")
    driver_cpus: int = Field(1, ge=1, description="Cores for that job: as many files are hashed at once at the end.")
    driver_partition: str | None = Field(None, description="Partition for that job; default: `partition`.")


class RaySettings(BaseModel):
    """How tasks become tasks of Ray; see docs/cluster.md."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str = Field(
        "auto",
        description="The cluster: `auto` finds the one of this machine, `ray://HOST:10001` and `HOST:6379` work.",
    )
    memory_gb: float = Field(4.0, gt=0, description="Memory that a task reserves, in GB.")
    cpus: float = Field(1.0, gt=0, description="Cores that a task reserves. It uses one.")
    resources: dict[str, float] = Field(default_factory=dict, description="Custom resources that a task reserves.")
    patience: float = Field(
        45.0, ge=0, description="Seconds that nodes may take to appear which are large enough for a task."
    )
    variables: list[str] = Field(
        default_factory=lambda: ["PYTHONPATH", "AWS_*", "HF_*", "MIXER_*"],
        description="Environment variables that tasks get from the command, by name or with `*`.",
    )


class EngineSettings(BaseModel):
    """Where tasks run, and how often one is tried."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: EngineName = Field("local", description="`local`, `slurm` or `ray`; `--engine` on the command line.")
    at_once: int = Field(
        1000, ge=1, description="Processes at once on a cluster; on one machine `--workers` says how many."
    )
    worth_mb: float = Field(
        64.0,
        ge=0,
        description=(
            "Input that is worth a process of a cluster, in MB: smaller tasks share one, since starting it takes "
            "seconds. 0: a process for every task."
        ),
    )
    attempts: int = Field(3, ge=1, description="How often a cluster starts a task that crashes, is killed or is lost.")
    slurm: SlurmSettings = Field(default_factory=SlurmSettings, description="Slurm's own settings.")
    ray: RaySettings = Field(default_factory=RaySettings, description="Ray's own settings.")
