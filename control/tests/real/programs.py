"""The client of programs.rs.  COMMAND ADDRESS PORT"""
import hashlib
import os
import socket
import struct
import sys
import threading


def connect(address, port):
    return socket.create_connection((address, port), timeout=30)


def echo(address, port):
    """10 MB there and back, with the client's direction closed while the other one still brings bytes."""
    sent = os.urandom(10_000_000)
    connection = connect(address, port)

    def send():
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    got = hashlib.sha256()
    while chunk := connection.recv(1 << 16):
        got.update(chunk)
    sender.join()
    assert got.digest() == hashlib.sha256(sent).digest(), "other bytes came back"


def slow(address, port):
    """The echo again, to a client that reads nothing before all is sent or stuck."""
    sent = os.urandom(4_000_000)
    connection = connect(address, port)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    connection.settimeout(2)
    done = 0
    try:
        while done < len(sent):
            done += connection.send(sent[done:done + 65536])
    except TimeoutError:
        pass
    print("stuck at", done, flush=True)
    connection.settimeout(30)
    finish = threading.Thread(target=lambda: (connection.sendall(sent[done:]), connection.shutdown(socket.SHUT_WR)))
    finish.start()
    got = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    finish.join()
    assert got == sent, "other bytes came back"


def hold(address, port):
    """Says how a connection ends under it."""
    connection = connect(address, port)
    connection.sendall(b"up?")
    assert connection.recv(3) == b"up?"
    print("up", flush=True)
    try:
        print("end" if connection.recv(1) == b"" else "bytes", flush=True)
    except ConnectionResetError:
        print("reset", flush=True)


def reset(address, port):
    """Ends a connection by RST."""
    connection = connect(address, port)
    connection.sendall(b"up?")
    assert connection.recv(3) == b"up?"
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


globals()[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
