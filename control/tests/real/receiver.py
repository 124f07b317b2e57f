"""A Linux TCP receiver, fed with raw segments over a TUN device; the namespace is its own.

Standard input has one connection a line: `NUMBER:HEX` for each segment, NUMBER counted from the first byte of the stream,
and behind them the length of the stream. Standard output has, for each, what a socket has read, in hexadecimal.
"""
import fcntl
import os
import select
import socket
import struct
import subprocess
import sys

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
OURS, THEIRS, PORT = "10.9.0.2", "10.9.0.1", 5000
SYN, ACK, PSH = 2, 16, 8
FIRST = 0xFFFFFF00  # the stream wraps around
MSS_AND_SACK = bytes([2, 4, 5, 180, 4, 2, 1, 1])


def device():
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH", b"raw0", IFF_TUN | IFF_NO_PI))
    for command in (f"ip addr add {THEIRS}/24 dev raw0", "ip link set raw0 up"):
        subprocess.check_call(command.split())
    return tun


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def datagram(port, seq, ack, flags, payload=b"", options=b""):
    addresses = socket.inet_aton(OURS) + socket.inet_aton(THEIRS)
    words = (port, PORT, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, (5 + len(options) // 4) << 4, flags, 65000)
    tcp = struct.pack("!HHIIBBH", *words) + bytes(4) + options + payload
    pseudo = addresses + struct.pack("!BBH", 0, 6, len(tcp))
    tcp = tcp[:16] + struct.pack("!H", checksum(pseudo + tcp)) + tcp[18:]
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, 6, 0) + addresses
    return ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:] + tcp


def answer(tun, port):
    """The sequence number of the SYN-ACK."""
    while select.select([tun], [], [], 10)[0]:
        packet = os.read(tun, 4000)
        to, seq, flags = struct.unpack("!H", packet[22:24])[0], packet[24:28], packet[33:34]
        if packet[0] == 0x45 and packet[9] == 6 and to == port and flags == bytes([SYN | ACK]):
            return struct.unpack("!I", seq)[0]
    sys.exit("no SYN-ACK")


def receive(tun, listener, port, segments, length):
    os.write(tun, datagram(port, FIRST - 1, 0, SYN, options=MSS_AND_SACK))
    ack = answer(tun, port) + 1
    os.write(tun, datagram(port, FIRST, ack, ACK))
    connection, _ = listener.accept()
    for number, payload in segments:
        os.write(tun, datagram(port, FIRST + number, ack, ACK | PSH, payload))
    connection.settimeout(10)
    got = b""
    while len(got) < length:
        got += connection.recv(length - len(got)) or sys.exit("an early end")
    # No TIME-WAIT: the next one may have the same port.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    while select.select([tun], [], [], 0)[0]:
        os.read(tun, 4000)
    return got


def main():
    tun = device()
    listener = socket.socket()
    listener.bind((THEIRS, PORT))
    listener.listen(8)
    for count, line in enumerate(sys.stdin):
        *segments, length = line.split()
        segments = [(int(at), bytes.fromhex(data)) for at, data in (s.split(":") for s in segments)]
        print(receive(tun, listener, 20000 + count, segments, int(length)).hex())


main()
