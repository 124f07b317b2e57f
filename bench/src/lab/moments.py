"""One bulk connection, closely watched.

moments.py send ADDRESS PORT SECONDS RATE    listens, sends RATE bytes a second; prints, in JSON, what TCP_INFO said of the
                                             connection every 10 ms: [seconds, congestion window, retransmissions]
moments.py take ADDRESS PORT                 connects, reads; prints when bytes came: [seconds, bytes], by milliseconds
moments.py order SOCKET SERVER SECONDS HALF  splits the flow to SERVER and merges it, HALF a second each, or only waits when
                                             HALF is 0; prints `status` and `events` of the appliance, and when that was
Seconds are those of the machine's monotonic clock, the same for all three.
"""
import json
import select
import socket
import struct
import sys
import threading
import time

BLOCK = b"\xa5" * (1 << 16)
# linux/socket.h and linux/tcp.h, which Python does not know
SO_MAX_PACING_RATE = 47
SND_CWND, TOTAL_RETRANS = 80, 100


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def send(address, port, seconds, rate):
    with socket.create_server((address, int(port)), family=family(address)) as listener:
        connection, _ = listener.accept()
    # Paced by TCP itself: a sender that could send at any time, and sends evenly.
    connection.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, int(rate))
    samples, end = [], time.monotonic() + float(seconds)

    def sample():
        while time.monotonic() < end:
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
            cwnd, retransmitted = (struct.unpack_from("I", info, at)[0] for at in (SND_CWND, TOTAL_RETRANS))
            samples.append([time.monotonic(), cwnd, retransmitted])
            time.sleep(0.01)

    sampler = threading.Thread(target=sample)
    sampler.start()
    while time.monotonic() < end:
        connection.sendall(BLOCK)
    sampler.join()
    connection.close()
    print(json.dumps(samples))


def take(address, port):
    connection = socket.create_connection((address, int(port)))
    came = {}
    while data := connection.recv(1 << 18):
        now = int(time.monotonic() * 1000)
        came[now] = came.get(now, 0) + len(data)
    print(json.dumps([[at / 1000, count] for at, count in came.items()]))


def order(path, server, seconds, half):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    lines = connection.makefile("r")

    def ask(verb, **arguments):
        connection.sendall(json.dumps({"verb": verb, **arguments}).encode() + b"\n")
        # An order that is refused, because the one before is still under way, comes to nothing.
        return json.loads(lines.readline()).get("ok")

    def flow():
        return next((flow for flow in ask("flows") if flow["server"] == server), None)

    # The connection is in its stride before it is disturbed.
    half, end = float(half), time.monotonic() + float(seconds)
    time.sleep(1.5)
    while time.monotonic() < end - 1:
        if not half:
            time.sleep(0.1)
            continue
        found = flow()
        verb = {"cut_through": "split", "participating": "merge"}.get(found["path"])
        if verb:
            ask(verb, client=found["client"], server=server)
        time.sleep(half)
    before = time.monotonic()
    status, events = ask("status"), ask("events")
    print(json.dumps({"at": before, "status": status, "events": events}))


role, *rest = sys.argv[1:]
{"send": send, "take": take, "order": order}[role](*rest)
