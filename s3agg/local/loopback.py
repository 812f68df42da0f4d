"""A listening socket that only this machine can reach."""

from __future__ import annotations

import errno
import os
import socket

from s3agg.errors import S3aggError

ADDRESS = "127.0.0.1"


def needs_posix() -> S3aggError:
    """What a user of Windows is told."""
    return S3aggError("AWS on this machine needs Linux or macOS", "On Windows, use WSL")


def listen(port: int) -> socket.socket:
    """A socket listening on loopback; port 0 is a free one. Raises `S3aggError` when it cannot be had."""
    if os.name != "posix":
        raise needs_posix()
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # Without it a port stays taken for a minute after its last connection.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((ADDRESS, port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise S3aggError(
                f"Port {port} on {ADDRESS} is in use", "Stop what uses it, or choose another with --port"
            ) from error
        raise S3aggError(
            f"Port {port} on {ADDRESS} cannot be opened: {error}", "Choose another with --port"
        ) from error
    except BaseException:
        listener.close()
        raise
    return listener
