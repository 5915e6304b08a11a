"""Errors as people read them: what the server said, field by field, and a hint."""

from collections.abc import Iterator

import click
import grpc

from artemis_client import ArtemisError
from artemis_client.cli.options import Flags
from artemis_client.cli.output.escape import for_terminal
from artemis_client.cli.settings import Settings, resolve

_CAUSES = {
    "WRONG_VERSION_NUMBER": "the server has no TLS: leave out --tls, --ca and --cert",
    "CERTIFICATE_VERIFY_FAILED": "--ca must name the file with the authority of the server's certificate",
    "Socket closed": "the server may need TLS (--ca or --tls), or your certificate (--cert and --key)",
}
"""Hints by what gRPC says about a connection."""
_ABORTED = "somebody changed it since it was read: read it again"
_DEADLINE = "--timeout waits longer; a write may have been made, so look before you repeat it"
_EXPIRED = "list the events again, and watch without --resume-from"
_HINTS = {grpc.StatusCode.ABORTED: _ABORTED, grpc.StatusCode.DEADLINE_EXCEEDED: _DEADLINE}


def describe(error: ArtemisError, flags: Flags, where: str = "") -> str:
    """Returns the lines that tell a person what failed. `where` goes before the message, such as "line 7: "."""
    lines = [f"artemis: {error.code.name}: {where}{error.message}", *_details(error)]
    if hint := _hint(error, resolve(flags)):
        lines.append(f"  hint: {hint}")
    return "\n".join(map(for_terminal, lines))


def show(error: Exception, flags: Flags) -> int:
    """Shows an error on stderr and returns the exit code 1. Raises it again if it is a fault of the program."""
    if isinstance(error, ArtemisError):
        click.echo(describe(error, flags), err=True)
    elif isinstance(error, OSError):
        named = f"{error.filename}: " if error.filename else ""
        click.echo(f"artemis: {named}{error.strerror or error}", err=True)
    else:
        raise error
    return 1


def _details(error: ArtemisError) -> Iterator[str]:
    for violation in error.violations:
        rule = f" ({violation.reason})" if violation.reason else ""
        yield f"  {violation.field}: {violation.description}{rule}"
    if error.reason:
        yield f"  reason: {error.reason}"
    if error.request_id:
        yield f"  request id: {error.request_id}"


def _hint(error: ArtemisError, settings: Settings) -> str:
    if error.reason == "RESUME_TOKEN_EXPIRED":
        return _EXPIRED
    if error.code is grpc.StatusCode.PERMISSION_DENIED and "role" in error.metadata:
        return f"the caller needs the role {error.metadata['role']}"
    if error.code is grpc.StatusCode.UNAUTHENTICATED:
        return _about_token(settings)
    cause = next((hint for text, hint in _CAUSES.items() if text in error.message), "")
    if error.code is grpc.StatusCode.UNAVAILABLE and not error.details:
        target = f"the server is {settings.target}, from {settings.origin('target')}"
        return cause or f"{target}; --target, ARTEMIS_TARGET or a profile name another"
    return cause or _HINTS.get(error.code, "")


def _about_token(settings: Settings) -> str:
    for name in ("token", "token_file"):
        if name in settings.values:
            return f"the token is from {settings.origin(name)}; is it still valid, and is it for {settings.target}?"
    return "give a token by --token-file, ARTEMIS_TOKEN, ARTEMIS_TOKEN_FILE or a profile"
