"""The bundle that a run ends with."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from DMAFTraining.data.store import PatchStore
from DMAFTraining.inference.bundle import save_bundle
from DMAFTraining.inference.metadata import BundleMetadata, Preprocessing, Window, parse_document
from DMAFTraining.networks import network_name
from DMAFTraining.training.config import TrainingConfig
from DMAFTraining.training.loop import Trainer

BUNDLE = "model.safetensors"


def export(trainer: Trainer) -> Path:
    """Write the run's model; returns its path."""
    path = trainer.config.output / BUNDLE
    save_bundle(path, describe(trainer.config, trainer.cohort.training), trainer.result_weights())
    return path


def describe(config: TrainingConfig, store: PatchStore) -> BundleMetadata:
    """Description of the model that a run exports; call it before training, so that a run does not end in vain.

    Raises:
        ValueError: inference could not prepare images as the store's cases were, or a field is invalid.
    """
    settings, spec, preparation = config.export, store.spec, store.index.preparation
    if preparation.background != "zero":
        raise ValueError(
            "A model trained on cases with a shifted background cannot be exported; prepare them with zero."
        )
    kind = "simulated cases only" if store.simulated else "the cases described below"
    metadata = BundleMetadata(
        name=settings.name,
        version=settings.version,
        title=settings.title,
        description=f"Trained on {kind}. Research use only, not a medical device.",
        network={"name": network_name(config.network), "config": asdict(config.network)},
        modalities=spec.modalities,
        labels=spec.labels,
        regions=spec.regions,
        preprocessing=Preprocessing(
            store.spacing,
            orientation="slices" if spec.dims == 2 else "RAS",
            normalization=preparation.normalization,
            slice_size=spec.slice_size,
        ),
        window=Window(settings.window or config.data.patch, settings.overlap),
        training_data=settings.training_data,
        license="Apache-2.0",
        simulated_training=store.simulated,
    )
    parse_document(metadata.to_json())
    return metadata
