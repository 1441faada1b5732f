"""Turn a published checkpoint (.pth) into a model file (.safetensors) for predict and the Slicer module.

  python -m DMAFTraining.convert model_last.pth --output mmformer.safetensors
  python -m DMAFTraining.convert RFNet/model_last.pth --output rfnet.safetensors \\
      --training-data "BraTS 2020, 219 cases" --license "see github.com/dyh127/RFNet"
  python -m DMAFTraining.predict --bundle rfnet.safetensors --case patient --output result

Understands state dicts of mmFormer, RFNet and M2FTrans as their authors and PASSION release them;
network, width, classes and window are read off the weights. Only plain weights are loaded: a file
with Python objects, which could run code, is refused. The weights are stored in half precision.
Images are prepared in another way than the authors did, so expect another accuracy than published;
docs/convert.md says what is equal and what is not. Exit code: 0 done, 2 bad input.
Research use only, not a medical device.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from DMAFTraining.conversion.converting import Converted, convert
from DMAFTraining.conversion.description import NOT_STATED, PREPARATION_WARNING, describe
from DMAFTraining.conversion.reading import read_checkpoint
from DMAFTraining.inference.bundle import save_bundle
from DMAFTraining.inference.metadata import BundleMetadata

SUFFIX = ".safetensors"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except ValueError as error:
        print(f"Error: {error} Nothing was written.", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"Error: {options.output} cannot be written ({error.strerror}).", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m DMAFTraining.convert",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="file that the authors' training wrote")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help=f"model file to make, *{SUFFIX}")
    parser.add_argument(
        "--training-data", default=NOT_STATED, metavar="TEXT", help="what the weights have learned from"
    )
    parser.add_argument("--license", default=NOT_STATED, metavar="TEXT", help="license of the weights")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing model file")
    return parser


def _run(options: argparse.Namespace) -> None:
    _check_output(options.output, options.overwrite)
    converted = convert(read_checkpoint(options.checkpoint))
    metadata = describe(converted, options.output.stem, options.training_data, options.license)
    save_bundle(options.output, metadata, converted.weights)
    print(_summary(converted, metadata))
    print(f"Warning: {PREPARATION_WARNING}", file=sys.stderr)
    print(f"wrote {options.output}")


def _summary(converted: Converted, metadata: BundleMetadata) -> str:
    config, window = converted.config, " x ".join(map(str, metadata.window.patch))
    return (
        f"{converted.published.title}, width {config.width}, {config.classes} classes, window {window}\n"
        f"{len(converted.weights)} tensors; left out {len(converted.left_out)} that prediction does not need\n"
        f"half precision changes no weight by more than {converted.rounding:.1g}"
    )


def _check_output(path: Path, overwrite: bool) -> None:
    if path.suffix != SUFFIX:
        raise ValueError(f"The model file {path} should end in {SUFFIX}.")
    if not path.parent.is_dir():
        raise ValueError(f"There is no folder {path.parent} for the model file.")
    if path.exists() and not overwrite:
        raise ValueError(f"{path} exists. Choose another name or give --overwrite.")


if __name__ == "__main__":
    sys.exit(main())
