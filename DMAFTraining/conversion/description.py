"""What the bundle of converted weights says about itself."""

from __future__ import annotations

from dataclasses import asdict, replace

from DMAFTraining.conversion.converting import Converted
from DMAFTraining.conversion.reading import ConversionError
from DMAFTraining.data import brats
from DMAFTraining.inference.metadata import BundleMetadata, Label, Preprocessing, Region, Window, parse_document
from DMAFTraining.modalities import BRATS
from DMAFTraining.networks import network_name

PREPARATION_WARNING = (
    "The published networks were trained on images whose background is shifted along with the brain and whose brain "
    "mask is common to all sequences. Images are prepared here sequence by sequence, with background 0, so the "
    "accuracy is not the published one."
)
NOT_STATED = "not stated in the checkpoint, see its authors' repository"
_SPACING_MM = (1.0, 1.0, 1.0)

Classes = tuple[tuple[Label, ...], tuple[Region, ...]]


def _brats2015() -> Classes:
    necrosis, edema, enhancing = brats.LABELS
    labels = (necrosis, edema, Label(3, "Non-enhancing tumor", (128, 174, 220)), replace(enhancing, value=4))
    members = {"WT": (1, 2, 3, 4), "TC": (1, 3, 4), "ET": (4,)}
    return labels, tuple(replace(region, labels=members[region.name]) for region in brats.REGIONS)


_CLASSES: dict[int, Classes] = {4: (brats.LABELS, brats.REGIONS), 5: _brats2015()}
"""Labels and regions by the number of classes: BraTS 2018 to 2021, and BraTS 2015."""


def describe(converted: Converted, name: str, training_data: str, license_: str) -> BundleMetadata:
    """Description of the bundle.

    Args:
        converted: the weights.
        name: of the model.
        training_data: what the weights have learned from.
        license_: of the weights.

    Raises:
        ConversionError: a number of classes that no data set of the published networks has.
    """
    config, published = converted.config, converted.published
    if config.classes not in _CLASSES:
        known = " and ".join(map(str, _CLASSES))
        raise ConversionError(f"Networks with {known} classes can be named, not with {config.classes}.")
    labels, regions = _CLASSES[config.classes]
    metadata = BundleMetadata(
        name=name,
        version="1.0",
        title=f"{published.title}, published weights",
        description=f"Converted from a published checkpoint. {PREPARATION_WARNING} "
        "Research use only, not a medical device.",
        network={"name": network_name(config), "config": asdict(config)},
        modalities=BRATS,
        labels=labels,
        regions=regions,
        preprocessing=Preprocessing(_SPACING_MM),
        window=Window(published.window(config)),
        training_data=training_data,
        license=license_,
        citation=(published.citation,),
    )
    parse_document(metadata.to_json())
    return metadata
