"""An orchard: odd on purpose, in each way in which a project can be. It knows nothing of how it is deployed."""
