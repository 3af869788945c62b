"""The box in which somata are placed."""

from dataclasses import dataclass

import numpy as np

from spiketype.edge import UserError


@dataclass(frozen=True)
class Box:
    """The box in which the soma is uniform; the array's plane is x = 0."""

    x_um: tuple[float, float] = (10.0, 60.0)
    y_um: tuple[float, float] = (-75.0, 75.0)
    z_um: tuple[float, float] = (-75.0, 75.0)

    def __post_init__(self) -> None:
        for name in ("x_um", "y_um", "z_um"):
            low, high = getattr(self, name)
            if not (np.isfinite([low, high]).all() and low <= high):
                raise UserError(f"sampling box {name} = ({low}, {high}): give two numbers, the lower one first")


DEFAULT_BOX = Box()
