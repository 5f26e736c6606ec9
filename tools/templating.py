"""Ansible's templating, with what it computed kept: for reading a playbook, where the same variables are asked for thousands of times.

A run of Ansible's renders a variable anew for each task, and within a task for each variable that refers to it. What comes out is the same
here: the classes below keep Ansible's own, and give them again what they had found for the same variables.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ansible._internal._templating._engine import TemplateContext, TemplateEngine, TemplateOptions
from ansible._internal._templating._jinja_bits import AnsibleEnvironment
from ansible._internal._templating._lazy_containers import _AnsibleLazyTemplateMixin
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader, lookup_loader
from ansible.utils.collection_loader import AnsibleCollectionConfig
from jinja2 import Environment

_compile = Environment.compile
_compiled: dict[tuple[Any, ...], Any] = {}
_environments: dict[str, AnsibleEnvironment] = {}


def _compile_once(self: Environment, source: Any, *arguments: Any, **options: Any) -> Any:
    """Compile a template's text the first time only: Ansible does so at each use."""
    if arguments or options or not isinstance(source, str):
        return _compile(self, source, *arguments, **options)
    key = (
        type(self),
        source,
        self.trim_blocks,
        self.lstrip_blocks,
        self.keep_trailing_newline,
        self.block_start_string,
    )
    if key not in _compiled:
        _compiled[key] = _compile(self, source)
    return _compiled[key]


Environment.compile = _compile_once  # type: ignore[method-assign]
if AnsibleCollectionConfig.collection_finder is None:
    init_plugin_loader([])
# This lookup copies all variables, for the few names of its own that it adds at their top level.
sys.modules[lookup_loader.get("ansible.builtin.template", class_only=True).__module__].deepcopy = dict  # type: ignore[attr-defined]


class Engine(TemplateEngine):
    """Templates that share what their variables come to.

    Args:
        loader: what reads files.
        variables: the variables; they may not change afterwards.
    """

    def __init__(self, loader: DataLoader, variables: dict[str, Any]) -> None:
        super().__init__(loader, variables=variables)
        # It remembers the filters that it has looked for, by far the most of a lookup's time.
        self._environment = _environments.setdefault(self.basedir, AnsibleEnvironment(ansible_basedir=self.basedir))
        # A lazy container renders an entry when it is first asked for, and keeps it.
        with TemplateContext(template_value=None, templar=self, options=TemplateOptions.DEFAULT):
            self._known = _AnsibleLazyTemplateMixin._try_create(variables)

    def _compile_template(self, template: str, options: TemplateOptions) -> Callable[[Mapping[str, Any]], Any]:
        return self._sharing(super()._compile_template(template, options))

    def _compile_expression(self, expression: str, options: TemplateOptions) -> Callable[[Mapping[str, Any]], Any]:
        return self._sharing(super()._compile_expression(expression, options))

    def _sharing(self, render: Callable[[Mapping[str, Any]], Any]) -> Callable[[Mapping[str, Any]], Any]:
        return lambda variables: render(self._known if variables is self._variables else variables)


class Loader(DataLoader):
    """Files that are read once, and handed out without a copy of them while nobody changes what is in them."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[tuple[Any, ...], Any] = {}
        self._sharing = False

    @contextmanager
    def sharing(self) -> Iterator[None]:
        """Share what files say, for as long as the caller only reads it."""
        self._sharing = True
        try:
            yield
        finally:
            self._sharing = False

    def load_from_file(self, file_name: str, *arguments: Any, **options: Any) -> Any:
        """Return what the file says."""
        if not self._sharing:
            return super().load_from_file(file_name, *arguments, **options)
        key = (file_name, *arguments, *options.items())
        if key not in self._kept:
            self._kept[key] = super().load_from_file(file_name, *arguments, **options)
        return self._kept[key]
