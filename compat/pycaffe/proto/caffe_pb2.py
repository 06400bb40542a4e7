"""Caffe's messages and enums, as protoc's module `caffe_pb2` names them; made from the schema when it is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .official import names

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


globals().update(names())
