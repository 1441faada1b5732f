"""The comparison of one patient as JSON, for programs: the Slicer module reads it from the worker."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from DMAFTraining import RESEARCH_NOTICE
from DMAFTraining.inference.case_comparison import Comparison, Pair
from DMAFTraining.inference.comparison_sentences import summary_sentences

SCHEMA = 1
COMPARISON = "comparison.json"
"""Name of the file in a result folder."""


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """The numbers as what JSON can hold; sequences by name, combinations and regions as tables call them."""
    return {
        "schema": SCHEMA,
        "notice": RESEARCH_NOTICE,
        "base": str(comparison.base),
        "sequences": {modality.name: modality.title for modality in comparison.players},
        "regions": {region.name: region.title for region in comparison.regions},
        "summary": list(summary_sentences(comparison)),
        "results": {
            str(subset): {
                "subset": list(subset.names),
                "regions": {name: asdict(row) for name, row in regions.items()},
            }
            for subset, regions in comparison.rows.items()
        },
        "truth_volumes_ml": comparison.truth_volumes_ml,
        "attribution": {
            measure: {name: asdict(each) for name, each in regions.items()}
            for measure, regions in comparison.attributions.items()
        },
        "agreement_ml": {name: list(volumes) for name, volumes in comparison.agreement_ml.items()},
        "pairs": [_pair(pair) for pair in comparison.pairs],
    }


def _pair(pair: Pair) -> dict[str, Any]:
    places = {name: [asdict(place) for place in listed] for name, listed in pair.places.items()}
    return {"a": str(pair.a), "b": str(pair.b), "places": places}
