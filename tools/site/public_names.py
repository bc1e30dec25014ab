"""A Griffe extension: the documentation finds objects by the names that users import.

Griffe reads the source without running it. Three things need help: names that load when they are
first used, functions that have the name of their module, and the folder `export`, which is
installed as `keras_seg.export` and linked there where links work.
"""

from __future__ import annotations

import ast

import griffe

PACKAGE = "keras_seg"


class PublicNames(griffe.Extension):
    """Makes every name of a public `__all__` a member of its package."""

    def on_module_instance(self, *, node: ast.AST, mod: griffe.Module, **_) -> None:
        """Called when a module is read: names of `lazy_names(__name__, {...})` become aliases."""
        for call in ast.walk(node):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "lazy_names":
                if not isinstance(call.args[1], ast.Dict):
                    continue
                for name, home in ast.literal_eval(call.args[1]).items():
                    mod.set_member(name, griffe.Alias(name, f"{home}.{name}", parent=mod))

    def on_package(self, *, pkg: griffe.Module, loader: griffe.GriffeLoader, **_) -> None:
        """Called when the package is read: `export` joins it, functions hide their modules."""
        if pkg.name != PACKAGE:
            return
        if "export" not in pkg.members:
            pkg.set_member("export", loader.load("export", try_relative_path=False))
        hidden = [
            (module, name, _member(pkg, module.imports[name]))
            for module in pkg.modules.values()
            for name in module.exports or ()
            if isinstance(name, str) and isinstance(module.members.get(name), griffe.Module)
            if name in module.imports
        ]
        for module, name, function in hidden:
            module.set_member(name, griffe.Alias(name, function, parent=module))


def _member(package: griffe.Module, path: str) -> griffe.Object:
    return package[path.removeprefix(f"{PACKAGE}.")]
