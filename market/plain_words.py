"""What the operating system and libraries say of a failure, in words for people: no numbers, classes or pools."""

from __future__ import annotations

from collections.abc import Iterator


def in_words(problem: BaseException) -> str:
    """The reason at the bottom of an error; where the system gives none, the error's own first line."""
    reasons = [str(each.strerror) for each in _behind(problem) if isinstance(each, OSError) and each.strerror]
    if isinstance(problem, FileExistsError) and reasons:
        return "exists already and is not written over: choose another name"
    if reasons:
        return reasons[-1]
    if any(isinstance(each, TimeoutError) for each in _behind(problem)):
        return "no answer in time"
    return (str(problem).splitlines() or [type(problem).__name__])[0]


def of_file(problem: OSError) -> str:
    """The same with the file that it concerns, where there is one."""
    return in_words(problem) if problem.filename is None else f"{problem.filename}: {in_words(problem)}"


def _behind(problem: BaseException | None) -> Iterator[BaseException]:
    while problem is not None:
        yield problem
        problem = problem.__cause__ or problem.__context__
