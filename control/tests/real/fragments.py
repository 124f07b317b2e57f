"""Sends a stream over IPv6 in segments of which its kernel makes two fragments each. Behind raw_peer.py.

fragments.py ADDRESS PORT MARK COUNT LENGTH
opens a connection, prints `open`, and waits for a line; then sends COUNT segments of LENGTH bytes, each until it is acknowledged.
Byte n of segment m is n + m, modulo 256.
"""
OWN_PORT = 20_100
IPV6_MTU = 24
LEAST_MTU = 1280


def main(address, port, mark, count, length):
    peer = Peer(address, int(port), int(mark))
    peer.raw.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU, LEAST_MTU)
    peer.open(OWN_PORT)
    print("open", flush=True)
    sys.stdin.readline()
    for number in range(int(count)):
        at = number * int(length)
        data = bytes(number + place & 0xFF for place in range(int(length)))
        send = lambda: peer.send(at, data)
        send()
        peer.until(lambda: peer.all_acknowledged(at + len(data)), again=send) or sys.exit(f"{number} is not acknowledged")
    peer.send(int(count) * int(length), b"", flags=FIN | ACK)
    print("sent", flush=True)


main(*sys.argv[1:])
