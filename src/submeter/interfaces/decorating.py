# SPDX-License-Identifier: Apache-2.0
"""Put every call of a function inside a scope of its own, whatever kind of function it is.

A generator is inside only while it works, not while its caller works on what it gave.
"""

import functools
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import AbstractContextManager
from typing import Any, Final, ParamSpec, TypeVar, cast

__all__ = ["decorated"]

P = ParamSpec("P")
R = TypeVar("R")
Scope = Callable[[], AbstractContextManager[Any]]

# code flags, as in `inspect`, which is slow to import
_GENERATOR: Final = 0x20
_COROUTINE: Final = 0x80
_ASYNC_GENERATOR: Final = 0x200


def decorated(function: Callable[P, R], scope: Scope, *, whole: bool = False) -> Callable[P, R]:
    """*function* with every call inside a new *scope*; *whole* holds generators in it throughout.

    Parameters
    ----------
    function
        A function, coroutine function, generator function or asynchronous generator function.
    scope
        Makes the context manager of one call.
    whole
        Whether a generator's scope lasts from its first step to its end, as a run does.
    """
    code = getattr(function, "__code__", None)
    flags = 0 if code is None else code.co_flags
    wrapped: Callable[..., Any]
    if flags & _ASYNC_GENERATOR:
        wrapped = _async_generator(cast("Any", function), scope, whole=whole)
    elif flags & _GENERATOR:
        wrapped = _generator(cast("Any", function), scope, whole=whole)
    elif flags & _COROUTINE:
        wrapped = _coroutine(cast("Any", function), scope)
    else:

        @functools.wraps(function)
        def plain(*args: P.args, **kwargs: P.kwargs) -> R:
            with scope():
                return function(*args, **kwargs)

        return plain
    return cast("Callable[P, R]", functools.wraps(function)(wrapped))


def _coroutine(
    function: Callable[..., Coroutine[Any, Any, Any]], scope: Scope
) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def coroutine(*args: Any, **kwargs: Any) -> Any:
        with scope():
            return await function(*args, **kwargs)

    return coroutine


def _generator(
    function: Callable[..., Generator[Any, Any, Any]], scope: Scope, *, whole: bool
) -> Callable[..., Generator[Any, Any, Any]]:
    def throughout(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with scope():
            return (yield from function(*args, **kwargs))

    def stepwise(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        inner = function(*args, **kwargs)
        resume: Callable[[], Any] = functools.partial(next, inner)
        while True:
            with scope():
                try:
                    item = resume()
                except StopIteration as stop:
                    return stop.value
            try:
                sent = yield item
            except GeneratorExit:
                with scope():
                    inner.close()
                raise
            except BaseException as error:  # noqa: BLE001  # it goes to where it belongs
                resume = functools.partial(inner.throw, error)
            else:
                resume = functools.partial(inner.send, sent)

    return throughout if whole else stepwise


def _async_generator(
    function: Callable[..., AsyncGenerator[Any, Any]], scope: Scope, *, whole: bool
) -> Callable[..., AsyncGenerator[Any, Any]]:
    async def stepwise(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        inner = function(*args, **kwargs)
        resume: Callable[[], Any] = inner.__anext__
        outer = scope() if whole else None
        if outer is not None:
            outer.__enter__()
        try:
            while True:
                step = scope() if outer is None else None
                if step is not None:
                    step.__enter__()
                try:
                    item = await resume()
                except StopAsyncIteration:
                    return
                finally:
                    if step is not None:
                        step.__exit__(None, None, None)
                try:
                    sent = yield item
                except GeneratorExit:
                    await inner.aclose()
                    raise
                except BaseException as error:  # noqa: BLE001  # it goes to where it belongs
                    resume = functools.partial(inner.athrow, error)
                else:
                    resume = functools.partial(inner.asend, sent)
        finally:
            if outer is not None:
                outer.__exit__(None, None, None)

    return stepwise
