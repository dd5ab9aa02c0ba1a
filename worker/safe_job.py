"""The class of all jobs: whoever can write to Redis can queue any function by its name, and only ours run.

What must stay true: no name that comes from Redis is ever imported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rq.job import Job

from . import jobs

ALLOWED: dict[str, Callable[[list[int]], None]] = {"worker.jobs.send": jobs.send}


class JobRefused(Exception):
    """The job is none of ours, or carries something that would be called besides."""


class SafeJob(Job):
    """A job that runs only if it is one of ours, with numbers and nothing else."""

    refused = False

    def restore(self, raw_data: Any) -> Any:
        """Reads the job from Redis and takes away whatever else would be called."""
        super().restore(raw_data)
        callbacks = (self._success_callback_name, self._failure_callback_name, self._stopped_callback_name)
        self.refused = self.refused or any(callbacks) or bool(self.webhooks)
        self._success_callback_name = self._failure_callback_name = self._stopped_callback_name = None
        self.webhooks = []

    @property
    def func(self) -> Callable[[list[int]], None]:
        """The function. Raises JobRefused."""
        words = (self.args, self.kwargs, self.instance)
        if self.refused or self.func_name not in ALLOWED or not _is_numbers(*words):
            raise JobRefused("not a job of bookcli")
        return ALLOWED[self.func_name]


def _is_numbers(arguments: Any, named: Any, instance: Any) -> bool:
    if named or instance is not None or not isinstance(arguments, list | tuple) or len(arguments) != 1:
        return False
    (numbers,) = arguments
    return isinstance(numbers, list) and all(type(number) is int for number in numbers)
