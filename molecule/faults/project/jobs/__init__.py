"""Jobs whose every delivery and every effect is written down."""
