"""A client that tries several ports of one server at once, as a CIFS client does.

several.py serve ADDRESS PORT...    accepts on each port, and echoes
several.py try ADDRESS PORT...      tries all at once; tells what came of each, and in which order it heard of it
"""
import errno
import select
import socket
import struct
import sys
import time

# Silence for so long is silence.
LONGEST = 2.5


def new_socket(address):
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made


def serve(address, ports):
    listeners = []
    for port in ports:
        listener = new_socket(address)
        listener.bind((address, port))
        listener.listen(16)
        listeners.append(listener)
    print("listening", flush=True)
    kept = []
    while True:
        for ready in select.select([*listeners, *kept], [], [])[0]:
            if ready in listeners:
                kept.append(ready.accept()[0])
                continue
            try:
                text = ready.recv(100)
                ready.sendall(text)
            except OSError:
                text = b""
            if not text:
                kept.remove(ready)
                ready.close()


def heard(frame, address, ports):
    """Port and word of an answer about one of our attempts; nothing of all else."""
    is_v6 = frame[12:14] == b"\x86\xdd"
    if is_v6 != (":" in address):
        return None
    protocol, l4 = (frame[20], 54) if is_v6 else (frame[23], 14 + 4 * (frame[14] & 15))
    if protocol == 6:
        port, flags = struct.unpack("!H", frame[l4:l4 + 2])[0], frame[l4 + 13]
        word = "SYN-ACK" if flags & 18 == 18 else "RST" if flags & 4 else None
        return (port, word) if port in ports and word else None
    if protocol == (58 if is_v6 else 1) and frame[l4] in ((1,) if is_v6 else (3,)):
        quoted = l4 + 8 + (40 if is_v6 else 4 * (frame[l4 + 8] & 15))
        return (struct.unpack("!H", frame[quoted + 2:quoted + 4])[0], f"ICMP {frame[l4]}/{frame[l4 + 1]}")
    return None


def try_all(address, ports):
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    raw.bind(("eth0", 0))
    raw.setblocking(False)
    attempts = {}
    for port in ports:
        made = new_socket(address)
        made.setblocking(False)
        made.connect_ex((address, port))
        attempts[made] = port
    outcome, order, deadline = {}, [], time.monotonic() + LONGEST
    while time.monotonic() < deadline and (len(outcome) < len(ports) or len(order) < len(ports)):
        waiting = [made for made, port in attempts.items() if port not in outcome]
        _, writable, _ = select.select([raw], waiting, [], 0.1)
        for made in writable:
            code = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            outcome[attempts[made]] = errno.errorcode[code] if code else echoed(made)
        while True:
            try:
                frame, (_, _, direction, _, _) = raw.recvfrom(2048)
            except BlockingIOError:
                break
            said = direction != socket.PACKET_OUTGOING and heard(frame, address, ports)
            if said and said not in order:
                order.append(said)
    print("outcome: " + ", ".join(f"{port} {outcome.get(port, 'silent')}" for port in ports))
    print("order: " + ", ".join(f"{port} {word}" for port, word in order))


def echoed(made):
    made.setblocking(True)
    made.settimeout(5)
    made.sendall(b"hello")
    return "connected" if made.recv(100) == b"hello" else "broken"


{"serve": serve, "try": try_all}[sys.argv[1]](sys.argv[2], [int(port) for port in sys.argv[3:]])
