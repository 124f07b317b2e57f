"""One connection that carries a given number of bytes, while it changes hands a given number of times.

thousand.py listen ADDRESS PORT send|take BYTES FILE ROUNDS
thousand.py connect ADDRESS PORT send|take BYTES FILE ROUNDS
    either end; who sends keeps pace with the number of rounds in FILE, so that there are bytes for each of them however
    busy the machine is. Both print the SHA-256 of what passed.
thousand.py order SOCKET SERVER FILE ROUNDS
    splits and merges the flow to SERVER, and counts in FILE
"""
import hashlib
import json
import random
import socket
import sys
import time

BLOCK = 1 << 18
# Of the last bytes: enough for some ten thousand small blocks.
TRICKLES = 40


def rounds_in(file):
    with open(file) as text:
        return int(text.read() or 0)


def send(connection, count, file, rounds):
    digest, dice, sent = hashlib.sha256(), random.Random(1), 0
    while sent < count:
        done = rounds_in(file)
        # A little ahead of the next round, never far; the last bytes come behind the last round. Never quite at rest:
        # a flow that has just been split merges again when both its ends have been heard.
        is_ahead = done < rounds and sent > min(count * (done + 2) / rounds, count - BLOCK * TRICKLES)
        size = BLOCK // 256 if is_ahead else BLOCK
        time.sleep(0.002 if is_ahead else 0)
        block = dice.randbytes(min(size, count - sent))
        digest.update(block)
        connection.sendall(block)
        sent += len(block)
    connection.shutdown(socket.SHUT_WR)
    # Until the other end has everything, and says so by closing.
    assert connection.recv(1) == b""
    print(digest.hexdigest(), flush=True)


def take(connection, count):
    digest, taken = hashlib.sha256(), 0
    while data := connection.recv(BLOCK):
        digest.update(data)
        taken += len(data)
    assert taken == count, f"{taken} of {count} bytes"
    print(digest.hexdigest(), flush=True)
    connection.close()


def talk(role, address, port, what, count, file, rounds):
    if role == "listen":
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.create_server((address, int(port)), family=family) as listener:
            connection, _ = listener.accept()
    else:
        connection = socket.create_connection((address, int(port)))
    if what == "send":
        send(connection, int(count), file, int(rounds))
    else:
        take(connection, int(count))


def order(path, server, file, rounds):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    lines = connection.makefile("r")
    dice = random.Random(1)

    def ask(verb, **arguments):
        connection.sendall(json.dumps({"verb": verb, **arguments}).encode() + b"\n")
        return json.loads(lines.readline())

    def flow():
        return next((flow for flow in ask("flows")["ok"] if flow["server"] == server), None)

    def wait(path):
        while True:
            found = flow() or sys.exit("the flow is gone")
            if found["path"] == path:
                return found
            time.sleep(0.001)

    while not flow():
        time.sleep(0.01)
    ends = None
    for done in range(int(rounds)):
        found = wait("cut_through")
        ends = ends or found
        for name in ("client", "delta_c2s", "delta_s2c"):
            assert found[name] == ends[name], f"{name} was {ends[name]} and is {found[name]}"
        assert found["delta_c2s"] and found["delta_s2c"], found
        answer = ask("split", client=found["client"], server=server)
        assert "ok" in answer, answer
        time.sleep(dice.random() * 0.004)
        answer = ask("merge", client=found["client"], server=server)
        assert "ok" in answer or "waiting: " in answer["error"], answer
        with open(file, "r+") as text:
            text.write(str(done + 1))
    found = wait("cut_through")
    print(json.dumps({"splits": found["splits"], "merges": found["merges"]}))


role, *rest = sys.argv[1:]
order(*rest) if role == "order" else talk(role, *rest)
