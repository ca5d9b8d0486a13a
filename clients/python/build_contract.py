"""Makes the Python code of the contract out of its protos, each time the package is built.

`hostler/v1` gets the messages, with stubs, and `_services.py` a method for each RPC, with the
comment that it has in the contract. A new RPC needs no change of the client.
"""

from __future__ import annotations

import re
import shutil
import sys
import sysconfig
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import (
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "hostler.v1"
EVENT = "OperationEvent"
# Numbers of fields in descriptor.proto, of which the paths of comments are made.
SERVICE, METHOD = 6, 2
HEAD = '"""Generated from the contract; do not edit."""\n\nfrom __future__ import annotations\n\n'


class ContractHook(BuildHookInterface):  # type: ignore[misc]
    """Runs before a wheel, an sdist or an editable install is made."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make the code, or for an sdist put the protos into it."""
        root = Path(self.root)
        protos = root / "proto"
        if not protos.is_dir():
            protos = root.parent.parent / "proto"
        if self.target_name == "sdist":
            build_data["force_include"][str(protos)] = "proto"
        else:
            generate(protos, root / "src")


def generate(protos: Path, target: Path) -> None:
    """Write `hostler/v1` and both `_services.py` below target."""
    files = sorted(protos.glob("hostler/v1/*.proto"))
    if not files:
        raise SystemExit(f"no contract below {protos}")
    # What an earlier contract had is not there any more.
    shutil.rmtree(target / "hostler" / "v1", ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        descriptors = Path(folder, "contract.binpb")
        protoc(protos, files, target, descriptors)
        contract = FileDescriptorSet.FromString(descriptors.read_bytes())
    own = [file for file in contract.file if file.package == PACKAGE]
    package = target / "hostler"
    (package / "v1" / "__init__.py").write_text(messages_module(own))
    (package / "_services.py").write_text(services_module(own, asynchronous=False))
    (package / "aio" / "_services.py").write_text(services_module(own, asynchronous=True))


def protoc(protos: Path, files: list[Path], target: Path, descriptors: Path) -> None:
    """Run the protoc that grpcio-tools has."""
    from importlib.resources import files as resources

    from grpc_tools import protoc as compiler

    code = compiler.main(
        [
            "protoc",
            f"-I{protos}",
            f"-I{resources('grpc_tools') / '_proto'}",
            f"--python_out={target}",
            f"--plugin=protoc-gen-mypy={stub_writer()}",
            f"--mypy_out=quiet:{target}",
            f"--descriptor_set_out={descriptors}",
            "--include_source_info",
            *map(str, files),
        ]
    )
    if code != 0:
        raise SystemExit("protoc failed")


def stub_writer() -> str:
    """Find mypy-protobuf, which writes stubs with the comments of the contract."""
    found = shutil.which("protoc-gen-mypy") or shutil.which(
        "protoc-gen-mypy", path=sysconfig.get_path("scripts")
    )
    if found is None:
        raise SystemExit("mypy-protobuf is not installed")
    return found


def messages_module(files: list[FileDescriptorProto]) -> str:
    """Give all messages and enums of the package one place to be imported from."""
    lines, names = [], []
    for file in files:
        own = [message.name for message in file.message_type]
        for enum in file.enum_type:
            own += [enum.name, *(value.name for value in enum.value)]
        if not own:
            continue
        module = file.name[: -len(".proto")].replace("/", ".") + "_pb2"
        lines += [f"from {module} import (", *(f"    {name}," for name in sorted(own)), ")"]
        names += own
    exported = [f'    "{name}",' for name in sorted(names)]
    head = HEAD.replace("Generated from", "The messages of").replace(
        "; do not edit", f", {PACKAGE}"
    )
    return head + "\n".join([*lines, "", "__all__ = [", *exported, "]", ""])


def services_module(files: list[FileDescriptorProto], *, asynchronous: bool) -> str:
    """Write a class for each service, and one that has them all."""
    home = "hostler.aio" if asynchronous else "hostler"
    iterables = "AsyncIterable, Iterable" if asynchronous else "Iterable"
    lines = [
        f"from typing import {iterables}, Optional, Union"
        if asynchronous
        else "from typing import Iterable, Optional",
        "",
        "from hostler import v1",
        f"from {home}._calls import Calls, Stream",
        f"from {home}._operation import Operation",
        "",
    ]
    attributes = []
    for file in files:
        for index, service in enumerate(file.service):
            lines += ["", f"class {service.name}:"]
            lines += docstring(comment(file, SERVICE, index) or service.name, 4)
            lines += [
                "",
                "    def __init__(self, calls: Calls) -> None:",
                "        self._calls = calls",
            ]
            for number, method in enumerate(service.method):
                text = comment(file, SERVICE, index, METHOD, number)
                lines += ["", *method_lines(service.name, method, text, asynchronous)]
            lines.append("")
            attributes.append((snake(re.sub("Service$", "", service.name)), service.name))
    lines += ["", "class Services:", '    """All services of a daemon."""', ""]
    lines += ["    def __init__(self, calls: Calls) -> None:"]
    for name, service_name in attributes:
        lines.append(f"        self.{name} = {service_name}(calls)")
    return HEAD + "\n".join([*lines, ""])


def method_lines(
    service: str, method: MethodDescriptorProto, text: str, asynchronous: bool
) -> Iterator[str]:
    """Write the method of one RPC."""
    request, answer = (
        "v1." + name.rpartition(".")[2] for name in (method.input_type, method.output_type)
    )
    given, returned, kind, prefix = f"request: {request}", answer, "unary", "def"
    if method.client_streaming:
        source = f"Iterable[{request}]"
        if asynchronous:
            source = f"Union[AsyncIterable[{request}], {source}]"
        given = f"requests: {source}"
    if method.server_streaming and not method.client_streaming and answer == f"v1.{EVENT}":
        kind, returned = "operation", "Operation"
    elif method.server_streaming:
        kind, returned = "stream", f"Stream[{answer}]"
    elif asynchronous:
        prefix = "async def"
    if method.client_streaming:
        kind = "exchange" if method.server_streaming else "collect"
    yield f"    {prefix} {snake(method.name)}("
    yield f"        self, {given}, *, timeout: Optional[float] = None"
    yield f"    ) -> {returned}:"
    yield from docstring(text or method.name, 8)
    argument = given.partition(":")[0]
    types = [] if kind == "operation" else [answer]
    arguments = ", ".join([f'"/{PACKAGE}.{service}/{method.name}"', argument, *types, "timeout"])
    wait = "await " if prefix == "async def" else ""
    yield f"        return {wait}self._calls.{kind}({arguments})"


def comment(file: FileDescriptorProto, *path: int) -> str:
    """Find the comment before a thing in a proto file."""
    for location in file.source_code_info.location:
        if tuple(location.path) == path:
            return str(location.leading_comments)
    return ""


def docstring(text: str, indent: int) -> list[str]:
    """Wrap a comment as a docstring."""
    words = " ".join(text.split()).replace("\\", "\\\\").replace('"""', "'''")
    first, _, rest = words.partition(". ")
    first = first.rstrip(".") + "."
    blocks = textwrap.wrap(first, 96 - indent)
    if rest:
        blocks += ["", *textwrap.wrap(rest, 96 - indent)]
    blocks[0] = '"""' + blocks[0]
    if len(blocks) == 1:
        blocks[0] += '"""'
    else:
        blocks.append('"""')
    return [(" " * indent + line).rstrip() for line in blocks]


def snake(name: str) -> str:
    """Turn CreateImage into create_image."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


if __name__ == "__main__":
    generate(Path(sys.argv[1]), Path(sys.argv[2]))
