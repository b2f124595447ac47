"""A small torchvision for recipes whose scripts read MNIST: images that are made here, and transforms that do nothing to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from bench.probe import stand_in

if TYPE_CHECKING:
    from collections.abc import Callable


class Images(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """Digits that are a bright square each, in a place of its own, under noise."""

    images = 32  # how many; a recipe may want another number

    def __init__(self, *_: object, train: bool = True, **__: object) -> None:
        drawn = torch.Generator().manual_seed(int(train))
        self.targets = torch.arange(self.images) % 10
        self.data = torch.rand(self.images, 1, 28, 28, generator=drawn) * 0.5
        for image, digit in zip(self.data, self.targets.tolist(), strict=True):
            image[0, 2 * digit : 2 * digit + 8, 2 * digit : 2 * digit + 8] += 0.5

    def __getitem__(self, at: int) -> tuple[torch.Tensor, int]:
        if at >= self.images:
            raise IndexError(at)
        return self.data[at], int(self.targets[at])

    def __len__(self) -> int:
        return self.images


def stand_in_torchvision() -> None:
    """Have `import torchvision` give this module's images."""

    def transform(*_: object, **__: object) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda image: image

    names = ("Compose", "ToTensor", "Normalize", "Resize", "Lambda", "CenterCrop", "RandomCrop", "RandomHorizontalFlip")
    stand_in("torchvision")
    stand_in("torchvision.datasets", MNIST=Images, FashionMNIST=Images)
    stand_in("torchvision.transforms", **dict.fromkeys(names, transform))
    stand_in("torchvision.utils", save_image=lambda *_, **__: None, make_grid=lambda images, **_: images)
