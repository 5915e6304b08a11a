"""Runs what a Markdown page shows: `console` blocks, `python` blocks, files, and tables of filters.

A `console` block is commands after `$ ` with the output below each. A block after "Save this as `NAME`:" is a file for
the commands below it. `grpcurl` is run when it is installed; otherwise `Grpcurl` makes the same calls in Python and
prints as grpcurl does.
"""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, cast
from urllib.request import urlopen

import grpc
from artemis.v1 import access_pb2
from google.api import client_pb2
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.e2e.command import MODULE, Command, terminal
from tests.e2e.processes import Process
from tests.e2e.servers import PATIENCE, Server, environment
from tests.e2e.wire import SERVICES, status_of
from tests.tools import find

ROOT = Path(__file__).parents[2]
GRPCURL = find("grpcurl")
"""The path of grpcurl, None if it is not installed."""
HOME = "/home/ada"
"""The home of the person who types what the pages show."""
PORT = ":50051"
"""The port that the pages call, on 127.0.0.1 or localhost."""
METRICS = ":9464"
"""The port of the metrics that the pages read."""
_BLOCK = re.compile(
    r"(?:[Ss]ave\sthis\sas\s`([^`\n]+)`:\n\n)?^```(\w*)\n(.*?)^```$|^(#)+ [^\n]*$",  # or a heading
    re.DOTALL | re.MULTILINE,
)
_TOKEN = re.compile(r'"(?:nextPage|resume)Token": "([^"]*)"')
_SQLITE3 = """
import sqlite3, sys
for row in sqlite3.connect(sys.argv[1]).execute(sys.argv[2]):
    print(*row, sep="|")
"""
_OF_A_RUN = (  # what differs between runs, or versions
    (re.compile(r"^\d{4}-\d\d-\d\dT\S+ INFO .*\n", re.MULTILINE), ""),  # the pages do not show the log of a command
    (re.compile(r"^\S+ WARNING artemis_models\.text_index: .*\n", re.MULTILINE), ""),  # where pg_trgm is not installed
    (re.compile(r'"(create|update|change)Time": "[^"]*"'), r'"\1Time": "..."'),
    (re.compile(r'"(nextPage|resume)Token": "[^"]*"'), r'"\1Token": "..."'),
    (re.compile(r" +\d+\.\d\d +[\d,]+$", re.MULTILINE), ""),  # the last columns of a load
    (re.compile(r" +seconds  records/s$", re.MULTILINE), ""),  # and their titles, which are as wide as the numbers
    (re.compile(r"^connections: .+", re.MULTILINE), "connections: ..."),
    (re.compile(r"at revision \d{4}"), "at revision ..."),
    (re.compile(r"[\d,]+ bytes$", re.MULTILINE), "... bytes"),
    (re.compile(r"until \d{4}-\d\d-\d\d \d\d:\d\d UTC"), "until ..."),
    (re.compile(r"\t"), "  "),
    (re.compile(r"^(create|update)_time: .*$", re.MULTILINE), r"\1_time: ..."),
    (re.compile(r"^(created|updated|deleted) +\d{4}-\d\d-\d\d [\d:+]+ *", re.MULTILINE), r"\1  ...  "),
    (re.compile(r"request id: \w+"), "request id: ..."),
    (re.compile(r"Message: (Deadline Exceeded|context deadline exceeded)"), "Message: ..."),  # by who notices first
)


def text_of(page: str) -> str:
    """Returns the text of a page, named by its path in the repository."""
    return (ROOT / page).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Step:
    """A command, a Python program or a file of a page.

    The output is what the page shows for it, None if it shows none.
    """

    source: str
    output: str | None
    is_program: bool
    file: str = ""


def steps_of(page: str) -> Iterator[Step]:
    """Yields the commands, programs and files of a page in order.

    The output of a program is the block without a language that follows before the next heading.
    """
    blocks = [*_BLOCK.findall(text_of(page)), ("", "", "", "#")]
    for (file, language, block, _), (_, following, output, heading) in pairwise(blocks):
        if file:
            yield Step(block, None, is_program=False, file=file)
        elif language == "python":
            yield Step(block, None if following or heading else output, is_program=True)
        elif language == "console":
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, _, shown = part.partition("\n")
                yield Step(command, shown, is_program=False)


def table_of(page: str, *titles: str) -> list[list[str]]:
    """Returns the rows of all tables of a page whose first columns have these titles, without the backticks."""
    rows: list[list[str]] = []
    inside = False
    for line in text_of(page).splitlines():
        cells = [cell.strip() for cell in line[1:-1].split("|")] if line.startswith("|") else []
        if inside and cells and not cells[0].startswith("---"):
            rows.append([re.sub(r"^`(.*)`$", r"\1", cell) for cell in cells])
        inside = bool(cells) and (inside or tuple(cells[: len(titles)]) == titles)
    return rows


def same_in_every_run(output: str) -> str:
    """Returns an output without times, tokens, rates and tabs."""
    for pattern, replacement in _OF_A_RUN:
        output = pattern.sub(replacement, output)
    return output


class Shell:
    """Runs the steps of pages, one after the other, in the folder of the database `artemis.db`.

    The steps call the server of the target, if there is one, or the last one that they have started.
    """

    def __init__(self, folder: Path, target: str = "", instead: Mapping[str, str] | None = None) -> None:
        """Takes the folder, the server, and texts of the page with what stands for them in this run."""
        self._folder = folder
        self._instead = dict(instead or {})
        self._port = f":{target.rpartition(':')[2]}" if target else PORT
        self._server: Server | None = None
        self._tokens: dict[str, str] = {}
        (folder / "docs").symlink_to(ROOT / "docs")

    def close(self) -> None:
        """Ends the server that the steps have started."""
        if self._server is not None:
            self._server.end()
            self._server = None

    def run(self, step: Step) -> str:
        """Returns what a step prints. A token that the page shows is replaced by the one of this run."""
        if step.file:
            (self._folder / step.file).write_text(step.source, encoding="utf-8")
            return ""
        source = step.source.replace(PORT, self._port)
        for shown, real in (self._tokens | self._instead).items():
            source = source.replace(shown, real)
        output = self._run_program(source) if step.is_program else self._run_command(source)
        self._tokens.update(zip(_TOKEN.findall(step.output or ""), _TOKEN.findall(output), strict=False))
        return output.replace(self._port, PORT).replace(f"{self._folder}/", "")

    def _run_program(self, program: str) -> str:
        (self._folder / "program.py").write_text(program, encoding="utf-8")
        return self._output(sys.executable, "program.py")

    def _run_command(self, line: str) -> str:
        return self._run_on_terminal(line) if line.startswith("artemis ") else self._run(shlex.split(line))

    def _run_on_terminal(self, line: str) -> str:
        """Runs what a person types, as a shell does."""
        command = Command(self._folder, f"127.0.0.1{self._port}", HOME=str(self._folder), TERM="dumb")
        del command.variables["XDG_CONFIG_HOME"]
        script = f'artemis() {{ {shlex.quote(sys.executable)} -m {MODULE} "$@"; }}; {line}'
        with terminal(["bash", "-c", script], command.environment(), self._folder, columns=160) as screen:
            return screen.read().replace(str(self._folder), HOME)

    def _run(self, arguments: list[str]) -> str:
        arguments = [re.sub(r"\$\(cat (\S+)\)", lambda match: self._read(match[1]), each) for each in arguments]
        match arguments:
            case ["artemis-server", *rest]:
                return self._run_server(rest)
            case ["artemis-loader", *rest]:
                return "".join(self._program("artemis_loader", *rest))
            case ["make", "load-sample"]:
                load = ("load", "--config", "docs/samples/feeds.toml", "--log-level", "ERROR")
                return "".join(self._program("artemis_loader", *load))
        return self._run_tool(arguments)

    def _run_tool(self, arguments: list[str]) -> str:
        """Runs a program that is not ours."""
        match arguments:
            case ["grpcurl", *rest]:
                return self._output(str(GRPCURL), *rest) if GRPCURL else Grpcurl(self._folder, rest).run()
            case ["openssl", *_]:
                subprocess.run(arguments, check=True, capture_output=True, timeout=PATIENCE, cwd=self._folder)
                return ""
            case ["sqlite3", file, sql]:
                return self._output(sys.executable, "-c", _SQLITE3, file, sql)
            case ["cat", file]:
                return f"{self._read(file)}\n"
            case ["curl", "-s", url, "|", "grep", pattern]:
                with urlopen(url, timeout=PATIENCE) as page:  # noqa: S310, the page says http://127.0.0.1
                    lines = page.read().decode().splitlines(keepends=True)
                return "".join(line for line in lines if re.search(pattern, line))
        raise AssertionError(f"no test knows how to run {arguments}")

    def _read(self, file: str) -> str:
        return (self._folder / file).read_text(encoding="utf-8").strip()

    def _run_server(self, arguments: list[str]) -> str:
        match arguments:
            case ["serve", *flags]:
                return self._serve(flags)
            case [*command, ">", file]:
                out, err = self._program("artemis_server", *command)
                (self._folder / file).write_text(out, encoding="utf-8")
                return err
        return "".join(self._program("artemis_server", *arguments))

    def _serve(self, flags: list[str]) -> str:
        """Starts a server in the place of the last one. The page does not show its log."""
        self.close()
        free = [flag.replace(METRICS, ":0") for flag in flags]
        command = ("artemis_server", "serve", *free, "--listen", "127.0.0.1:0")
        self._server = Server(Process(command, _environment(), self._folder), self._folder / "artemis.db")
        self._port = f":{self._server.port}"
        if free != flags:
            self._instead[METRICS] = self._server.log.wait_for(r"metrics on http://127\.0\.0\.1(:\d+)/metrics")[1]
        return ""

    def _program(self, *command: str) -> tuple[str, str]:
        return Process(command, _environment(), self._folder).communicate(PATIENCE)

    def _output(self, *command: str) -> str:
        out, err = subprocess.PIPE, subprocess.STDOUT
        done = subprocess.run(
            command, stdout=out, stderr=err, text=True, timeout=PATIENCE, check=False,
            env=_environment(), cwd=self._folder,
        )  # fmt: skip
        return done.stdout


def _environment() -> dict[str, str]:
    """Returns that of a reader, who has no setting for the port."""
    return {name: value for name, value in environment().items() if name != "ARTEMIS_LISTEN"}


class Grpcurl:
    """Prints as grpcurl does what `list`, `describe SERVICE` and a call with `-d` print."""

    def __init__(self, folder: Path, arguments: list[str]) -> None:
        """Takes the arguments of the command, and the folder of the files that they name."""
        self._folder = folder
        self._flags: dict[str, str] = {}
        if arguments[0] == "-plaintext":
            arguments = arguments[1:]
        while arguments[0].startswith("-"):
            flag, self._flags[flag], *arguments = arguments
        self._target, *self._rest = arguments

    def run(self) -> str:
        """Returns what the command prints."""
        with self._channel() as channel:
            match self._rest:
                case ["list"]:
                    return "".join(f"{name}\n" for name in ProtoReflectionDescriptorDatabase(channel).get_services())
                case ["describe", name]:
                    return _described(name)
                case [method]:
                    return self._call(channel, method, self._flags.get("-d", "{}"))
        raise AssertionError(f"no test knows how to run grpcurl {self._rest}")

    def _channel(self) -> grpc.Channel:
        if "-cacert" not in self._flags:
            return grpc.insecure_channel(self._target)
        ca, key, cert = (self._pem(flag) for flag in ("-cacert", "-key", "-cert"))
        return grpc.secure_channel(self._target, grpc.ssl_channel_credentials(ca, key, cert))

    def _pem(self, flag: str) -> bytes | None:
        return (self._folder / self._flags[flag]).read_bytes() if flag in self._flags else None

    def _call(self, channel: grpc.Channel, path: str, request: str) -> str:
        header, _, value = self._flags.get("-H", "").partition(": ")
        service, _, name = path.partition("/")
        services = [*SERVICES, health_pb2.DESCRIPTOR.services_by_name["Health"]]
        method = next(each for each in services if each.full_name == service).methods_by_name[name]
        call: grpc.UnaryStreamMultiCallable[Message, Message] = channel.unary_stream(  # one response is a stream, too
            f"/{path}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        sent = GetMessageClass(method.input_type)()
        json_format.ParseDict(_with_masks(json.loads(request)), sent)
        timeout, printed = float(self._flags.get("-max-time", PATIENCE)), ""
        try:
            for answer in call(sent, timeout=timeout, metadata=((header, value),) if header else ()):
                printed += f"{json_format.MessageToJson(answer, ensure_ascii=False)}\n"
            return printed
        except grpc.RpcError as error:
            if "-max-time" in self._flags:
                return f"{printed}ERROR:\n  Code: DeadlineExceeded\n  Message: context deadline exceeded\n"
            return printed + _failure(cast("grpc.Call", error))


def _with_masks(value: Any) -> Any:
    """Returns a request with masks as protobuf's JSON has them: {"paths": ["owner_id", "name"]} is "ownerId,name"."""
    match value:
        case {"paths": [*paths]}:
            return re.sub("_(.)", lambda match: match[1].upper(), ",".join(paths))
        case dict():
            return {name: _with_masks(each) for name, each in value.items()}
        case list():
            return [_with_masks(each) for each in value]
    return value


def _failure(error: grpc.Call) -> str:
    code = "".join(word.capitalize() for word in error.code().name.split("_"))
    lines = ["ERROR:", f"  Code: {code}", f"  Message: {error.details()}", "  Details:"]
    for number, detail in enumerate(status_of(error).details, start=1):
        shown = json_format.MessageToDict(detail, preserving_proto_field_name=True)
        if "metadata" in shown:
            shown["metadata"] = dict(sorted(shown["metadata"].items()))
        first, *rest = json.dumps(dict(sorted(shown.items())), indent=2, ensure_ascii=False).splitlines()
        lines += [f"  {number})\t{first}", *(f"    \t{line}" for line in rest)]
    return "\n".join(lines) + "\n"


def _signatures(method: MethodDescriptor) -> str:
    return "".join(
        f'    option (.google.api.method_signature) = "{signature}";\n'
        for signature in method.GetOptions().Extensions[client_pb2.method_signature]
    )


def _role(method: MethodDescriptor) -> str:
    option: Any = access_pb2.required_role  # protoc's type of it does not fit
    return str(access_pb2.Role.Name(method.GetOptions().Extensions[option]))


def _described(name: str) -> str:
    service = next(each for each in SERVICES if each.full_name == name)
    methods = "".join(
        f"  rpc {method.name} ( .{method.input_type.full_name} )"
        f" returns ( {'stream ' * method.server_streaming}.{method.output_type.full_name} ) {{\n"
        f"    option (.artemis.v1.required_role) = {_role(method)};\n{_signatures(method)}  }}\n"
        for method in sorted(service.methods, key=lambda method: method.name)
    )
    return f"{name} is a service:\nservice {service.name} {{\n{methods}}}\n"
