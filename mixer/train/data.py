"""Samples through megatron-core's own datasets, and the batches of each step.

The blend is always built for the whole mixture (or more, if the run is longer), never for the run's own length:
megatron-core shuffles each dataset over the epochs that it builds, so that a shorter trial reads the beginning of the
long run. Sample ``t`` of the blend is the same for every layout, so step ``k`` reads the same samples on 1 and on 128
processes.
"""

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from megatron.core import parallel_state
from megatron.core.datasets.blended_megatron_dataset_builder import BlendedMegatronDatasetBuilder
from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig

from mixer.train.losses import Batch
from mixer.train.promise import Mixture

Samples = Any  # a blended dataset, or a single one


def build_datasets(mixture: Mixture, samples: int, seed: int) -> tuple[Samples, list[Samples]]:
    """Build the training samples and one dataset for each validation set; call it on all processes.

    Parameters
    ----------
    mixture
        What to read.
    samples
        How many the run reads.
    seed
        Of the order inside each dataset.
    """
    samples = max(samples, mixture.manifest.samples)
    tokenizer = mixture.manifest.tokenizer
    config = GPTDatasetConfig(
        random_seed=seed,
        sequence_length=mixture.manifest.sequence_length,
        blend_per_split=[
            (list(mixture.prefixes), mixture.weights),
            (list(mixture.valid_prefixes), None) if mixture.valid else None,
            None,
        ],
        multiple_validation_sets=True,
        full_validation=True,
        path_to_cache=str(mixture.cache),
        mid_level_dataset_surplus=mixture.surplus(samples),
        tokenizer=SimpleNamespace(
            vocab_size=tokenizer.vocab_size,
            eod=tokenizer.eod,
            pad=-1,  # nothing is filled up
            unique_identifiers={"sha256": tokenizer.sha256},
        ),
        reset_position_ids=False,
        reset_attention_mask=False,
        eod_mask_loss=True,  # the first token of the next, unrelated document is not learned
        create_attention_mask=False,
    )
    builder = BlendedMegatronDatasetBuilder(GPTDataset, [samples, None, 0], lambda: True, config)
    train, valid, _ = builder.build()
    if valid is None:
        return train, []
    return train, valid if isinstance(valid, list) else [valid]


def batches(dataset: Samples, indices: Sequence[int], micro_batch: int) -> Iterator[Batch]:
    """Yield this process's micro-batches of a step.

    Parameters
    ----------
    dataset
        Where the samples come from.
    indices
        The samples of the step, over all processes; -1 is a sample that counts for nothing.
    micro_batch
        Samples of a micro-batch; this process takes every ``data parallel size``-th one.

    Yields
    ------
    Batch
        With the number of each sample's dataset in the blend as the ``group`` of its tokens.
    """
    ranks, rank = parallel_state.get_data_parallel_world_size(), parallel_state.get_data_parallel_rank()
    for first in range(rank * micro_batch, len(indices), ranks * micro_batch):
        taken = indices[first : first + micro_batch]
        samples = [dataset[max(index, 0)] for index in taken]
        counted = torch.tensor([float(index >= 0) for index in taken])[:, None]
        mask = torch.stack([sample["loss_mask"] for sample in samples]) * counted
        begins = torch.zeros_like(mask)
        begins[:, :1] = counted
        group = torch.tensor([int(sample.get("dataset_id", 0)) for sample in samples])
        yield {
            "tokens": torch.stack([sample["tokens"] for sample in samples]),
            "labels": torch.stack([sample["labels"] for sample in samples]),
            "positions": torch.stack([sample["position_ids"] for sample in samples]),
            "mask": mask,
            "begins": begins,
            "group": group[:, None].expand_as(mask),
        }
