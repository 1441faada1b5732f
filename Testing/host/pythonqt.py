"""Give PySide6 classes the Python face that PythonQt gives them in Slicer.

Two ways were open. (a) Build one subclass with properties for every Qt class: then objects that Qt makes by
itself (``layout()``, ``children()``, ``horizontalHeader()``, widgets of a ``.ui`` file) keep the PySide6 face, and
``isinstance(button, qt.QWidget)`` needs tricks because the subclasses do not inherit from each other.
(b) Patch the PySide6 classes in place: every object has the same face wherever it came from. This is (b): it is
the shorter and the stricter one. The price is that other PySide6 libraries can no longer be used in the process.

What is reproduced: Qt properties are attributes, setters stay methods, ``connect("clicked(bool)", f)`` checks the
signature, surplus signal arguments are dropped, ``className()``, ``name``, dynamic properties as attributes.
What is refused: unknown attributes, keyword arguments of constructors, ``exec()``.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from PySide6 import QtCore
from shiboken6 import Shiboken

VIRTUAL_NAMES = frozenset({"sizeHint", "minimumSizeHint"})  # properties that are also virtual methods: stay methods
STAND_IN = "_stand_in"  # marks Python classes that stand for C++ ones: strict like them, private names allowed


class QtProperty(property):
    """A Qt property as attribute; ``static`` keeps a static method of the same name (QTimer.singleShot)."""

    static: Callable[..., Any] | None = None

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None and self.static is not None:
            return self.static
        return super().__get__(instance, owner)


def patch_class(cls: type) -> None:
    """Patch one QObject class of PySide6 (its own properties only; base classes are patched separately)."""
    meta = cls.staticMetaObject
    for index in range(meta.propertyOffset(), meta.propertyCount()):
        declared = meta.property(index)
        if declared.name() not in VIRTUAL_NAMES:
            setattr(cls, declared.name(), _make_property(cls, declared))
    if "__getattribute__" in vars(cls):
        _hook_attributes(cls)
    cls.__init__ = _refuse_keywords(cls)
    cls.__setattr__ = _guarded_setattr


def patch_object_root() -> None:
    """Patch what all objects share: className, name, dynamic properties."""
    root = QtCore.QObject
    root.__getattr__ = _missing_attribute
    root.className = lambda self: self.metaObject().className()
    root.name = property(
        lambda self: root.property(self, "objectName"), lambda self, value: root.setProperty(self, "objectName", value)
    )


def _hook_attributes(cls: type) -> None:
    """Replace what PySide6 answers, before any class attribute is looked at, for connect and disconnect."""
    plain_getattribute = cls.__getattribute__  # QProcess, QMenu and a few more have their own

    def getattribute(self: QtCore.QObject, name: str) -> Any:
        if name == "exec":
            raise AttributeError(name)  # worded in _missing_attribute
        found = plain_getattribute(self, name)
        if name == "connect":
            return lambda *args: _connect(self, found, *args)
        if name == "disconnect":
            return lambda *args: _disconnect(self, found, *args)
        return found

    cls.__getattribute__ = getattribute


def _make_property(cls: type, declared: QtCore.QMetaProperty) -> QtProperty:
    name = declared.name()
    capital = name[0].upper() + name[1:]
    members = vars(cls)
    named = members.get(name)
    static = named if isinstance(named, staticmethod) else None
    candidates = (members.get(f"is{capital}"),) if static else (named, members.get(f"is{capital}"))
    getter = next((entry for entry in candidates if callable(entry)), None)
    setter = members.get(f"set{capital}")
    convert = bool if declared.typeName() == "bool" else _unchanged  # PythonQt takes any truth value

    def read(self: QtCore.QObject) -> Any:
        return getter(self) if getter is not None else QtCore.QObject.property(self, name)

    def write(self: QtCore.QObject, value: Any) -> None:
        if callable(setter):
            setter(self, convert(value))
        elif not QtCore.QObject.setProperty(self, name, convert(value)):
            raise ValueError(f"{cls.__name__}.{name} cannot be set to {value!r}.")

    result = QtProperty(read, write if declared.isWritable() else None, doc=f"Qt property {cls.__name__}.{name}")
    result.static = getattr(cls, name) if static else None
    return result


def _unchanged(value: Any) -> Any:
    return value


def _refuse_keywords(cls: type) -> Callable[..., None]:
    plain_init = cls.__init__

    def init(self: Any, *args: Any, **keywords: Any) -> None:
        if keywords:
            raise TypeError(f"{cls.__name__}() takes no keyword arguments in PythonQt: {sorted(keywords)}.")
        plain_init(self, *args)

    return init


def _is_strict(instance: QtCore.QObject) -> bool:
    cls = type(instance)
    return cls.__module__.startswith("PySide6") or STAND_IN in vars(cls)


def _guarded_setattr(self: QtCore.QObject, name: str, value: Any) -> None:
    """Set a property; refuse names that the C++ class does not have. Python subclasses may add attributes."""
    for cls in type(self).__mro__:
        entry = vars(cls).get(name)
        if isinstance(entry, QtCore.Property) and entry.fset is not None:  # declared by a stand-in
            entry.fset(self, value)
            return
        if entry is not None and hasattr(type(entry), "__set__"):
            type(entry).__set__(entry, self, value)
            return
    if name.encode() in _dynamic_names(self):
        QtCore.QObject.setProperty(self, name, value)
        return
    if isinstance(value, QtCore.QObject) and value.objectName == name:
        return  # PySide6's .ui loader hangs children on their parent; find them with childWidgetVariables
    # Widgets of a .ui file were made in C++: PySide6 hangs each of their signals on them at its first use.
    lazy_signal = isinstance(value, QtCore.SignalInstance) and hasattr(type(self), name)
    allowed = lazy_signal or name.startswith("__") or (STAND_IN in vars(type(self)) and name.startswith("_"))
    if _is_strict(self) and not allowed:
        raise AttributeError(f"{type(self).__name__} has no property '{name}': check the name in the Qt documentation.")
    self.__dict__[name] = value


def _dynamic_names(instance: QtCore.QObject) -> list[bytes]:
    return [bytes(name.data()) for name in instance.dynamicPropertyNames()]


def _missing_attribute(self: QtCore.QObject, name: str) -> Any:
    if not name.startswith("__") and name.encode() in _dynamic_names(self):
        return QtCore.QObject.property(self, name)
    if name == "exec":
        raise AttributeError(f"{type(self).__name__}.exec() does not exist on every Slicer: call exec_().")
    raise AttributeError(f"{type(self).__name__} has no attribute '{name}'.")


def _resolve_signal(instance: QtCore.QObject, signature: str) -> tuple[str, Any]:
    """Return the normalized signature and the bound signal; VTK pointers travel as Python objects.

    Raises ValueError when the object has no such signal.
    """
    name, bracket, arguments = re.sub(r"\bvtk\w+\s*\*", "PyObject", signature).replace("const ", "").partition("(")
    if not bracket:
        raise ValueError(f"Signal '{signature}' needs its argument list, for example 'clicked(bool)'.")
    types = re.sub(r"[\s&]", "", arguments.removesuffix(")"))
    normalized = f"{name.strip()}({types})"
    if instance.metaObject().indexOfSignal(normalized) < 0:
        raise ValueError(f"{type(instance).__name__} has no signal '{signature}'.")
    signal = getattr(instance, name.strip())
    return normalized, signal[types] if types else signal


def trim_arguments(slot: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``slot`` so that signal arguments beyond its own parameters are dropped."""
    try:
        parameters = list(inspect.signature(slot).parameters.values())
    except (TypeError, ValueError):  # built-in functions tell no signature
        return lambda *args: slot(*args)
    if any(parameter.kind == parameter.VAR_POSITIONAL for parameter in parameters):
        return lambda *args: slot(*args)
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    count = sum(parameter.kind in positional for parameter in parameters)
    return lambda *args: slot(*args[:count])


def _connections(instance: QtCore.QObject) -> list[tuple[str, Any, Any]]:
    return instance.__dict__.setdefault("__connections__", [])


def _connect(sender: QtCore.QObject, plain: Callable[..., Any], *args: Any) -> Any:
    if not isinstance(args[0], str) or args[0][:1] in "12":  # forms that PySide6 itself uses
        return plain(*args)
    signature, slot = args[0], _slot_of(*args)
    normalized, signal = _resolve_signal(sender, signature)
    wrapper = _without_arguments(slot) if normalized.endswith("()") else trim_arguments(slot)
    _connections(sender).append((normalized, slot, signal.connect(wrapper)))
    return True


def _slot_of(signature: str, *rest: Any) -> Callable[..., Any]:
    if len(rest) == 1:
        slot = rest[0]
    elif len(rest) == 2 and isinstance(rest[1], str):
        slot = getattr(rest[0], rest[1].split("(")[0])
    else:
        raise TypeError("connect() takes (signal, callable) or (signal, receiver, slot signature).")
    if not callable(slot):
        raise TypeError(f"connect('{signature}'): {slot!r} is not callable.")
    return slot


def _without_arguments(slot: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *_: slot()


def _disconnect(sender: QtCore.QObject, plain: Callable[..., Any], *args: Any) -> bool:
    if not args or not isinstance(args[0], str) or args[0][:1] in "12":
        return bool(plain(*args))
    normalized, _ = _resolve_signal(sender, args[0])
    found = [entry for entry in _connections(sender) if entry[0] == normalized and args[1:] in ((), (entry[1],))]
    for entry in found:
        plain(entry[2])
        _connections(sender).remove(entry)
    return bool(found)


def _refuse_attributes(self: Any, name: str, value: Any) -> None:
    """Set attributes of Python subclasses only: values such as QTableWidgetItem or QColor have none of their own."""
    if type(self).__module__.startswith("PySide6") and not name.startswith("__"):
        raise AttributeError(f"{type(self).__name__} has no attribute '{name}' that can be set: call a setter.")
    self.__dict__[name] = value


def patch_all(modules: tuple[Any, ...]) -> None:
    """Patch every class of the given PySide6 modules, once per process."""
    if "className" in vars(QtCore.QObject):
        return
    for module in modules:
        for name in dir(module):
            cls = getattr(module, name)
            if not isinstance(cls, type) or not issubclass(cls, Shiboken.Object):
                continue
            if not issubclass(cls, QtCore.QObject):
                cls.__init__ = _refuse_keywords(cls)
                cls.__setattr__ = _refuse_attributes
            elif isinstance(vars(cls).get("staticMetaObject"), QtCore.QMetaObject):
                patch_class(cls)
    patch_object_root()
