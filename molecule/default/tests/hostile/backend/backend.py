"""A build backend that does more than to build: uv runs it for an editable requirement, whatever it was told of wheels."""

import zipfile
from pathlib import Path

import witness

HERE = Path(__file__).resolve().parent
METADATA = "Metadata-Version: 2.1\nName: hostile-editable\nVersion: 1.0\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: hostile\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def build_editable(wheel_directory, _config_settings=None, _metadata_directory=None):
    """Testify, then build what was asked for."""
    witness.testify("editable", str(HERE))
    name = "hostile_editable-1.0-py3-none-any.whl"
    info = "hostile_editable-1.0.dist-info"
    with zipfile.ZipFile(Path(wheel_directory, name), "w") as wheel:
        wheel.writestr("hostile_editable.pth", f"{HERE}\n")
        wheel.writestr(f"{info}/METADATA", METADATA)
        wheel.writestr(f"{info}/WHEEL", WHEEL)
        wheel.writestr(f"{info}/RECORD", "")
    return name


build_wheel = build_editable


def get_requires_for_build_editable(_config_settings=None):
    """Need nothing."""
    return []


get_requires_for_build_wheel = get_requires_for_build_editable
