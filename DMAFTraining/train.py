"""Train DMAF-Net on a folder of cases.

    python DMAFTraining/train.py --config DMAFTraining/configs/preview_crops.yaml
    python -m DMAFTraining.train --cases runs/cohort --output runs/first --steps 500

Run the same command again to resume. The run folder receives the resolved configuration,
metrics.jsonl (a line per step), checkpoint.pt and, at the end, the model as model.safetensors.
Research use only, not a medical device.
"""

from __future__ import annotations

import json
import sys
from argparse import RawDescriptionHelpFormatter
from dataclasses import asdict
from pathlib import Path

from jsonargparse import ArgumentParser, DefaultHelpFormatter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from DMAFTraining.data.brats import LABELS, REGIONS
from DMAFTraining.data.cases import TrainingCase, read_cases
from DMAFTraining.inference.bundle import save_bundle
from DMAFTraining.inference.metadata import BundleMetadata, Preprocessing, Window
from DMAFTraining.modalities import BRATS
from DMAFTraining.training.config import TrainingConfig
from DMAFTraining.training.loop import Trainer, resolved

SPACING = (2.0, 2.0, 2.0)


class HelpFormatter(DefaultHelpFormatter, RawDescriptionHelpFormatter):
    """Options as jsonargparse shows them, the text above as it is written."""


def main(arguments: list[str] | None = None) -> int:
    """Entry of the command; returns the exit code."""
    try:
        train(read_config(arguments))
    except ValueError as error:
        print(f"train: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("train: stopped; run the same command to resume from the last checkpoint.", file=sys.stderr)
        return 130
    return 0


def read_config(arguments: list[str] | None = None) -> TrainingConfig:
    """The run that a command line and its YAML file describe; exits with help where they are wrong.

    Raises:
        ValueError: a setting is outside its range.
    """
    parser = ArgumentParser(prog="DMAFTraining.train", description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("--config", action="config", help="YAML file with any of the settings below")
    parser.add_class_arguments(TrainingConfig)
    settings = parser.instantiate(parser.parse_args(arguments)).as_dict()
    settings.pop("config", None)
    return TrainingConfig(**settings)


def train(config: TrainingConfig) -> Path:
    """Run to the end and export; returns the bundle's path."""
    with _progress() as progress:
        cases = _read(config, progress)
        trainer = Trainer(config, cases)
        config.output.mkdir(parents=True, exist_ok=True)
        (config.output / "config.json").write_text(json.dumps(resolved(config), indent=1) + "\n")
        bar = progress.add_task("training", total=config.steps, note="")
        trainer.run(lambda step, v: progress.update(bar, completed=step, note=f"loss {v['loss']:.3f}"))
    path = config.output / "model.safetensors"
    save_bundle(path, describe(config), trainer.export_weights())
    print(f"Model written to {path}")
    return path


def describe(config: TrainingConfig) -> BundleMetadata:
    """Description of the exported model."""
    return BundleMetadata(
        name=config.name,
        version="0.1.0",
        title=config.title,
        description="DMAF-Net trained on simulated tumors only. Research use only, not a medical device.",
        network={"name": "dmafnet", "config": asdict(config.network)},
        modalities=BRATS,
        labels=LABELS,
        regions=REGIONS,
        preprocessing=Preprocessing(SPACING),
        window=Window(config.window),
        training_data=config.training_data,
        license="Apache-2.0",
        simulated_training=True,
    )


def _read(config: TrainingConfig, progress: Progress) -> list[TrainingCase]:
    bar = progress.add_task("reading cases", total=None, note="")
    return read_cases(config.cases, BRATS, lambda done, total: progress.update(bar, completed=done, total=total))


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    return Progress(*columns, TimeRemainingColumn(), TextColumn("{task.fields[note]}"), console=console)


if __name__ == "__main__":
    sys.exit(main())
