"""Clients of a server that takes its time, or remembers too much.

held.py serve ADDRESS PORT      echoes what comes, and keeps the connection until the client ends it, or says bye
held.py COMMAND ADDRESS PORT    runs a command as the client; the last line begins with `ok`
"""
import select
import socket
import struct
import sys

OWN_PORT = 17700
MSG_FASTOPEN = 0x20000000


def fail(words):
    sys.exit(f"{' '.join(sys.argv[1:])}: {words}")


def new_socket(address, own_port=OWN_PORT):
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.settimeout(20)
    if own_port:
        made.bind(("", own_port))
    return made


def wait_for_line(said):
    print(said, flush=True)
    sys.stdin.readline()


def echo(connection, text):
    connection.sendall(text)
    got = connection.recv(100)
    got == text or fail(f"{got} and not {text}")


def serve(address, port):
    listener = new_socket(address, None)
    listener.bind((address, port))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
    listener.listen(16)
    print("listening", flush=True)
    kept = []
    while True:
        for ready in select.select([listener, *kept], [], [])[0]:
            if ready is listener:
                kept.append(listener.accept()[0])
                continue
            try:
                text = ready.recv(100)
                ready.sendall(text)
            except OSError:
                text = b""
            if not text or text == b"bye":
                kept.remove(ready)
                ready.close()


def renewed(address, port):
    """Gives up silently, as Linux does, and begins anew from the same port with another number."""
    first = new_socket(address)
    first.setblocking(False)
    first.connect_ex((address, port))
    wait_for_line("first")
    first.close()
    second = new_socket(address)
    second.setblocking(False)
    second.connect_ex((address, port))
    wait_for_line("second")
    # Its next SYN may be some seconds away.
    select.select([], [second], [], 20)[1] or fail("no answer")
    second.settimeout(20)
    echo(second, b"second")


def forgotten(address, port):
    """Its RST is lost, so that the server goes on believing in the first connection."""
    first = new_socket(address)
    first.connect((address, port))
    echo(first, b"first")
    wait_for_line("connected")
    first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    first.close()
    wait_for_line("gone")
    second = new_socket(address)
    second.connect((address, port))
    echo(second, b"second")


def reused(address, port, is_server_first):
    """The same port again while the end that has closed first is in TIME-WAIT."""
    first = new_socket(address)
    first.connect((address, port))
    if is_server_first:
        echo(first, b"bye")
        first.recv(1) == b"" or fail("more than bye")
    else:
        first.shutdown(socket.SHUT_WR)
        first.recv(1) == b"" or fail("not closed")
    first.close()
    wait_for_line("closed")
    second = new_socket(address)
    second.connect((address, port))
    echo(second, b"second")


def closed_by_server(address, port):
    reused(address, port, True)


def closed_by_client(address, port):
    reused(address, port, False)


def fast_open(address, port):
    """Twice: whoever was given a cookie has one for the second connection."""
    for text in (b"first", b"second"):
        made = new_socket(address, None)
        made.settimeout(None)
        made.sendto(text, MSG_FASTOPEN, (address, port))
        made.settimeout(20)
        got = made.recv(100)
        got == text or fail(got)
        made.close()


def data_with_syn(address, port):
    made = new_socket(address)
    made.settimeout(None)
    made.sendto(b"with the SYN", MSG_FASTOPEN, (address, port))
    made.settimeout(20)
    got = made.recv(100)
    got == b"with the SYN" or fail(got)


def given_up(address, port):
    """A RST with the number after the SYN, from a client that has heard nothing yet."""
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    raw.bind(("eth0", 0))
    raw.settimeout(5)
    made = new_socket(address)
    made.setblocking(False)
    made.connect_ex((address, port))
    is_v4, ports = ":" not in address, struct.pack("!HH", OWN_PORT, port)
    l4 = 34 if is_v4 else 54
    frame = b""
    while frame[l4:l4 + 4] != ports:
        frame = raw.recv(2048)
    wait_for_line("asked")
    made.close()
    raw.send(reset_after(frame, l4, is_v4))


def reset_after(frame, l4, is_v4):
    isn = struct.unpack("!I", frame[l4 + 4:l4 + 8])[0]
    segment = frame[l4:l4 + 4] + struct.pack("!IIBBHHH", (isn + 1) % (1 << 32), 0, 0x50, 4, 0, 0, 0)
    addresses = frame[26:34] if is_v4 else frame[22:54]
    summed = checksum(addresses + struct.pack("!HH", 6, 20) + segment)
    segment = segment[:16] + struct.pack("!H", summed) + segment[18:]
    if is_v4:
        header = frame[14:16] + struct.pack("!H", 40) + frame[18:24] + b"\0\0" + frame[26:34]
        header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    else:
        header = frame[14:18] + struct.pack("!H", 20) + frame[20:54]
    return frame[:14] + header + segment


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


globals()[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
print("ok")
