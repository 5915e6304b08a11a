"""Generates the Python stubs from the .proto files, and the images that `buf` lints and compares.

It runs in an environment of its own (requirements/proto.txt): the version of the generator is the
oldest runtime that the stubs support. Nothing imports it.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import google.api.field_behavior_pb2
import protovalidate
from google.protobuf import any_pb2, descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2
from grpc_tools import protoc

HERE = Path(__file__).resolve().parent
GOOGLEAPIS = Path(google.api.field_behavior_pb2.__file__).parents[2]
RULES = "buf/validate/validate.proto"
WELL_KNOWN = (any_pb2, descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2)


def main() -> None:
    """Writes the stubs, or with --image only the descriptors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--protos", type=Path, default=HERE, help="the folder that holds artemis/")
    parser.add_argument("--out", type=Path, default=HERE, help="the folder to write the stubs below")
    parser.add_argument("--image", type=Path, help="write this descriptor set instead of stubs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        image = describe(options.protos, Path(scratch))
        if options.image:
            options.image.write_bytes(image.SerializeToString(deterministic=True))
        else:
            write_stubs(without_rules_import(image), options.out, Path(scratch))


def describe(protos: Path, scratch: Path, *others: str) -> descriptor_pb2.FileDescriptorSet:
    """Returns the descriptors, with comments, of the contract, of `others`, and of all that these import."""
    rules, image = scratch / "rules.binpb", scratch / "image.binpb"
    rules.write_bytes(rule_descriptors().SerializeToString())
    run_protoc(
        f"--descriptor_set_in={rules}",
        f"--proto_path={protos}",
        f"--proto_path={GOOGLEAPIS}",
        "--include_imports",
        "--include_source_info",
        f"--descriptor_set_out={image}",
        *sorted(path.relative_to(protos).as_posix() for path in protos.glob("artemis/**/*.proto")),
        *others,
    )
    return descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes())


def rule_descriptors() -> descriptor_pb2.FileDescriptorSet:
    """Returns the descriptors of buf.validate, which the protovalidate package carries, and its imports."""
    files = descriptor_pb2.FileDescriptorSet()
    for module in WELL_KNOWN:
        module.DESCRIPTOR.CopyToProto(files.file.add())
    files.file.add().ParseFromString(protovalidate.ViolationPb.desc().file.proto.to_binary())
    return files


def without_rules_import(image: descriptor_pb2.FileDescriptorSet) -> descriptor_pb2.FileDescriptorSet:
    """Returns the descriptors without buf.validate.

    The rules stay in the options as extensions that a consumer's protobuf does not know and the
    server's validator does, so that consumers need no package for them.
    """
    kept = descriptor_pb2.FileDescriptorSet()
    for file in image.file:
        if file.name == RULES:
            continue
        copy = kept.file.add()
        copy.CopyFrom(file)
        del copy.dependency[:]
        copy.dependency.extend(name for name in file.dependency if name != RULES)
    return kept


def write_stubs(image: descriptor_pb2.FileDescriptorSet, out: Path, scratch: Path) -> None:
    """Writes `_pb2.py`, `_pb2.pyi`, `_pb2_grpc.py` and `_pb2_grpc.pyi` for each file of the contract."""
    stripped = scratch / "stripped.binpb"
    stripped.write_bytes(image.SerializeToString())
    names = [file.name for file in image.file if file.name.startswith("artemis/")]
    run_protoc(
        f"--descriptor_set_in={stripped}",
        f"--python_out={out}",
        f"--pyi_out={out}",
        f"--grpc_python_out={out}",
        f"--mypy_grpc_out=quiet:{out}",
        *names,
    )


def run_protoc(*arguments: str) -> None:
    """Runs protoc, which finds its plugin beside this Python and prints its own errors; exits when it fails."""
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    if protoc.main(["protoc", *arguments]):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
