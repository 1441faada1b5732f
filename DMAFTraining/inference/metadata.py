"""What a model bundle says about itself: the JSON document inside the ``.safetensors`` file.

Read without torch (the Slicer process uses it), validated field by field, and protected by a
SHA-256 of its own text, because the safetensors format itself checks neither text nor weights.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from DMAFTraining.modalities import Modality, ModalitySet, Subset

SCHEMA_VERSION = 1
DOCUMENT_KEY = "dmaf_bundle"
DOCUMENT_HASH_KEY = "dmaf_bundle_sha256"
WEIGHTS_HASH_KEY = "weights_sha256"
ORIENTATIONS = {"RAS": 3, "slices": 2}
"""Working grids, and the dimensions of the networks that work on them."""
_MAX_HEADER_BYTES = 16 * 2**20
_CALIBRATION = ("temperatures", "calibration_error", "calibration_source")

T = TypeVar("T")


class BundleError(ValueError):
    """A bundle that cannot be used; the message names the file, what is wrong and what to do."""


@dataclass(frozen=True)
class Label:
    """One value of the label map: ``color`` is RGB 0-255, ``terminology`` a Slicer entry string."""

    value: int
    name: str
    color: tuple[int, int, int]
    terminology: str = ""


@dataclass(frozen=True)
class Region:
    """A union of labels that accuracy is reported on, for example WT = {1, 2, 3}."""

    name: str
    title: str
    labels: tuple[int, ...]


@dataclass(frozen=True)
class Preprocessing:
    """Working grid and intensities.

    Attributes:
        spacing: in mm, one number per dimension of the network.
        orientation: ``"RAS"``, one grid along right, anterior and superior; or ``"slices"``, the planes
            of the reference image, one by one, for a network of 2 dimensions.
        normalization: ``"zscore-brain"``, each sequence by its own non-zero voxels.
        slice_size: of slices, and only of these: the network is trained on the central square of this
            many working voxels, so the rest of a slice is background.
    """

    spacing: tuple[float, ...]
    orientation: str = "RAS"
    normalization: str = "zscore-brain"
    slice_size: int | None = None


@dataclass(frozen=True)
class Window:
    """Sliding window: size in working voxels per dimension of the network, and overlap as a fraction of it."""

    patch: tuple[int, ...]
    overlap: float = 0.5


@dataclass(frozen=True)
class BundleMetadata:
    """Everything a user or a program needs to know about a model before running it.

    ``network`` holds the network's registered name and its configuration; ``expected_dice`` maps a
    subset (``"T1+FLAIR"``) to region -> Dice, measured on what ``expected_dice_source`` says;
    ``temperature`` divides the logits (1 = uncalibrated) of every subset that ``temperatures`` does not list;
    ``calibration_error`` maps a subset to the expected calibration error ``before`` and ``after``, measured on what
    ``calibration_source`` says.
    """

    name: str
    version: str
    title: str
    description: str
    network: dict[str, Any]
    modalities: ModalitySet
    labels: tuple[Label, ...]
    regions: tuple[Region, ...]
    preprocessing: Preprocessing
    window: Window
    training_data: str
    license: str
    simulated_training: bool = False
    citation: tuple[str, ...] = ()
    expected_dice: dict[str, dict[str, float]] = field(default_factory=dict)
    expected_dice_source: str = ""
    temperature: float = 1.0
    temperatures: dict[str, float] = field(default_factory=dict)
    calibration_error: dict[str, dict[str, float]] = field(default_factory=dict)
    calibration_source: str = ""

    def temperature_of(self, subset: Subset) -> float:
        """What divides the logits of a subset."""
        return self.temperatures.get(str(subset), self.temperature)

    def to_json(self) -> str:
        """The document as text; :func:`parse_document` reads it back equal."""
        document = asdict(self)
        document["preprocessing"] = {k: v for k, v in document["preprocessing"].items() if v is not None}
        for name in _CALIBRATION:  # a model without them is written as it always was
            if not document[name]:
                del document[name]
        document["schema_version"] = SCHEMA_VERSION
        document["modalities"] = [asdict(m) for m in self.modalities]
        document["subset_order"] = ["+".join(names) for names in self.modalities.order]
        return json.dumps(document, indent=1, sort_keys=True)


def parse_document(text: str) -> BundleMetadata:
    """Validate a bundle's JSON document.

    Raises:
        BundleError: not JSON, an unknown schema version, or a field that is missing or wrong.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise BundleError(f"the description is not valid JSON ({error})") from error
    if not isinstance(document, dict):
        raise BundleError("the description is not a JSON object")
    version = document.get("schema_version")
    if version != SCHEMA_VERSION:
        raise BundleError(
            f"it has format version {version!r}, this program reads {SCHEMA_VERSION}; update the program or the model"
        )
    return _Reader(document).read("bundle", _metadata)


def read_metadata(path: str | Path) -> BundleMetadata:
    """Description of a bundle file, without loading its weights (the weights are not checked here).

    Raises:
        BundleError: the file is missing, is no bundle, or its description was altered.
    """
    path = Path(path)
    header = read_header(path).get("__metadata__")
    if not isinstance(header, dict) or not isinstance(header.get(DOCUMENT_KEY), str):
        raise BundleError(f"{path} is not a DMAFSegment model: it carries no model description.")
    text = header[DOCUMENT_KEY]
    if sha256_text(text) != header.get(DOCUMENT_HASH_KEY):
        raise BundleError(f"{path} is damaged: its description does not match its checksum. Get the file again.")
    try:
        return parse_document(text)
    except BundleError as error:
        raise BundleError(f"{path} cannot be used: {error}.") from error


def read_header(path: Path) -> dict[str, Any]:
    """JSON header of a safetensors file (tensor table and ``__metadata__``).

    Raises:
        BundleError: missing, unreadable, or not a safetensors file.
    """
    try:
        with path.open("rb") as stream:
            prefix = stream.read(8)
            length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
            if not 2 <= length <= _MAX_HEADER_BYTES:
                raise BundleError(f"{path} is not a model file (.safetensors), or its start is damaged.")
            header = json.loads(stream.read(length))
    except FileNotFoundError as error:
        raise BundleError(f"There is no model file at {path}. Check the path.") from error
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(f"{path} is damaged: its header cannot be read. Get the file again.") from error
    if not isinstance(header, dict):
        raise BundleError(f"{path} is damaged: its header cannot be read. Get the file again.")
    return header


def sha256_text(text: str) -> str:
    """SHA-256 of a text in UTF-8, as hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()


class _Reader:
    """Typed access to one JSON object; errors name the path of the field."""

    def __init__(self, document: Mapping[str, Any], path: str = "") -> None:
        self.document = document
        self.path = path

    def where(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def get(self, key: str, kind: type[T] | tuple[type, ...], default: Any = ...) -> Any:
        value = self.document.get(key, default)
        if value is ...:
            raise BundleError(f"field {self.where(key)} is missing")
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            names = " or ".join(k.__name__ for k in kinds)
            raise BundleError(f"field {self.where(key)} should be {names}, not {type(value).__name__}")
        return value

    def numbers(self, key: str, count: int | None, low: float, high: float) -> tuple[Any, ...]:
        values = self.get(key, list)
        good = all(isinstance(v, (int, float)) and not isinstance(v, bool) and low <= v <= high for v in values)
        if not good or (count is not None and len(values) != count):
            wanted = "numbers" if count is None else f"{count} numbers"
            raise BundleError(f"field {self.where(key)} should be {wanted} from {low:g} to {high:g}")
        return tuple(values)

    def strings(self, key: str) -> tuple[str, ...]:
        values = self.get(key, list, [])
        if not all(isinstance(v, str) for v in values):
            raise BundleError(f"field {self.where(key)} should be a list of texts")
        return tuple(values)

    def items(self, key: str, build: Callable[[_Reader], T]) -> tuple[T, ...]:
        values = self.get(key, list)
        if not values:
            raise BundleError(f"field {self.where(key)} is empty")
        return tuple(self._child(f"{key}[{i}]", v).read(key, build) for i, v in enumerate(values))

    def child(self, key: str) -> _Reader:
        return self._child(key, self.get(key, dict))

    def _child(self, key: str, value: Any) -> _Reader:
        if not isinstance(value, dict):
            raise BundleError(f"field {self.where(key)} should be an object")
        return _Reader(value, self.where(key))

    def read(self, what: str, build: Callable[[_Reader], T]) -> T:
        try:
            return build(self)
        except BundleError:
            raise
        except ValueError as error:
            raise BundleError(f"{self.path or what}: {error}") from error


def _modality(reader: _Reader) -> Modality:
    return Modality(reader.get("name", str), reader.get("title", str), reader.strings("aliases"))


def _label(reader: _Reader) -> Label:
    (value,) = _Reader({"value": [reader.get("value", int)]}, reader.path).numbers("value", 1, 1, 255)
    red, green, blue = reader.numbers("color", 3, 0, 255)
    return Label(value, reader.get("name", str), (red, green, blue), reader.get("terminology", str, ""))


def _region(reader: _Reader) -> Region:
    return Region(reader.get("name", str), reader.get("title", str), reader.numbers("labels", None, 1, 255))


def _preprocessing(reader: _Reader) -> Preprocessing:
    orientation, normalization = reader.get("orientation", str), reader.get("normalization", str)
    if orientation not in ORIENTATIONS or normalization != "zscore-brain":
        asked = f"({orientation!r}, {normalization!r})"
        raise BundleError(f"{reader.path} asks for a preparation {asked} that this program lacks; update the program")
    spacing = reader.numbers("spacing", ORIENTATIONS[orientation], 0.1, 20.0)
    size = reader.get("slice_size", int) if orientation == "slices" else None
    if size is not None and size < 1:
        raise BundleError(f"field {reader.where('slice_size')} should be at least 1")
    return Preprocessing(spacing, orientation, normalization, size)


def _network(reader: _Reader, preprocessing: Preprocessing) -> dict[str, Any]:
    reader.get("name", str)
    dims = reader.get("config", dict).get("dims", 3)
    if dims != ORIENTATIONS[preprocessing.orientation]:
        raise BundleError(
            f"field {reader.where('config.dims')} is {dims!r}, which does not fit "
            f"the field preprocessing.orientation, {preprocessing.orientation!r}"
        )
    return dict(reader.document)


def _window(reader: _Reader, dims: int) -> Window:
    patch = reader.numbers("patch", dims, 1, 1024)
    if not all(isinstance(size, int) for size in patch):
        raise BundleError(f"field {reader.where('patch')} should be whole numbers")
    overlap = reader.get("overlap", (int, float))
    if not 0 <= overlap < 1:
        raise BundleError(f"field {reader.where('overlap')} should be at least 0 and below 1")
    return Window(patch, float(overlap))


def _expected(reader: _Reader) -> dict[str, dict[str, float]]:
    table = reader.get("expected_dice", dict, {})
    for subset, row in table.items():
        if not isinstance(row, dict) or not all(isinstance(v, (int, float)) and 0 <= v <= 1 for v in row.values()):
            raise BundleError(f"field expected_dice[{subset!r}] should map regions to Dice from 0 to 1")
    return table


def _temperatures(reader: _Reader, modalities: ModalitySet) -> dict[str, float]:
    """By subset as it prints, however the document spells it."""
    found: dict[str, float] = {}
    for spelled, value in reader.get("temperatures", dict, {}).items():
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < math.inf:
            raise BundleError(f"field temperatures[{spelled!r}] should be a number above 0")
        subset = str(modalities.parse(spelled))
        if subset in found:
            raise BundleError(f"field temperatures names {subset} twice")
        found[subset] = float(value)
    return found


def _calibration_error(reader: _Reader) -> dict[str, dict[str, float]]:
    table = reader.get("calibration_error", dict, {})
    for subset, row in table.items():
        good = isinstance(row, dict) and set(row) == {"before", "after"}
        if not good or not all(isinstance(v, (int, float)) and 0 <= v <= 1 for v in row.values()):
            raise BundleError(f"field calibration_error[{subset!r}] should hold before and after, from 0 to 1")
    return table


def _metadata(reader: _Reader) -> BundleMetadata:
    order = tuple(tuple(text.split("+")) for text in reader.strings("subset_order"))
    labels = reader.items("labels", _label)
    regions = reader.items("regions", _region)
    if [label.value for label in labels] != list(range(1, len(labels) + 1)):
        raise BundleError("field labels should have the values 1, 2, 3, ... in order")
    if not {value for region in regions for value in region.labels} <= {label.value for label in labels}:
        raise BundleError("field regions names a label value that does not exist")
    temperature = reader.get("temperature", (int, float), 1.0)
    if not temperature > 0:
        raise BundleError("field temperature should be above 0")
    preprocessing = _preprocessing(reader.child("preprocessing"))
    modalities = ModalitySet(reader.items("modalities", _modality), order)
    return BundleMetadata(
        name=reader.get("name", str),
        version=reader.get("version", str),
        title=reader.get("title", str),
        description=reader.get("description", str),
        network=_network(reader.child("network"), preprocessing),
        modalities=modalities,
        labels=labels,
        regions=regions,
        preprocessing=preprocessing,
        window=_window(reader.child("window"), ORIENTATIONS[preprocessing.orientation]),
        training_data=reader.get("training_data", str),
        license=reader.get("license", str),
        simulated_training=reader.get("simulated_training", bool),
        citation=reader.strings("citation"),
        expected_dice=_expected(reader),
        expected_dice_source=reader.get("expected_dice_source", str, ""),
        temperature=float(temperature),
        temperatures=_temperatures(reader, modalities),
        calibration_error=_calibration_error(reader),
        calibration_source=reader.get("calibration_source", str, ""),
    )
