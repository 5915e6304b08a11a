"""The gate lets calls in by their principals, and by the roles that the methods need."""

from collections.abc import Callable, Mapping

import grpc

from artemis_server.access.control import INVALID, AccessControl
from artemis_server.access.principal import Principal
from artemis_server.access.roles import NAMES
from artemis_server.errors import PermissionDenied, ResourceExhausted, Unauthenticated
from artemis_server.rpc.incoming import IncomingCall
from artemis_server.rpc.lanes import grpc_status


class AccessGate:
    """Lets in the calls whose principals have the role of the method. `calls.Gate` describes its methods.

    The request of a refused call has not been received, so the refusal depends neither on it nor on stored data.
    """

    def __init__(self, control: AccessControl, roles: Mapping[str, int]) -> None:
        """`roles` has the role that each method needs, by its full name. No other method may be called."""
        self._control = control
        self._roles = roles

    def check(self, call: IncomingCall) -> grpc.Status | None:
        """Returns the error of a call that is not let in. It sets the principal, if that is known at once."""
        try:
            principal = self._control.identify(call.metadata, lambda: call.auth_context)
        except Unauthenticated as error:
            return grpc_status(error)
        return None if principal is None else self._authorize(call, principal)

    def verify(self, call: IncomingCall, admit: Callable[[], None]) -> None:
        """Sets the principal on another thread, and calls `admit` there, or refuses the call."""

        def on_result(principal: Principal | None) -> None:
            refusal = _INVALID if principal is None else self._authorize(call, principal)
            if refusal is None:
                admit()
            else:
                call.refuse(refusal)

        if not self._control.verify(call.metadata, on_result):
            call.refuse(_TOO_MANY)

    def recheck(self, call: IncomingCall) -> None:
        """Ends a call that goes on for long if its caller would not be let in any more, perhaps a moment later."""

        def on_result(principal: Principal | None) -> None:
            refusal = _INVALID if principal is None else self._authorize(call, principal)
            if refusal is not None:
                call.refuse(refusal)

        metadata = call.metadata
        if not metadata:  # it has ended
            return
        try:
            principal = self._control.identify(metadata, lambda: call.auth_context)
        except Unauthenticated as error:
            call.refuse(grpc_status(error))
            return
        if principal is None:
            self._control.verify(metadata, on_result)
        else:
            on_result(principal)

    def _authorize(self, call: IncomingCall, principal: Principal) -> grpc.Status | None:
        call.principal = principal
        required = self._roles.get(call.method)
        return None if required is not None and principal.role >= required else _DENIED.get(required, _DENIED_TO_ALL)


def _denied(role: str) -> grpc.Status:
    return grpc_status(PermissionDenied("ROLE_REQUIRED", f"the method needs the role {role}", values={"role": role}))


_DENIED: dict[int | None, grpc.Status] = {value: _denied(name) for value, name in NAMES.items()}
_DENIED_TO_ALL = _denied("admin")
_INVALID = grpc_status(Unauthenticated("CREDENTIALS_INVALID", INVALID))
_TOO_MANY = grpc_status(
    ResourceExhausted("TOO_MANY_CALLS", "too many callers wait for the check of their credentials; try again later")
)
