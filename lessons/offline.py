r"""No network: a connection to another machine, or the look-up of its name, becomes an error.

The tests and the lessons must run on an aeroplane. This makes the aeroplane: an audit hook, which sees what every
Python library does with sockets and which nothing can take off again. Sockets on this machine (loopback, Unix) still
work, as Jupyter and `torchrun` need them.
"""

import ipaddress
import socket
import sys

LOOK_UPS = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}
CONNECTIONS = {"socket.connect", "socket.sendto", "socket.sendmsg"}


class NetworkUsed(OSError):
    """Something asked for another machine."""


def block() -> None:
    """From now on, and until this process ends, only this machine can be reached."""
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple) -> None:
    if event in LOOK_UPS:
        host = arguments[0]
    elif event in CONNECTIONS and isinstance(arguments[1], tuple):  # the address of a Unix socket is a path
        host = arguments[1][0]
    else:
        return
    if not _is_this_machine(host):
        raise NetworkUsed(f"{event} for {host!r}: lessons and tests must run without a network")


def _is_this_machine(host: str | bytes | None) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost", socket.gethostname()):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
