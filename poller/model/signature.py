"""Inspects a function: whether it can be called with a row and a context, or a run; and what it returned.

A parameter is meant for the context (or the run) if it is annotated so; else by its name, unless it is annotated
otherwise; else the context is the second one without a default. So a default such as `dry_run=False` is never
replaced. A decorator's wrapper is taken at its word, unless it passes on whatever it is given (`*args`): then
the function that it wraps tells.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

from poller.errors import ConfigurationError

if typing.TYPE_CHECKING:
    from poller.model.typevars import P, R

Function = Callable[..., Any]

CONTEXT = frozenset(("Context", "BatchContext"))
RUN = frozenset(("Run",))

_WORD = re.compile(r"[\w.]+")
_EMPTY = inspect.Parameter.empty
_BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_REST = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

# Types of return values that mean that the function has not done its work.
_NOT_BEGUN: tuple[tuple[tuple[type, ...], str], ...] = (
    (
        (types.GeneratorType, types.AsyncGeneratorType),
        "a generator, which is never iterated: take its yield out",
    ),
    ((map, filter), "a map or a filter, which is never iterated: make it a loop"),
    (
        (contextlib.ContextDecorator, contextlib.AsyncContextDecorator),
        "a context manager, which is never entered: enter it in the function",
    ),
    (
        (types.FunctionType, types.MethodType, functools.partial),
        "a function, which is never called: look at its decorators",
    ),
)

_options: dict[str, Any] = {}
if sys.version_info >= (
    3,
    14,
):  # there annotations are evaluated late, and may name what is there for mypy only
    import annotationlib

    _options["annotation_format"] = annotationlib.Format.FORWARDREF


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a function; `hint` is its annotation: a type, or a text that names none here."""

    name: str
    kind: Any
    required: bool
    hint: Any

    @property
    def by_place(self) -> bool:
        """Whether it can be passed by position."""
        return self.kind in _BY_PLACE

    @property
    def by_name(self) -> bool:
        """Whether it can be passed by name."""
        return self.kind is not inspect.Parameter.POSITIONAL_ONLY


@dataclass(frozen=True, slots=True)
class CallingConvention:
    """How a handler's function is called: `invoke(row)`, or `invoke(row, context)` if it takes that."""

    takes_context: bool
    invoke: Function


# --- what a function is ---------------------------------------------------------------------------------


def is_coroutine(function: Function) -> bool:
    """Tell whether the result of a call must be awaited."""
    return any(map(inspect.iscoroutinefunction, _called(function)))


def refuse_generator(function: Function, what: str) -> None:
    """Refuse a function with a `yield`: a call of it runs nothing.

    Raises:
        ConfigurationError: it is one; the text begins with `what`.
    """
    for each in _called(function):
        if inspect.isgeneratorfunction(each) or inspect.isasyncgenfunction(each):
            msg = f"{what} cannot be a generator function, since a call of it runs nothing; remove its yield"
            raise ConfigurationError(msg)


def not_begun(answer: object) -> str | None:
    """Return the kind of an answer that stands in place of the work, if it is one; close a coroutine."""
    if inspect.isawaitable(answer):
        if inspect.iscoroutine(answer):
            with contextlib.suppress(Exception):  # of one that has begun, whatever it does then
                answer.close()
        return f"a {type(answer).__name__}, which is never awaited: have the function, or its decorator, await it"
    return next((text for kinds, text in _NOT_BEGUN if isinstance(answer, kinds)), None)


def beneath(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function in a `staticmethod`: a decorator above that is given the object, which stands for it."""
    return function.__func__ if isinstance(function, staticmethod) else function


def _called(function: Function) -> tuple[Function, ...]:
    """Return the function, and the one beneath it if it is a partial or a callable object."""
    return (function, plain_function(function))


# --- what a function takes ------------------------------------------------------------------------------


def parameters(function: Function) -> list[Parameter]:
    """Return the parameters of a function.

    Raises:
        ConfigurationError: its signature cannot be read.
    """
    try:
        signature, source = _visible(function)
    except (TypeError, ValueError) as error:
        msg = f"the parameters of {_name(function)} cannot be inspected ({error}); wrap it in a function of yours"
        raise ConfigurationError(msg) from None
    names = getattr(source, "__globals__", {})
    return [
        Parameter(each.name, each.kind, each.default is _EMPTY, _hint(each.annotation, names))
        for each in signature.parameters.values()
    ]


def call_of(function: Function, *, what: str = "a handler") -> CallingConvention:
    """Return how a handler's function is called.

    Raises:
        ConfigurationError: it does not take a row, or needs more than the row and the context.
    """
    taken = [each for each in parameters(function) if each.kind not in _REST]
    _refuse_method(function, taken)
    row, context = _row_and_context(taken)
    given = [each for each in (row, context) if each is not None]
    left = [each.name for each in taken if each.required and each not in given]
    if row is None or left:
        needs = f"; {_name(function)} needs {left[0]!r} as well" if left else f"; {_name(function)} does not"
        msg = f"{what} must take (row) or (row, context){needs}"
        raise ConfigurationError(msg)
    return CallingConvention(context is not None, _invoke(function, taken, row, context))


def run_parameter(function: Function) -> str | None:
    """Return the name of the parameter that takes the run of a job, if there is one.

    Raises:
        ConfigurationError: there are two.
    """
    found = _meant(parameters(function), RUN, ("run",))
    return None if found is None else found.name


def refuse_needs(function: Function, run: str | None) -> None:
    """Refuse a job's function that needs arguments, since a slot passes none.

    Raises:
        ConfigurationError: naming the parameter.
    """
    for each in parameters(function):
        if each.kind in _REST or not each.required:
            continue
        if not each.by_name:
            msg = (
                f"{_name(function)} takes {each.name!r} as positional-only, but a job's arguments are passed by "
                "keyword; remove the /"
            )
            raise ConfigurationError(msg)
        if each.name != run:
            msg = f"{_name(function)} needs {each.name!r}, which a scheduled run does not pass; give it a default"
            raise ConfigurationError(msg)


def bind(function: Function, arguments: dict[str, Any]) -> None:
    """Check arguments against a function's parameters.

    Raises:
        TypeError: it does not take them, or needs others.
    """
    _visible(function)[0].bind(**arguments)


def _visible(function: Function) -> tuple[inspect.Signature, Function]:
    """Return the signature by which a function can be called, and the function that it stands at."""
    own = inspect.signature(function, follow_wrapped=False, **_options)
    if not any(each.kind in _REST for each in own.parameters.values()):
        return own, plain_function(function)
    wrapped = getattr(function, "__wrapped__", None)
    if inspect.isfunction(function) and callable(wrapped):
        return _visible(wrapped)
    return inspect.signature(function, **_options), inspect.unwrap(plain_function(function))


def plain_function(function: Any) -> Function:
    """Return the function in a partial, a bound method, or an object that can be called."""
    while isinstance(function, functools.partial):
        function = function.func
    if not inspect.isroutine(function) and not isinstance(function, type):
        function = inspect.getattr_static(function, "__call__", function)
    plain: Function = getattr(function, "__func__", function)
    return plain


def _hint(annotation: Any, names: dict[str, Any]) -> Any:
    """Return an annotation as a type; as it stands, if it names what is not there (for mypy only, say)."""
    if annotation is _EMPTY:
        return _EMPTY
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    try:
        return typing.get_type_hints(holder, names)["it"]
    except Exception:  # noqa: BLE001 - whatever evaluating a user's annotation raises
        return annotation


def _members(hint: Any) -> Iterator[Any]:
    """Yield the types that a hint allows, or the words of a text in place of one."""
    if isinstance(hint, typing.ForwardRef):
        hint = hint.__forward_arg__
    if isinstance(hint, str):
        yield from (word.rpartition(".")[2] for word in _WORD.findall(hint))
    elif get_origin(hint) in (Union, types.UnionType):
        for each in get_args(hint):
            yield from _members(each)
    elif get_origin(hint) is Annotated:
        yield from _members(get_args(hint)[0])
    else:
        yield get_origin(hint) or hint


def _is_one(hint: Any, names: frozenset[str]) -> bool:
    """Tell whether a hint names one of poller's own types."""
    return any(_is_ours(each, names) for each in _members(hint))


def _is_ours(member: Any, names: frozenset[str]) -> bool:
    if isinstance(member, str):
        return member in names
    bases = member.__mro__ if isinstance(member, type) else ()
    return any(each.__name__ in names and each.__module__.startswith("poller.") for each in bases)


def _is_foreign(hint: Any, names: frozenset[str]) -> bool:
    """Tell whether a hint allows none of poller's own types: it is certainly meant for something else."""
    members = [each for each in _members(hint) if each is not type(None)]
    return hint is not _EMPTY and bool(members) and not any(_may_be(each, names) for each in members)


def _may_be(member: Any, names: frozenset[str]) -> bool:
    if not isinstance(member, type):
        return True  # Any, a type variable, a word
    return member in (object, Any) or getattr(member, "_is_protocol", False) or _is_ours(member, names)


def _meant(taken: Sequence[Parameter], names: frozenset[str], called: Sequence[str]) -> Parameter | None:
    """Return the parameter that is annotated with one of poller's types, else that has one of some names.

    Raises:
        ConfigurationError: two are annotated so.
    """
    usable = [each for each in taken if each.kind not in _REST]
    annotated = [each for each in usable if _is_one(each.hint, names)]
    if len(annotated) > 1:
        msg = f"{annotated[0].name!r} and {annotated[1].name!r} are both annotated as {max(names)}; keep one"
        raise ConfigurationError(msg)
    by_name = {each.name: each for each in usable if not _is_foreign(each.hint, names)}
    named = [by_name[name] for name in called if name in by_name]
    return next(iter(annotated + named), None)


def _row_and_context(taken: Sequence[Parameter]) -> tuple[Parameter | None, Parameter | None]:
    context = _meant(taken, CONTEXT, ("ctx", "context"))
    if context is not None and not _is_one(context.hint, CONTEXT):
        others = [each for each in taken if each is not context and each.by_place and each.required]
        if not others and context.by_place and context.required:
            context = None  # a row that happens to be called so
    places = [each for each in taken if each.by_place and each is not context]
    required = [each for each in places if each.required]
    row = next(iter(required or places), None)
    if context is None and len(required) > 1 and not _is_foreign(required[1].hint, CONTEXT):
        context = required[1]
    return row, context


def _invoke(
    function: Function, taken: Sequence[Parameter], row: Parameter, context: Parameter | None
) -> Function:
    """Return a function of (row) or (row, context) that calls this one."""
    first, *rest = [each for each in taken if each.by_place]
    if context is None or (row is first and rest[:1] == [context]):
        return function
    name = context.name
    if context is first and rest[:1] == [row]:
        return lambda given, context: function(context, given)
    if row is first and context.by_name:
        return lambda given, context: function(given, **{name: context})
    msg = f"{_name(function)} must take the row as its first parameter, and the context as its second or as a keyword"
    raise ConfigurationError(msg)


def _refuse_method(function: Function, taken: Sequence[Parameter]) -> None:
    if inspect.isfunction(function) and taken and taken[0].name in ("self", "cls"):
        msg = f"{_name(function)} is a method without its instance; use a function"
        raise ConfigurationError(msg)


def _name(function: Function) -> str:
    return getattr(function, "__qualname__", repr(function))
