"""Numbers in the cells of an image."""

from __future__ import annotations

import numpy as np


def write_values(ax, image, cells, *, fontsize) -> np.ndarray:
    """Write values in black or white, whichever stands out against the cell.

    Parameters
    ----------
    ax : matplotlib Axes
        Where the image is.
    image : matplotlib AxesImage
        The image.
    cells : iterable of (int, int)
        Rows and columns of the cells to write to.
    fontsize : float
        Size of the numbers, in points.

    Returns
    -------
    texts : ndarray of object of the shape of the image
        The texts; None in other cells.
    """
    values = np.ma.getdata(image.get_array())
    texts = np.full(values.shape, None, dtype=object)
    for i, j in cells:
        red, green, blue, _ = image.cmap(image.norm(values[i, j]))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.55
        style = {"ha": "center", "va": "center", "color": "white" if dark else "black"}
        texts[i, j] = ax.text(j, i, f"{values[i, j]:.2f}", fontsize=fontsize, **style)
    return texts
