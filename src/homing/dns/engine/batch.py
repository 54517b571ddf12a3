"""UDP sockets read and written in batches: by recvmmsg and sendmmsg where the system has them, else one by one.

The octets of a packet behind its id are taken out of the buffer by a ``struct.Struct`` made for each length, which is
some four times faster than a slice; its response takes their place, so ids and clients go back from where they came.
"""

from __future__ import annotations

import ctypes
import errno
import ipaddress
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any, Protocol

from homing.dns.engine.answers import Answers, Client
from homing.dns.stats import Event

BATCH = 128
"""Packets taken from a socket at a time."""

MAX_QUERY = 2048
"""Octets read of one packet; a longer one counts as cut off, which is a format error."""

_SLOT = 2048 + 64
"""Octets kept for a packet and then its response; no power of two, else slots meet in one corner of the cache."""

_ID = 2

_TAKE = tuple(struct.Struct(f"{max(size - _ID, 0)}s").unpack_from for size in range(MAX_QUERY + 1))
"""By the length of a packet: takes what is behind its id."""

_PUT = tuple(struct.Struct(f"{size}s").pack_into for size in range(MAX_QUERY - _ID + 1))
"""By the length of a response without its id: puts it into a buffer."""


class UdpSocket(Protocol):
    """A bound, non-blocking socket that answers."""

    def serve(self) -> int:
        """Answer up to ``BATCH`` packets that wait; how many there were."""
        ...

    def send(self, packet: bytes, client: Client) -> None:
        """Send a response that was found elsewhere."""
        ...


def udp_socket(sock: socket.socket, answers: Answers, *, batches: bool | None = None) -> UdpSocket:
    """The way to serve a socket: in batches where the system can, unless ``batches`` says."""
    if batches or (batches is None and can_batch()):
        return BatchSocket(sock, answers)
    return PlainSocket(sock, answers)


def can_batch() -> bool:
    """Whether there are recvmmsg and sendmmsg (Linux)."""
    return sys.platform == "linux" and hasattr(_libc(), "recvmmsg") and hasattr(_libc(), "sendmmsg")


class PlainSocket:
    """One packet at a time, on any system."""

    def __init__(self, sock: socket.socket, answers: Answers) -> None:
        self._socket = sock
        self._answers = answers
        self._packet = b""
        self._client: Client = ("", 0)

    def serve(self) -> int:
        """Answer up to ``BATCH`` packets that wait; how many there were."""
        answers = self._answers
        for count in range(BATCH):
            try:
                self._packet, self._client = self._socket.recvfrom(MAX_QUERY)
            except BlockingIOError:
                return count
            except OSError:  # a reported ICMP error: the socket is fine, the next packet may be too
                continue
            answers.begin(self, 1)
            message = answers.one(self._packet[_ID:], 0)
            if message is not None:
                self.send(self._packet[:_ID] + message, self._client)
        return BATCH

    def send(self, packet: bytes, client: Client) -> None:
        """Send a response that was found elsewhere."""
        try:
            self._socket.sendto(packet, client)
        except OSError:  # a full send queue, no route, port 0: it is UDP, the client asks again
            self._answers.stats.events[Event.SEND_FAILED] += 1

    def ident(self, slot: int) -> bytes:
        """The id of the packet."""
        return self._packet[:_ID]

    def client(self, slot: int) -> Client:
        """Whom to answer."""
        return self._client

    def addresses(self) -> tuple[bytes, ...]:
        """The client's IP address."""
        return (self.packed(0),)

    def packed(self, slot: int) -> bytes:
        """The client's IP address."""
        return ipaddress.ip_address(self._client[0].partition("%")[0]).packed


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("len", ctypes.c_size_t))


class _Msghdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint32),
        ("iov", ctypes.c_void_p),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Mmsghdr(ctypes.Structure):
    _fields_ = (("hdr", _Msghdr), ("len", ctypes.c_uint32))


_HEADER = ctypes.sizeof(_Mmsghdr)
_NAME_SLOT = 32
_NAMES = {
    socket.AF_INET: (16, 4, struct.Struct("4s").unpack_from, struct.Struct("4x4s24x" * BATCH).unpack_from),
    socket.AF_INET6: (28, 8, struct.Struct("16s").unpack_from, struct.Struct("8x16s8x" * BATCH).unpack_from),
}
"""By family: octets of a socket address, where the IP address stands in it, what takes one out, and all."""


class BatchSocket:
    """Up to ``BATCH`` packets a system call. Each has a slot for its octets, then its response; one for its client."""

    def __init__(self, sock: socket.socket, answers: Answers) -> None:
        self._socket = sock
        self._answers = answers
        self._name_size, self._address_at, self._take_address, self._take_addresses = _NAMES[sock.family]
        self._buffer, buffer = _memory(BATCH * _SLOT)
        self._names, names = _memory(BATCH * _NAME_SLOT)
        self._recv_iov, recv_iov = _vectors(buffer)
        self._send_iov, send_iov = _vectors(buffer)
        self._recv = _headers(names, self._name_size, recv_iov)
        self._send = _headers(names, self._name_size, send_iov)
        self._lengths = memoryview(self._recv).cast("B").cast("I")[_Mmsghdr.len.offset // 4 :: _HEADER // 4]
        self._sizes: memoryview[int] = memoryview(self._send_iov).cast("B").cast("N")[1::2]  # type: ignore[call-overload]  # size_t
        self._recv_call = (ctypes.c_int(sock.fileno()), ctypes.byref(self._recv), ctypes.c_uint(BATCH))
        self._flags = ctypes.c_int(socket.MSG_DONTWAIT)
        self._recvmmsg, self._sendmmsg = _libc().recvmmsg, _libc().sendmmsg

    def serve(self) -> int:
        """Answer up to ``BATCH`` packets that wait; how many there were."""
        count: int = self._recvmmsg(*self._recv_call, self._flags, None)
        if count <= 0:
            return 0
        answers = self._answers
        answers.begin(self, count)
        if answers.patience > 0 and not answers.guarded:
            silent = self._answer_cached(count)
        else:
            silent = self._answer_all(count, answers.one if answers.guarded else answers.answer)
        start = 0
        for gap in (*silent, count):
            self._flush(start, gap)
            start = gap + 1
        return count

    def _answer_cached(self, count: int) -> list[int]:
        """Answer a batch, from the cache what is there; the slots that get no response."""
        answers, buffer, sizes = self._answers, self._buffer, self._sizes
        found, miss, take, put = answers.cache.get, answers.answer, _TAKE, _PUT
        silent: list[int] = []
        slot, offset, misses = 0, _ID, 0
        for length in self._lengths[:count].tolist():
            query: bytes = take[length](buffer, offset)[0]
            entry = found(query)
            if entry is not None:
                entry.uses += 1
                message: bytes | None = entry.message
            else:
                misses += 1
                message = miss(query, slot)
            if message is not None:
                size = len(message)
                put[size](buffer, offset, message)
                sizes[slot] = size + _ID
            else:
                silent.append(slot)
            slot += 1  # noqa: SIM113 - enumerate makes a tuple for each
            offset += _SLOT
        answers.end(count, misses)
        return silent

    def _answer_all(self, count: int, answer: Callable[[bytes, int], bytes | None]) -> list[int]:
        """The same where the cache is of no use."""
        buffer, sizes, take, put = self._buffer, self._sizes, _TAKE, _PUT
        silent: list[int] = []
        slot, offset = 0, _ID
        for length in self._lengths[:count].tolist():
            message = answer(take[length](buffer, offset)[0], slot)
            if message is not None:
                size = len(message)
                put[size](buffer, offset, message)
                sizes[slot] = size + _ID
            else:
                silent.append(slot)
            slot += 1  # noqa: SIM113 - enumerate makes a tuple for each
            offset += _SLOT
        return silent

    def send(self, packet: bytes, client: Client) -> None:
        """Send a response that was found elsewhere."""
        PlainSocket(self._socket, self._answers).send(packet, client)

    def ident(self, slot: int) -> bytes:
        """The id of a packet."""
        return bytes(self._buffer[slot * _SLOT : slot * _SLOT + _ID])

    def addresses(self) -> tuple[bytes, ...]:
        """The IP addresses of all clients."""
        return self._take_addresses(self._names)

    def packed(self, slot: int) -> bytes:
        """The IP address of a client."""
        address: bytes = self._take_address(self._names, slot * _NAME_SLOT + self._address_at)[0]
        return address

    def client(self, slot: int) -> Client:
        """Whom to answer."""
        at = slot * _NAME_SLOT
        host = socket.inet_ntop(self._socket.family, self.packed(slot))
        port = int.from_bytes(self._names[at + 2 : at + 4])
        if self._socket.family == socket.AF_INET:
            return (host, port)
        return (host, port, 0, int.from_bytes(self._names[at + 24 : at + 28], sys.byteorder))

    def _flush(self, start: int, end: int) -> None:
        """Send the responses of these slots. One that the kernel does not take is left out: the client asks again."""
        while start < end:
            sent: int = self._sendmmsg(
                self._recv_call[0], ctypes.byref(self._send, start * _HEADER), ctypes.c_uint(end - start), self._flags
            )
            if sent > 0:
                start += sent
            elif ctypes.get_errno() != errno.EINTR:
                self._answers.stats.events[Event.SEND_FAILED] += 1
                start += 1


def _memory(size: int) -> tuple[bytearray, int]:
    """Memory that stays where it is, and where that is."""
    held = bytearray(size)
    return held, ctypes.addressof((ctypes.c_char * size).from_buffer(held))


def _vectors(buffer: int) -> tuple[Any, int]:
    """For each slot where its octets are, and the address of all that."""
    vectors = (_Iovec * BATCH)(*(_Iovec(buffer + slot * _SLOT, MAX_QUERY) for slot in range(BATCH)))
    return vectors, ctypes.addressof(vectors)


def _headers(names: int, name_size: int, vectors: int) -> Any:
    headers = (_Mmsghdr * BATCH)()
    for slot in range(BATCH):
        header = headers[slot].hdr
        header.name, header.namelen = names + slot * _NAME_SLOT, name_size
        header.iov, header.iovlen = vectors + slot * ctypes.sizeof(_Iovec), 1
    return headers


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
