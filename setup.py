"""Metadata lies in pyproject.toml; here only what it cannot say: the weights that travel inside the package."""

from pathlib import Path

from setuptools import find_packages, setup

WEIGHTS = Path(__file__).parent / "weights"

setup(
    packages=[*find_packages(include=["dualsafe", "dualsafe.*"]), "dualsafe.weights"],
    package_dir={"dualsafe.weights": "weights"},
    package_data={
        "dualsafe": [
            "py.typed",
            "policy/shipped/*.yaml",
            "bench/shipped/*.yaml",
            "bench/*.jinja",
            "check/*.jinja",
            "guard/*.jinja",
            "pairs/*.jinja",
        ],
        "dualsafe.weights": [str(p.relative_to(WEIGHTS)) for p in (WEIGHTS / "picto").rglob("*") if p.is_file()],
    },
)
