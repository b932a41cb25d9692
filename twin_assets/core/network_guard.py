"""The guard on the web client's sockets: public addresses only, and never past the request's deadline."""

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from functools import cache
from typing import Any

import httpcore
import httpx

from twin_assets.core.errors import BlockedAddressError


class Deadline(threading.local):
    """When the request of this thread must be over (monotonic seconds)."""

    end = float("inf")

    def start(self, seconds: float) -> None:
        """Allow the request that begins now this many seconds."""
        self.end = time.monotonic() + seconds

    def left(self, timeout: float | None) -> float:
        """The shorter of `timeout` and what is left; raises httpcore.ReadTimeout when nothing is."""
        left = self.end - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the time allowed for the whole request is over")
        return left if timeout is None else min(left, timeout)


@cache
def _certificates() -> ssl.SSLContext:
    """The authorities a server must be vouched for by; read once a process, as it takes 40 ms."""
    return httpx.create_ssl_context(trust_env=False)


class GuardedTransport(httpx.HTTPTransport):
    """httpx's transport over a pool whose sockets are opened by the guarded backend."""

    def __init__(self, backend: "GuardedBackend") -> None:
        super().__init__(verify=_certificates(), trust_env=False)
        self._pool.close()
        self._pool = httpcore.ConnectionPool(ssl_context=_certificates(), max_connections=16, network_backend=backend)


class GuardedBackend(httpcore.NetworkBackend):
    """Resolves the name, refuses addresses that are not public, and connects to the very one it checked."""

    def __init__(self, allowed: frozenset[str], deadline: Deadline) -> None:
        self._allowed = allowed
        self._deadline = deadline
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """A connection to the first address of `host` that may be opened."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"the name {host} is not known") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if not is_allowed(self._allowed, host, port):
            public = [address for address in addresses if is_public(address)]
            if not public:
                raise BlockedAddressError(
                    f"{host} leads to {', '.join(addresses)}, which is no public address, so it is not "
                    f"opened; if it is yours, allow it by name: TWIN_ALLOWED_HOSTS={host}:{port}.",
                    url=f"{host}:{port}",
                )
            addresses = public
        for position, address in enumerate(addresses):
            try:
                stream = self._sockets.connect_tcp(address, port, self._deadline.left(timeout), local_address)
                return TimedStream(stream, self._deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if position == len(addresses) - 1:
                    raise
        raise httpcore.ConnectError(f"the name {host} has no address")

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        """Never: a URL does not open local sockets."""
        raise httpcore.ConnectError(f"Unix sockets are not opened ({path})")

    def sleep(self, seconds: float) -> None:
        """Part of the interface; the pool's own retries are off."""
        time.sleep(seconds)


class TimedStream(httpcore.NetworkStream):
    """A stream whose every read and write ends at the request's deadline, however slowly the bytes drip."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        secured = self._stream.start_tls(ssl_context, server_hostname, self._deadline.left(timeout))
        return TimedStream(secured, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def is_public(address: str) -> bool:
    """True for an address of the public internet; one wrapped in IPv6 (mapped, 6to4, NAT64) is unwrapped."""
    ip = ipaddress.ip_address(address.split("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        wrapped = ip.ipv4_mapped or ip.sixtofour
        if ip in ipaddress.ip_network("64:ff9b::/96"):
            wrapped = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if wrapped is not None:
            return is_public(str(wrapped))
        if ip.teredo is not None or ip.is_site_local:
            return False
    return ip.is_global and not ip.is_multicast


def is_allowed(allowed: frozenset[str], host: str, port: int | None) -> bool:
    """True where the operator allowed the host, or this port of it, by name."""
    return host.lower() in allowed or f"{host.lower()}:{port}" in allowed
