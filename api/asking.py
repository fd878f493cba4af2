"""Asks something that may hang, in a thread of its own, and waits only so long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class Asking(Generic[Answer]):
    """One question, asked once at a time: who asks while it is under way waits for the same answer. Its thread dies with the process."""

    def __init__(self, name: str, question: Callable[[], Answer]) -> None:
        self._name, self._question = name, question
        self._asked: Future[Answer] | None = None
        self._lock = threading.Lock()

    def ask(self) -> Future[Answer]:
        with self._lock:
            if self._asked is None or self._asked.done():
                self._asked = Future()
                threading.Thread(target=self._run, args=(self._asked,), name=f"ask-{self._name}", daemon=True).start()
            return self._asked

    def _run(self, answer: Future[Answer]) -> None:
        try:
            answer.set_result(self._question())
        except Exception as error:  # noqa: BLE001  whoever waits gets it
            answer.set_exception(error)
