def export_outcomes(model, path, *, format, quantize):
    raise NotImplementedError
