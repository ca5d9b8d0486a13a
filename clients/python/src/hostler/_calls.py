"""Calls that block: one answer, a stream, an operation."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Callable, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from hostler._channel import Channel, grpc_channel, serialize, status_error
from hostler._diagnosis import diagnose
from hostler._operation import Operation
from hostler._retry import NO_RETRY, Attempts, Retry, has_request_id, with_request_id
from hostler._settings import Settings
from hostler.errors import HostlerError

Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)


class Calls:
    """A channel to one daemon, on which calls are made by the names of their methods."""

    def __init__(
        self,
        settings: Settings,
        retry: Retry,
        channel: Callable[[Settings], Channel] = grpc_channel,
    ) -> None:
        self.settings = settings
        self.retry = retry
        self._channel = channel(settings)

    def close(self) -> None:
        """End all calls."""
        self._channel.close()

    def failure(self, method: str, error: grpc.RpcError) -> HostlerError:
        """Say what the end of a call means."""
        code, text = error.code(), error.details()
        status = status_error(method, code, text, error.trailing_metadata())
        return status or diagnose(self.settings, text or "")

    def unary(self, method: str, request: Q, answer: type[A], timeout: float | None) -> A:
        """Make a call with one answer; a change is made again after a lost connection."""
        request = with_request_id(request)
        attempts = Attempts(self.retry if has_request_id(request) else NO_RETRY, timeout=timeout)
        while True:
            try:
                return self.once(method, request, answer, attempts.remaining())
            except HostlerError as error:
                time.sleep(attempts.delay(error))

    def once(
        self, method: str, request: Message, answer: type[A], timeout: float | None = None
    ) -> A:
        """Make a call with one answer, once."""
        call = self._channel.unary_unary(method, serialize, answer.FromString)
        try:
            result: A = call(request, timeout=timeout)
            return result
        except grpc.RpcError as error:
            raise self.failure(method, error) from None

    def stream(
        self, method: str, request: Message, answer: type[A], timeout: float | None
    ) -> Stream[A]:
        """Make a call whose answers stream in, once."""
        call = self._channel.unary_stream(method, serialize, answer.FromString)
        return Stream(call(request, timeout=timeout), partial(self.failure, method))

    def collect(
        self, method: str, requests: Iterable[Q], answer: type[A], timeout: float | None
    ) -> A:
        """Make a call whose requests stream out, once."""
        call = self._channel.stream_unary(method, serialize, answer.FromString)
        try:
            result: A = call(iter(requests), timeout=timeout)
            return result
        except grpc.RpcError as error:
            raise self.failure(method, error) from None

    def exchange(
        self, method: str, requests: Iterable[Q], answer: type[A], timeout: float | None
    ) -> Stream[A]:
        """Make a call with streams in both directions, once."""
        call = self._channel.stream_stream(method, serialize, answer.FromString)
        return Stream(call(iter(requests), timeout=timeout), partial(self.failure, method))

    def operation(self, method: str, request: Message, timeout: float | None) -> Operation:
        """Start an operation, or follow one."""
        return Operation(self, method, request, timeout)


class Stream(Generic[A], Iterator[A]):
    """Answers as they come. Leaving a `with` block, or close(), ends the call."""

    def __init__(self, call: Any, failure: Callable[[grpc.RpcError], HostlerError]) -> None:
        self._call = call
        self._failure = failure
        self._closed = False

    def __next__(self) -> A:
        """Wait for the next answer; raises HostlerError when the call fails."""
        try:
            answer: A = next(self._call)
            return answer
        except grpc.RpcError as error:
            if self._closed:
                raise StopIteration from None
            raise self._failure(error) from None

    def close(self) -> None:
        """End the call, also from another thread."""
        self._closed = True
        self._call.cancel()

    def __enter__(self) -> Stream[A]:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the call."""
        self.close()
