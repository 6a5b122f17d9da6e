"""What the training scripts share: installing weights, and texts of model cards."""

import hashlib
import shutil
from pathlib import Path

import skcausal.weights


def install_weights(path, name, card):
    """Copy a file of weights into the package, with its checksum and its card."""
    folder = Path(skcausal.weights.__file__).parent
    shutil.copyfile(path, folder / f"{name}.safetensors")
    files = sorted(folder.glob("*.safetensors"))
    lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}" for file in files]
    (folder / "SHA256SUMS").write_text("\n".join(lines) + "\n")
    (folder / f"{name}.md").write_text(card)


def prior_text(prior):
    """The arguments of a prior that are not defaults, distributions by name and support."""
    default = type(prior)()
    shown = []
    for name in prior.__dataclass_fields__:
        value = getattr(prior, name)
        if hasattr(value, "support"):
            low, high = value.support()
            law = value.dist.name if value.dist.name != "Distribution" else "discrete"
            shown.append(f"{name}: {law} on [{low:.3g}, {high:.3g}]")
        elif value != getattr(default, name):
            shown.append(f"{name}={value!r}")
    return f"{type(prior).__name__}({', '.join(shown)})"


def stages(card):
    """Settings of the trainings that led to the weights, the first one first."""
    return [*stages(card["before"]), card] if "before" in card else [card]
