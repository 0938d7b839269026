"""The corpus: one file for each input, in a folder for each target."""

import hashlib
from pathlib import Path

CORPUS = Path(__file__).resolve().parents[1] / "corpus"


def files(target: str) -> list[Path]:
    """Return the files of a target, in order of their names."""
    return sorted(path for path in (CORPUS / target).glob("*") if path.is_file())


def inputs(target: str) -> list[bytes]:
    """Return the inputs of a target."""
    return [path.read_bytes() for path in files(target)]


def save_crash(target: str, data: bytes) -> Path:
    """Add an input that breaks a property; return its file."""
    path = CORPUS / target / f"crash-{hashlib.sha256(data).hexdigest()[:12]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
