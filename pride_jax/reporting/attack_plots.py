"""Pictures of what attacks reconstruct."""

import textwrap
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

_INCH, _MARGINS = 0.62, 3.9
_LONGEST = 30
"""Letters of a name on one line."""


def reconstructions(
    originals: Float[np.ndarray, "digits height width"],
    views: Sequence[tuple[str, Float[np.ndarray, "digits height width"], float]],
) -> Figure:
    """A grid: the originals on top, below them what each view gave back.

    Args:
      originals: in 0 … 1, one a column.
      views: the view's name, its images in the originals' order, and their median PSNR in dB, which
        stands at the side.
    """
    columns, lines = len(originals), [("original", originals, None), *views]
    figure = Figure(figsize=(_MARGINS + _INCH * columns, _INCH * len(lines)), layout="constrained")
    grid = figure.subplots(len(lines), columns, squeeze=False)
    for axes, (name, images, decibels) in zip(grid, lines, strict=True):
        for place, image in zip(axes, images, strict=True):
            place.imshow(image, cmap="gray", vmin=0, vmax=1)
            place.set(xticks=[], yticks=[])
        lines_of_name = textwrap.fill(name, _LONGEST)
        axes[0].set_ylabel(lines_of_name, rotation=0, ha="right", va="center", fontsize=9)
        if decibels is not None:
            axes[-1].yaxis.set_label_position("right")
            axes[-1].set_ylabel(
                f"{decibels:.1f} dB", rotation=0, ha="left", va="center", fontsize=9
            )
    return figure
