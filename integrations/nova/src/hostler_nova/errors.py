"""What a caller in Nova sees when a call fails: one table from reasons to Nova's exceptions."""

from __future__ import annotations

import enum
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable

import hostler
from nova import exception
from oslo_concurrency import processutils

Maker = Callable[[str, hostler.HostlerError], Any]
ANY = "*"


class Work(enum.Enum):
    """What Nova wanted, because that decides which exceptions it expects."""

    #: A description of an image.
    INSPECT = "inspect"
    #: A new image.
    CREATE = "create"
    #: An image in another format.
    CONVERT = "convert"
    #: An image from Glance.
    FETCH = "fetch"
    #: What the old code did with a command, such as cp and chown.
    COMMAND = "command"
    #: What the old code did with a system call.
    FILE = "file"
    #: The root disk in the XML of a domain.
    DOMAIN = "domain"
    #: The name of an architecture.
    ARCHITECTURE = "architecture"


def reason_of(error: hostler.HostlerError) -> str:
    """Return the reason of docs/errors.md; empty if no daemon answered."""
    return error.reason if isinstance(error, hostler.StatusError) else ""


def facts_of(error: hostler.HostlerError) -> dict[str, str]:
    """Return the facts of an error of the daemon."""
    return dict(error.facts) if isinstance(error, hostler.StatusError) else {}


def failed_command(subject: str, error: hostler.HostlerError) -> Any:
    """Make the error of a command that has failed."""
    facts = facts_of(error)
    code = facts.get("exit_code", "")
    return processutils.ProcessExecutionError(
        cmd=f"hostler: {subject}",
        exit_code=int(code) if code.isdecimal() else 1,
        stdout="",
        stderr="\n".join(filter(None, (str(error), facts.get("stderr")))),
        description=reason_of(error) or "no answer from hostlerd",
    )


def system_error(number: int) -> Maker:
    """Make an OSError of that number: Python has types for the usual ones."""
    return lambda subject, error: OSError(number, f"{os.strerror(number)}: {error}", subject)


def unacceptable(subject: str, error: hostler.HostlerError) -> Any:
    """Make the error of an image that Nova does not use."""
    return exception.ImageUnacceptable(image_id=subject, reason=str(error))


def invalid_disk(subject: str, error: hostler.HostlerError) -> Any:
    """Make the error of a disk that cannot be described."""
    return exception.InvalidDiskInfo(reason=f"{subject}: {error}")


def no_disk(subject: str, error: hostler.HostlerError) -> Any:
    """Make the error of a disk that is not there."""
    return exception.DiskNotFound(location=subject)


def no_image(subject: str, error: hostler.HostlerError) -> Any:
    """Make the error of an image that Glance does not have."""
    return exception.ImageNotFound(image_id=subject)


def not_authorized(subject: str, error: hostler.HostlerError) -> Any:
    """Make the error of an image that Glance does not give to this caller."""
    return exception.ImageNotAuthorized(image_id=subject)


def no_glance(subject: str, error: hostler.HostlerError) -> Any:
    """Make the error of a Glance that does not answer."""
    server = facts_of(error).get("source", "glance")
    return exception.GlanceConnectionFailed(server=server, reason=str(error))


def no_root_disk(subject: str, error: hostler.HostlerError) -> Any:
    """Make the error of a domain without a root disk."""
    return RuntimeError(f"{subject} has no root disk that can be found: {error}")


def no_architecture(subject: str, error: hostler.HostlerError) -> Any:
    """Make the error of an architecture that nobody knows."""
    return exception.InvalidArchitectureName(arch=subject)


def too_large(subject: str, error: hostler.HostlerError) -> Any:
    """Make the error of an image that does not fit into the disk of its flavor."""
    facts = facts_of(error)
    size = facts.get("virtual_size_bytes") or facts.get("bytes", "")
    sizes = [facts.get("allowed", ""), size]
    if not all(each.isdecimal() for each in sizes):  # A limit of hostlerd, not of the flavor.
        return unacceptable(subject, error)
    return exception.FlavorDiskSmallerThanImage(flavor_size=int(sizes[0]), image_size=int(sizes[1]))


Row = dict[str, Maker]
NO_SPACE = system_error(errno.ENOSPC)
TABLE: dict[Work, Row] = {
    Work.INSPECT: {
        "IMAGE_NOT_FOUND": no_disk,
        "FILE_NOT_FOUND": no_disk,
        ANY: invalid_disk,
    },
    Work.CREATE: {
        "IMAGE_UNSAFE": invalid_disk,
        "BASE_HAS_BACKING_FILE": invalid_disk,
        "FORMAT_MISMATCH": invalid_disk,
        "IMAGE_MALFORMED": invalid_disk,
        ANY: failed_command,
    },
    Work.CONVERT: {ANY: unacceptable},
    Work.FETCH: {
        "SOURCE_NOT_FOUND": no_image,
        "SOURCE_REFUSED": not_authorized,
        "SOURCE_UNAVAILABLE": no_glance,
        "STALLED": no_glance,
        "IMAGE_TOO_LARGE": too_large,
        "NO_SPACE": NO_SPACE,
        ANY: unacceptable,
    },
    Work.COMMAND: {
        "TOOL_MISSING": system_error(errno.ENOENT),
        "COMMAND_NOT_FOUND": system_error(errno.ENOENT),
        ANY: failed_command,
    },
    Work.DOMAIN: {ANY: no_root_disk},
    Work.ARCHITECTURE: {"INVALID_FIELD": no_architecture, ANY: failed_command},
    Work.FILE: {
        "FILE_NOT_FOUND": system_error(errno.ENOENT),
        "PARENT_NOT_FOUND": system_error(errno.ENOENT),
        "NOT_A_FILE": system_error(errno.EISDIR),
        "NOT_A_DIRECTORY": system_error(errno.ENOTDIR),
        "ACCESS_DENIED": system_error(errno.EACCES),
        "PATH_OUTSIDE_ROOTS": system_error(errno.EACCES),
        "METHOD_NOT_ALLOWED": system_error(errno.EACCES),
        "NOT_AUTHENTICATED": system_error(errno.EACCES),
        "ROOT_READ_ONLY": system_error(errno.EROFS),
        "PATH_BUSY": system_error(errno.EBUSY),
        "IMAGE_IN_USE": system_error(errno.EBUSY),
        "IMAGE_HAS_DEPENDANTS": system_error(errno.EBUSY),
        "NO_SPACE": NO_SPACE,
        ANY: system_error(errno.EIO),
    },
}


def translated(work: Work, subject: str, error: hostler.HostlerError) -> Exception:
    """Return the exception that Nova's own code would have raised."""
    row = TABLE[work]
    made: Exception = row.get(reason_of(error), row[ANY])(subject, error)
    return made


@contextmanager
def as_nova(work: Work, subject: object) -> Iterator[None]:
    """Raise the errors of calls as Nova's exceptions; subject is the path or image."""
    try:
        yield
    except hostler.HostlerError as error:
        raise translated(work, str(subject), error) from error
