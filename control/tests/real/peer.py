"""One end of a connection, with the socket calls that curl, nc and socat do not make.

peer.py serve ADDRESS PORT      serves one command a connection, named by the client's first line
peer.py COMMAND ADDRESS PORT    runs a command as the client; exit code 0 and a last line that begins with `ok`
"""
import errno
import hashlib
import random
import select
import socket
import struct
import sys
import threading
import time

BYTES = random.Random(7).randbytes(1_000_000)
DIGEST = hashlib.sha256(BYTES).hexdigest()
MSG_FASTOPEN = 0x20000000
IPPROTO_MPTCP = 262
# A SYN that gets lost is repeated after a second.
AT_ONCE = 0.9
# What both ends of a simultaneous open use, one after the other: after the first time both are in TIME-WAIT.
PORTS_OF_BOTH = (7600, 7601)


def fail(words):
    sys.exit(f"{' '.join(sys.argv[1:])}: {words}")


def new_socket(address, protocol=0):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.settimeout(15)
    return made


def read_all(connection):
    return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def close_with_reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def resets(connection, how):
    """Whether the other end's reset is what a blocked call ends with."""
    try:
        while True:
            connection.sendall(BYTES) if how == "send" else connection.recv(1 << 16) or fail("end of file")
    except ConnectionResetError:
        return True


class Server:
    """What each command means at the server. The first line has been read."""

    def digest(self, connection):
        connection.sendall(hashlib.sha256(read_all(connection)).hexdigest().encode())

    def send(self, connection):
        connection.sendall(BYTES * 10)

    def echo(self, connection):
        connection.sendall(connection.recv(100))

    def greet(self, connection):
        connection.sendall(b"250 pleased\r\n")

    def hear_reset(self, connection):
        resets(connection, "send")
        heard.append(True)

    def reset(self, connection):
        connection.recv(1 << 16)
        close_with_reset(connection)

    def urgent(self, connection):
        byte = b""
        while not byte:
            select.select([], [], [connection], 15)[2] or fail("nothing urgent")
            byte = connection.recv(1, socket.MSG_OOB)
        connection.sendall(byte + b"|" + read_all(connection))

    def open_at_once(self, connection, port=PORTS_OF_BOTH[0]):
        here, there = connection.getsockname(), connection.getpeername()
        moment = time.monotonic() + 0.8
        connection.sendall(b"%r" % moment)
        both_open(here, there, moment, port)

    def open_at_once_again(self, connection):
        self.open_at_once(connection, PORTS_OF_BOTH[1])

    def heard(self, connection):
        connection.sendall(b"%d" % len(heard))


heard = []


def both_open(here, there, moment, port):
    """Each end connects to the other: the clock is the same for both."""
    own = new_socket(here[0])
    own.bind((here[0], port))
    time.sleep(max(0, moment - time.monotonic()))
    own.connect((there[0], port))
    own.sendall(here[0].encode())
    got = own.recv(100)
    got == there[0].encode() or fail(f"{got} from {there}")
    own.shutdown(socket.SHUT_WR)
    read_all(own) == b"" or fail("more")
    own.close()


def serve(address, port):
    listener = new_socket(address)
    listener.bind((address, port))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
    listener.settimeout(None)
    listener.listen(4096)
    print("listening", flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve_one, args=(connection,), daemon=True).start()


def serve_one(connection):
    connection.sendall(b"220 welcome\r\n")
    command = b""
    while not command.endswith(b"\n"):
        command += connection.recv(1) or fail("no command")
    with connection:
        getattr(Server(), command.decode().strip())(connection)


def connect(address, port, command, protocol=0, source=None, receive_buffer=None):
    made = new_socket(address, protocol)
    if receive_buffer:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    if source:
        made.bind(source)
    made.connect((address, port))
    return said_hello(made, command)


def said_hello(made, command):
    greeting = b""
    while not greeting.endswith(b"\n"):
        greeting += made.recv(1) or fail("no greeting")
    greeting == b"220 welcome\r\n" or fail(greeting)
    made.sendall(command.encode() + b"\n")
    return made


def upload(address, port, **options):
    with connect(address, port, "digest", **options) as server:
        server.sendall(BYTES)
        server.shutdown(socket.SHUT_WR)
        read_all(server) == DIGEST.encode() or fail("other bytes at the server")


def download(address, port, **options):
    with connect(address, port, "send", **options) as server:
        read_all(server) == BYTES * 10 or fail("other bytes at the client")


def exchange(address, port, **options):
    upload(address, port, **options)
    download(address, port, **options)


def mptcp(address, port):
    exchange(address, port, protocol=IPPROTO_MPTCP)


def small_buffer(address, port):
    upload(address, port, receive_buffer=4096)
    with connect(address, port, "send", receive_buffer=4096) as server:
        got = b""
        while len(got) < 300_000:
            got += server.recv(1000)
        BYTES.startswith(got[:len(BYTES)]) or fail("other bytes")


def slow(address, port):
    """Reads nothing until a line comes on standard input."""
    with connect(address, port, "send") as server:
        server.recv(1000)
        print("waiting", flush=True)
        sys.stdin.readline()
        len(read_all(server)) >= len(BYTES) * 10 - 1000 or fail("not all")


def fast_open(address, port):
    for _ in range(3):
        made = new_socket(address)
        made.settimeout(None)
        made.sendto(b"greet\n", MSG_FASTOPEN, (address, port))
        made.settimeout(15)
        read_all(made) == b"220 welcome\r\n250 pleased\r\n" or fail("no greeting")


def resets_both_ways(address, port):
    server = connect(address, port, "hear_reset")
    server.recv(1000)
    close_with_reset(server)
    for _ in range(100):
        with connect(address, port, "heard") as asked:
            if read_all(asked) == b"1":
                break
        time.sleep(0.02)
    else:
        fail("the server has heard no reset")
    for how in ("send", "receive"):
        server = connect(address, port, "reset")
        server.sendall(b"x")
        resets(server, how)


def same_port(address, port):
    """The client's port is taken again as soon as its kernel allows."""
    own = new_socket(address)
    own.connect((address, port))
    source = own.getsockname()[:2]
    close_with_reset(own)
    for turn in range(60):
        start = time.monotonic()
        server = connect_when_free(address, port, source)
        took = time.monotonic() - start
        took < AT_ONCE or fail(f"connection {turn} took {took:.3f} s")
        server.sendall(b"%d" % turn)
        if turn % 2:
            read_all(server) == b"%d" % turn or fail("another echo")
            server.close()
        else:
            server.recv(100) == b"%d" % turn or fail("another echo")
            close_with_reset(server)


def connect_when_free(address, port, source):
    while True:
        try:
            return connect(address, port, "echo", source=source)
        except OSError as error:
            # The last connection is in LAST-ACK.
            error.errno == errno.EADDRNOTAVAIL or fail(error)
            time.sleep(0.001)


def urgent(address, port):
    with connect(address, port, "urgent") as server:
        server.sendall(b"before")
        server.send(b"!", socket.MSG_OOB)
        server.sendall(b"after")
        server.shutdown(socket.SHUT_WR)
        got = read_all(server)
        got == b"!|beforeafter" or fail(got)


def open_at_once(address, port, command="open_at_once", port_of_both=PORTS_OF_BOTH[0]):
    with connect(address, port, command) as server:
        moment = float(server.recv(100))
        both_open(server.getsockname(), server.getpeername(), moment, port_of_both)


def open_at_once_again(address, port):
    open_at_once(address, port, "open_at_once_again", PORTS_OF_BOTH[1])


def short(address, port):
    for turn in range(200):
        source = (f"10.77.0.{100 + turn % 3}", 0) if ":" not in address else None
        with connect(address, port, "echo", source=source) as server:
            server.sendall(b"%d" % turn)
            read_all(server) == b"%d" % turn or fail("another echo")


def many(address, port):
    def one():
        download(address, port)
        done.append(True)

    done = []
    threads = [threading.Thread(target=one) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    len(done) == len(threads) or fail(f"{len(done)} downloads")


globals()[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
print("ok")
