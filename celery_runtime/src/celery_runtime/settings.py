"""The Django settings module of every deployed process: the project's own settings under the deployment's."""

from importlib import import_module

from . import app_settings, masking, parts, programs
from .configuration import credential, handed, load
from .overlay import overlay

_configuration = load()
globals().update(overlay(vars(import_module(_configuration.project_settings)), _configuration, credential, handed))
app_settings.install(_configuration)
parts.install(_configuration.runtime)
masking.install()
programs.install()
