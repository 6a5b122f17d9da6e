"""Rows in blocks, so that the memory of a computation does not grow with their number."""

import sys

import numpy as np

ROWS_AT_ONCE = 16_384


def in_row_blocks(compute, *arrays, join=np.concatenate, rows_at_once=ROWS_AT_ONCE):
    """Apply a function to blocks of rows, and to smaller ones where memory runs out.

    Parameters
    ----------
    compute : callable
        Takes blocks of `arrays`. What it returns for a row must not depend on the other rows.
    *arrays : ndarray or Tensor of shape (n_rows, ...)
        What is divided along the first axis.
    join : callable, default=numpy.concatenate
        Puts the list of results together.
    rows_at_once : int, default=16384
        Largest number of rows in a block. It is halved, from there on, each time that the machine
        or a device runs out of memory.

    Returns
    -------
    result : ndarray or Tensor
        The joined results; if there is one block, its result as it is.

    Raises
    ------
    MemoryError, RuntimeError
        What `compute` raises if memory does not suffice for a single row.
    """
    n_rows, start, results = len(arrays[0]), 0, []
    while start < n_rows or not results:
        stop = min(start + rows_at_once, n_rows)
        try:
            results.append(compute(*(array[start:stop] for array in arrays)))
            start = stop
        except (MemoryError, RuntimeError) as error:
            if stop - start <= 1 or not is_out_of_memory(error):
                raise
            rows_at_once = (stop - start) // 2
        if start < stop:  # only now is the traceback, which holds on to tensors, gone
            _free_cached_memory()
    return results[0] if len(results) == 1 else join(results)


def is_out_of_memory(error):
    """Tell a lack of memory, of the machine or a device, from other errors.

    Parameters
    ----------
    error : Exception
        What was raised.

    Returns
    -------
    is_out_of_memory : bool
        Whether a smaller computation may succeed.
    """
    if isinstance(error, MemoryError):
        return True
    # torch's allocator of the CPU, and those of some devices, raise a bare RuntimeError.
    message = str(error).lower()
    return "out of memory" in message or "can't allocate memory" in message


def _free_cached_memory():
    """Give back what torch's allocator of CUDA keeps, if torch is in use at all."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
