"""Train a network that segments from any subset of sequences.

    python DMAFTraining/train.py --config DMAFTraining/configs/simulated_idt2468_dmaf.yaml data.root=runs/cohort
    python -m DMAFTraining.train --config DMAFTraining/configs/brats2020_idt2468_dmaf.yaml data.root=BraTS2020
    torchrun --nproc-per-node 4 DMAFTraining/train.py --config ... data.root=...

Any setting can be given as key=value or --key=value; --print_config shows all of them, resolved.
data.root is a folder of cases or a store made by `python -m DMAFTraining.prepare`. Run the same
command again to resume: the result is the same as without the interruption. The run folder receives
config.yaml, environment.json, metrics.jsonl, TensorBoard events, checkpoint.pt, best.pt, curves.png
and, at the end, the model as model.safetensors, which predict and the Slicer module load.
Exit code 0 done, 2 bad input, 130 or 143 stopped by Ctrl-C or SIGTERM after saving.
Research use only, not a medical device.
"""

from __future__ import annotations

import re
import sys
from argparse import RawDescriptionHelpFormatter
from pathlib import Path

from jsonargparse import ArgumentParser, DefaultHelpFormatter, set_parsing_settings

from DMAFTraining.balancing.base import StrategySettings
from DMAFTraining.inference.heap import keep_freed_memory
from DMAFTraining.networks.base import NetworkConfig
from DMAFTraining.training import distributed
from DMAFTraining.training.cohort import open_cohort
from DMAFTraining.training.config import TrainingConfig
from DMAFTraining.training.curves import draw_curves
from DMAFTraining.training.export import describe, export
from DMAFTraining.training.interruption import Interrupted, Interruption
from DMAFTraining.training.loop import Trainer
from DMAFTraining.training.progress import RunProgress
from DMAFTraining.training.run_folder import claim, record_environment

_ASSIGNMENT = re.compile(r"[A-Za-z_][\w.]*=")


class HelpFormatter(DefaultHelpFormatter, RawDescriptionHelpFormatter):
    """Options as jsonargparse shows them, the text above as it is written."""


def main(arguments: list[str] | None = None) -> int:
    """Entry of the command; returns the exit code."""
    keep_freed_memory()
    try:
        train(*read_config(arguments))
    except ValueError as error:
        print(f"train: {error}", file=sys.stderr)
        return 2
    except Interrupted as stop:
        print(f"train: {stop}", file=sys.stderr)
        return 128 + stop.signal_number
    except KeyboardInterrupt:
        print("train: stopped before the first step; nothing was lost", file=sys.stderr)
        return 130
    finally:
        distributed.stop()
    return 0


def read_config(arguments: list[str] | None = None) -> tuple[TrainingConfig, str]:
    """The run that a command line and its YAML file describe, and the same as resolved YAML text.

    Raises:
        ValueError: a setting is outside its range.
    """
    set_parsing_settings(subclasses_enabled=[NetworkConfig, StrategySettings])
    parser = ArgumentParser(prog="DMAFTraining.train", description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("--config", action="config", help="YAML file with any of the settings below")
    parser.add_class_arguments(TrainingConfig)
    given = sys.argv[1:] if arguments is None else arguments
    settings = parser.parse_args([f"--{word}" if _ASSIGNMENT.match(word) else word for word in given])
    text = parser.dump(settings, skip_unset=False)
    values = parser.instantiate(settings).as_dict()
    values.pop("config", None)
    return TrainingConfig(**values), text


def train(config: TrainingConfig, resolved: str) -> Path:
    """Run to the end and export; returns the bundle's path."""
    device = distributed.start(config.device)
    lead = distributed.rank() == 0
    cohort = open_cohort(config)
    describe(config, cohort.training)
    trainer = Trainer(config, cohort, device)
    if lead:  # only now: a run that cannot begin leaves no folder behind
        claim(config.output, resolved)
        record_environment(config.output, device)
    with Interruption() as interruption, RunProgress(trainer.steps, quiet=not lead) as progress:
        trainer.run(progress, interruption)
    path = config.output / "model.safetensors"
    if lead:
        path = export(trainer)
        curves = draw_curves(config.output, cohort.spec.modalities)
        print(f"Model written to {path}" + (f", curves to {curves}" if curves else ""))
    distributed.wait()
    return path


if __name__ == "__main__":
    sys.exit(main())
