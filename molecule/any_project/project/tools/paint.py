"""Build the front-end: a stylesheet in the colour that the one argument says."""

import sys
from pathlib import Path

STYLES = Path(__file__).resolve().parent.parent / "src/orchard/static/orchard/paint.css"

STYLES.write_text(f"body {{ background: {sys.argv[1]}; }}\n")
