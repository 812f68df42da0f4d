"""A listening socket on loopback."""

from __future__ import annotations

import errno
import os
import socket

from s3agg.errors import S3aggError

ADDRESS = "127.0.0.1"


def needs_posix() -> S3aggError:
    """The error on Windows."""
    return S3aggError("The AWS emulator requires Linux or macOS", "On Windows, use WSL")


def listen(port: int) -> socket.socket:
    """A socket that listens on loopback; port 0 selects a free port. Raises `S3aggError` if that fails."""
    if os.name != "posix":
        raise needs_posix()
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # Without it, a port stays in use for a minute after its last connection.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((ADDRESS, port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise S3aggError(
                f"Port {port} on {ADDRESS} is in use", "Stop the program that uses it, or pass another --port"
            ) from error
        raise S3aggError(
            f"Failed to open port {port} on {ADDRESS}: {error}", "Pass another --port"
        ) from error
    except BaseException:
        listener.close()
        raise
    return listener
