"""The Django settings module of every deployed process: the project's own settings under the deployment's."""

from importlib import import_module

from . import masking, parts
from .configuration import credential, handed, load
from .overlay import overlay

_configuration = load()
globals().update(overlay(vars(import_module(_configuration.project_settings)), _configuration, credential, handed))
parts.install(_configuration.runtime)
masking.install()
