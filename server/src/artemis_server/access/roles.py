"""Roles: the names that operators give them, and the role that each method of the contract needs."""

from collections.abc import Iterable
from typing import Any

from artemis.v1 import access_pb2
from google.protobuf.descriptor import ServiceDescriptor

from artemis_server.settings import ROLES, SettingsError

NAMES: dict[int, str] = {access_pb2.Role.Value(f"ROLE_{name.upper()}"): name for name in ROLES}
"""The name of each value of artemis.v1.Role, such as "writer"."""
VALUES: dict[str, int] = {name: value for value, name in NAMES.items()}
_REQUIRED_ROLE: Any = access_pb2.required_role  # the stub does not say what kind of extension it is


def required_roles(services: Iterable[ServiceDescriptor]) -> dict[str, int]:
    """Returns the role that each method needs, by its full name, such as "/artemis.v1.EventService/GetEvent".

    Raises:
        SettingsError: the .proto file does not say which role a method needs.
    """
    required: dict[str, int] = {}
    for service in services:
        for method in service.methods:
            role: int = method.GetOptions().Extensions[_REQUIRED_ROLE]
            if role not in NAMES:
                raise SettingsError(f"{method.full_name} has no option (artemis.v1.required_role) in its .proto file")
            required[f"/{service.full_name}/{method.name}"] = role
    return required
