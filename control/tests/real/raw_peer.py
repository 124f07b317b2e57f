"""One end of a TCP connection by a raw socket: its segments are what a test wants them to be. Its kernel knows nothing of it,
and must not answer: its host drops what does not have the MARK. To be put in front of the program that uses it.
"""
import select
import socket
import struct
import sys
import time

FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
FIRST = 0xFFFFFF00  # the stream wraps around


class Peer:
    def __init__(self, address, port, mark):
        self.family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.server_port = port
        self.raw = socket.socket(self.family, socket.SOCK_RAW, socket.IPPROTO_TCP)
        self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        self.raw.connect((address, 0))
        self.addresses = [socket.inet_pton(self.family, at[0]) for at in (self.raw.getsockname(), (address, 0))]

    def open(self, port):
        self.port, self.next, self.acked, self.echo = port, 0, FIRST, 0
        self.send(-1, b"", flags=SYN, options=bytes([2, 4, 5, 140]))
        self.until(lambda: self.next) or sys.exit("no SYN-ACK")
        self.send(0, b"")

    def send(self, at, data, flags=ACK | PSH, ttl=64, bad=False, older=0, signed=False, ack=0, urgent=0, options=b""):
        options += bytes([1, 1, 8, 10]) + struct.pack("!II", self.now() - older & 0xFFFFFFFF, self.echo)
        options += (bytes([1, 1, 19, 18]) + bytes(16)) * signed
        words = (self.port, self.server_port, FIRST + at & 0xFFFFFFFF, self.next + ack & 0xFFFFFFFF * bool(flags & ACK))
        words += ((5 + len(options) // 4) << 4, flags, 64000, 0, urgent)
        tcp = struct.pack("!HHIIBBHHH", *words) + options + data
        total = checksum(b"".join(self.addresses) + struct.pack("!II", len(tcp), 6) + tcp) ^ (0x5555 * bad)
        level, hops = (socket.IPPROTO_IP, socket.IP_TTL)
        if self.family == socket.AF_INET6:
            level, hops = (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)
        self.raw.setsockopt(level, hops, ttl)
        self.raw.send(tcp[:16] + struct.pack("!H", total) + tcp[18:])

    def now(self):
        return int(time.monotonic() * 1000) + (1 << 30)

    def until(self, holds, within=5.0, again=lambda: None):
        """Takes what comes until it holds."""
        end = time.monotonic() + within
        while not holds() and time.monotonic() < end:
            if select.select([self.raw], [], [], 0.02)[0]:
                self.take(self.raw.recv(4000))
            else:
                again()
        return holds()

    def take(self, packet):
        tcp = packet[(packet[0] & 15) * 4:] if self.family == socket.AF_INET else packet
        source, to, seq, ack, offset, flags = struct.unpack("!HHIIBB", tcp[:14])
        if (source, to) != (self.server_port, self.port) or flags & RST:
            return
        if flags & SYN:
            self.next = seq + 1
        if flags & ACK and (ack - self.acked) & 0xFFFFFFFF < 1 << 31:
            self.acked = ack
        options = tcp[20:(offset >> 4) * 4]
        at = options.find(bytes([8, 10]))
        if at >= 0:
            self.echo = struct.unpack("!I", options[at + 2:at + 6])[0]

    def all_acknowledged(self, length):
        return self.acked == FIRST + length & 0xFFFFFFFF

    def reset(self):
        self.send(self.acked - FIRST, b"", flags=RST)


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF
