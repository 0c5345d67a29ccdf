"""LPIPS and Inception's features, as torchmetrics has them, with weights from the disk; nothing is ever downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from ..errors import BenchError, CheckpointError
from ..files import sha256_of
from .tasks import Task


@dataclass(frozen=True)
class Weights:
    """Published weights that a measure needs.

    Attributes:
        measure: what it is called.
        metrics: the names of its metrics.
        file: their name.
        source: where they are to be had.
        option: how a run is told where they lie.
    """

    measure: str
    metrics: frozenset[str]
    file: str
    source: str
    option: str

    @property
    def missing(self) -> str:
        """What to do where a task goes without."""
        return (
            f"{self.measure} not measured, for want of weights: name {self.file}, from {self.source}, by {self.option}."
        )


class Lpips:
    """LPIPS with AlexNet (Zhang et al., arXiv 1801.03924); the linear heads are those that torchmetrics brings.

    Args:
        model: gives the distances (N, 1, 1, 1) of two batches in [0, 1]; torchmetrics' own, or one of its signature.
        name: file and hash of the weights, and who computes with them.
    """

    weights: ClassVar[Weights] = Weights(
        "LPIPS", frozenset({"lpips"}), "alexnet-owt-7be5be79.pth", "download.pytorch.org/models", "--lpips"
    )

    def __init__(self, model: nn.Module, name: str):
        self._model, self.name = model, name

    @classmethod
    def from_file(cls, path: str | Path, device: str = "cpu") -> Lpips:
        """
        Args:
            path: state dict of torchvision's AlexNet.

        Raises:
            CheckpointError: it is no such thing.
            ImportError: torchmetrics or torchvision is not there.
        """
        held = _state_dict(path)
        _needed("torchvision")
        # the metric of the public interface downloads its backbone
        model = _needed("torchmetrics.functional.image.lpips")._NoTrainLpips(net="alex", pnet_rand=True)
        try:
            own = {key: held["features." + key.split(".", 1)[1]] for key in model.net.state_dict()}
            model.net.load_state_dict(own)
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(f"{path} is no state dict of torchvision's AlexNet: {error}") from error
        return cls(model.to(device), _name(path))

    @torch.no_grad()
    def distances(self, pictures: list[Image.Image], others: list[Image.Image]) -> list[float]:
        """The distance of each picture from its other, of the same size; 0 for equal ones."""
        a, b = (_pixels(each).to(_device(self._model)) / 255 for each in (pictures, others))
        return self._model(a, b, normalize=True).flatten().tolist()


class Inception:
    """The features of which FID and KID are distances: the 2048 of the last pooling (Heusel et al., arXiv 1706.08500).

    Args:
        model: gives the features (N, F) of a batch of bytes.
        name: file and hash of the weights, and who computes with them.
    """

    weights: ClassVar[Weights] = Weights(
        "FID and KID",
        frozenset({"fid", "kid"}),
        "weights-inception-2015-12-05-6726825d.pth",
        "github.com/toshas/torch-fidelity/releases/download/v0.2.0",
        "--inception",
    )

    def __init__(self, model: nn.Module, name: str):
        self._model, self.name = model, name

    @classmethod
    def from_file(cls, path: str | Path, device: str = "cpu") -> Inception:
        """
        Args:
            path: state dict of torch-fidelity's FeatureExtractorInceptionV3.

        Raises:
            CheckpointError: it is no such thing.
            ImportError: torchmetrics, torch-fidelity or torchvision is not there.
        """
        _state_dict(path)  # torch-fidelity would unpickle whatever the file holds
        _needed("torch_fidelity")
        network = _needed("torchmetrics.image.fid").NoTrainInceptionV3
        try:
            model = network("inception-v3-compat", ["2048"], str(path))
        except RuntimeError as error:
            raise CheckpointError(f"{path} is no state dict of torch-fidelity's InceptionV3: {error}") from error
        return cls(model.to(device), _name(path))

    @torch.no_grad()
    def features(self, pictures: list[Image.Image]) -> NDArray[np.float32]:
        """A row a picture."""
        return self._model(_pixels(pictures).to(_device(self._model))).float().cpu().numpy()


Instrument = TypeVar("Instrument", Lpips, Inception)


def instrument(
    kind: type[Instrument], file: str | None, tasks: Sequence[Task], device: str
) -> tuple[dict[str, Instrument], list[str]]:
    """The instrument for each task, by name; and what to do where tasks that name its metrics go without.

    Args:
        file: of the weights; None measures nothing.

    Raises:
        BenchError: a file, and no task.
        CheckpointError, ImportError: a file that cannot be used.
    """
    weights = kind.weights
    if file is None:
        lacking = any(not weights.metrics.isdisjoint(task.metrics) for task in tasks)
        return {}, [weights.missing] if lacking else []
    if not tasks:
        raise BenchError(f"{weights.option} {file}: {weights.measure} would measure none of this run's tasks")
    return dict.fromkeys((task.name for task in tasks), kind.from_file(file, device)), []


def _needed(module: str) -> Any:
    try:
        return import_module(module)
    except (ImportError, RuntimeError) as error:  # the latter where torchvision is of another build than torch
        raise ImportError(
            f"{module.split('.')[0]} cannot be imported ({error}): pip install 'dualsafe[perceptual]', with "
            "torchvision of the same build as torch"
        ) from error


def _state_dict(path: str | Path) -> dict[str, Tensor]:
    """
    Raises:
        CheckpointError: it cannot be read, or holds anything but tensors by name.
    """
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever its unpickler comes across
        raise CheckpointError(f"{path} cannot be loaded as weights: {str(error).partition(chr(10))[0]}") from error
    if not isinstance(held, dict):
        raise CheckpointError(f"{path} holds a {type(held).__name__}, not a state dict")
    return held


def _name(path: str | Path) -> str:
    return f"{Path(path).name}@{sha256_of(Path(path))[:12]}, torchmetrics {version('torchmetrics')}"


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _pixels(pictures: list[Image.Image]) -> Tensor:
    """Bytes (N, 3, H, W)."""
    return torch.from_numpy(np.stack([np.asarray(p.convert("RGB")) for p in pictures])).permute(0, 3, 1, 2)
