"""What a client sees of an attempt to connect, in words that are the same whatever numbers were drawn.

experience.py answer ADDRESS4 ADDRESS6      the server: accepts, or answers with the ICMP error that the port names
experience.py ask ADDRESS4 ADDRESS6         the client: tries all ports at once, tells what it saw of each
"""
import errno
import select
import socket
import struct
import sys
import time

INTERFACE = "eth0"
ACCEPTED, CLOSED, SILENT = 6000, 6001, 6002
# One port for each word that nft knows, in the order of NAMED in experience.rs.
BY_KERNEL = {4: range(6100, 6107), 6: range(6100, 6106)}
# An error's port says its type and code: 10000 + 100 * type + code; from 20000 on it quotes 8 bytes of TCP.
CODES = {
    4: [(3, code) for code in range(16) if code != 4] + [(11, 0), (11, 1), (12, 0), (12, 1), (12, 2)],
    6: [(1, code) for code in range(8)] + [(3, 0), (3, 1), (4, 0), (4, 1), (4, 2)],
}
SHORT = {4: (3, 1), 6: (1, 3)}
ROUTER = {4: "10.77.0.99", 6: "fd77::99"}
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
TCP_SYNCNT = 7
# The kernel's own last word on an attempt comes some seconds after the last SYN.
LONGEST = 20


def port_of(code, base=10000):
    return base + 100 * code[0] + code[1]


def ports(version):
    by_router = [port_of(code) for code in CODES[version]] + [port_of(SHORT[version], 20000)]
    return [ACCEPTED, CLOSED, SILENT, *BY_KERNEL[version], *by_router]


def packets():
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    made.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE
    made.bind((INTERFACE, 0))
    return made


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def pseudo_header(version, source, destination, protocol, length):
    return source + destination + struct.pack("!HH" if version == 4 else "!II", *(
        (protocol, length) if version == 4 else (length, protocol)))


class Packet:
    """A frame's IP datagram with its transport header; `version` is None for all else."""

    def __init__(self, datagram, link=b""):
        self.version, self.link, self.datagram = None, link, datagram
        if len(datagram) >= 20 and datagram[0] >> 4 == 4:
            self.version, at, self.protocol, self.ttl = 4, 4 * (datagram[0] & 15), datagram[9], datagram[8]
            self.service, self.length = datagram[1], struct.unpack("!H", datagram[2:4])[0]
            self.source, self.destination = datagram[12:16], datagram[16:20]
            self.mark = f"id {int(datagram[4:6] != bytes(2))} flags {datagram[6] >> 5}"
        elif len(datagram) >= 40 and datagram[0] >> 4 == 6:
            self.version, at, self.protocol, self.ttl = 6, 40, datagram[6], datagram[7]
            self.service = struct.unpack("!H", datagram[:2])[0] >> 4 & 0xff
            self.length = 40 + struct.unpack("!H", datagram[4:6])[0]
            self.source, self.destination, self.mark = datagram[8:24], datagram[24:40], ""
        if self.version:
            self.body = datagram[at:self.length]
            self.is_tcp = self.protocol == 6 and len(self.body) >= 8
            self.is_error = self.protocol == {4: 1, 6: 58}[self.version] and len(self.body) >= 8
        if self.version and self.is_tcp:
            self.ports = struct.unpack("!HH", self.body[:4])
            self.seq = struct.unpack("!I", self.body[4:8])[0]

    @staticmethod
    def of(frame):
        return Packet(frame[14:] if frame[12:14] in (b"\x08\0", b"\x86\xdd") else b"", frame[:14])

    def is_whole(self):
        return len(self.datagram) >= self.length

    def sums_up(self, protocol):
        head = pseudo_header(self.version, self.source, self.destination, protocol, len(self.body))
        return checksum((b"" if protocol == 1 else head) + self.body) == 0


def error_about(syn, kind, code, quote):
    """The frame by which the router says so."""
    version = syn.version
    source = socket.inet_pton(FAMILY[version], ROUTER[version])
    rest = b"\x14\0\0\0" if version == 4 and kind == 12 else bytes(4)
    body = bytes([kind, code, 0, 0]) + rest + syn.datagram[:quote]
    head = b"" if version == 4 else pseudo_header(6, source, syn.source, 58, len(body))
    body = body[:2] + struct.pack("!H", checksum(head + body)) + body[4:]
    if version == 4:
        header = struct.pack("!BBHHHBBH", 0x45, 0xc0, 20 + len(body), 7, 0, 61, 1, 0) + source + syn.source
        header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    else:
        header = struct.pack("!IHBB", 6 << 28, len(body), 58, 61) + source + syn.source
    return syn.link[6:12] + syn.link[:6] + syn.link[12:14] + header + body


def answer(addresses):
    raw = packets()
    listeners = []
    for version, address in addresses.items():
        listener = socket.socket(FAMILY[version])
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, ACCEPTED))
        listener.listen(16)
        listeners.append(listener)
    print("listening", flush=True)
    held = []
    while True:
        for ready in select.select([raw, *listeners], [], [])[0]:
            if ready is not raw:
                held.append(ready.accept())
                continue
            frame, (_, _, direction, _, _) = raw.recvfrom(2048)
            syn = Packet.of(frame)
            if direction == socket.PACKET_OUTGOING or not syn.version or not syn.is_tcp or syn.body[13] & 2 == 0:
                continue
            base = syn.ports[1] - syn.ports[1] % 10000
            kind, code = divmod(syn.ports[1] - base, 100)
            if base in (10000, 20000):
                headers = len(syn.datagram) - len(syn.body)
                raw.send(error_about(syn, kind, code, headers + 8 if base == 20000 else 500))


class Attempt:
    """One connect() from a port that is always the same."""

    def __init__(self, version, address, port):
        self.version, self.address, self.port, self.packets, self.number = version, address, port, [], 1
        self.own_port = port + 12000
        self.results, self.repeated = [], 0
        self.start()

    def start(self):
        self.first = len(self.packets)
        self.socket = socket.socket(FAMILY[self.version])
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.setsockopt(socket.IPPROTO_TCP, TCP_SYNCNT, 1)
        self.socket.setblocking(False)
        self.socket.bind(("", self.own_port))
        # Refused at once is refused, too.
        self.result = self.socket.connect_ex((self.address, self.port))

    def end(self):
        """It is decided; another attempt follows but for those that take long or leave something behind."""
        error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error != errno.ETIMEDOUT and self.came_too_soon() and self.repeated < 10:
            self.repeated += 1
            del self.packets[self.first:]
            self.socket.close()
            self.start()
            return True
        self.results.append(errno.errorcode.get(error, "connected"))
        if self.port in (ACCEPTED, SILENT) or len(self.results) == 2:
            return False
        self.socket.close()
        self.start()
        return True

    def came_too_soon(self):
        """The error found the socket still busy with connect(): Linux keeps it in mind and tries again after a second."""
        kinds = [packet.is_error for packet, _ in self.packets[self.first:]]
        return True in kinds[:-1]

    def told(self):
        yield f"IPv{self.version} port {self.port}: {', then '.join(self.results)}"
        client_isn = server_isn = None
        for packet, is_ours in self.packets[:3] if self.port == ACCEPTED else self.packets:
            if is_ours and packet.is_tcp and packet.body[13] & 2:
                client_isn = packet.seq
            if not is_ours and packet.is_tcp and packet.body[13] & 2:
                server_isn = packet.seq
            yield f"  {'>' if is_ours else '<'} {words(packet, client_isn, server_isn, is_ours)}"


def relative(number, isn):
    return number if isn is None or number == 0 else (number - isn) % (1 << 32)


def words(packet, client_isn, server_isn, is_ours):
    said = f"{packet.link[:12].hex()} ttl {packet.ttl} class {packet.service:#x} {packet.mark} "
    if packet.is_error:
        quoted = Packet(packet.body[8:])
        own = "" if not quoted.is_whole() else f" whole, sum {'right' if quoted.sums_up(6) else 'wrong'}"
        source = socket.inet_ntop(FAMILY[packet.version], packet.source)
        good = "right" if packet.sums_up(packet.protocol) else "wrong"
        return (f"{said}error {packet.body[0]}/{packet.body[1]} rest {packet.body[4:8].hex()} from {source}, sum {good}; "
                f"quotes {len(quoted.datagram)} bytes, ttl {quoted.ttl}, ports {quoted.ports}, "
                f"seq {relative(quoted.seq, client_isn)}{own}")
    seq, ack = struct.unpack("!II", packet.body[4:12])
    own, other = (client_isn, server_isn) if is_ours else (server_isn, client_isn)
    flags = "".join(letter for bit, letter in enumerate("FSRPAUEC") if packet.body[13] >> bit & 1)
    window, header = struct.unpack("!H", packet.body[14:16])[0], packet.body[12] // 16 * 4
    good = "right" if packet.sums_up(6) else "wrong"
    return (f"{said}{flags} {relative(seq, own)}:{relative(ack, other)} window {window} options "
            f"{options(packet.body[20:header])} {len(packet.body) - header} bytes, sum {good}")


def options(data):
    """Kinds in their order, and values but for timestamps."""
    told = []
    while data and data[0] != 0:
        length = 1 if data[0] == 1 else data[1]
        told.append(f"{data[0]}" if data[0] in (1, 8) else f"{data[0]}={data[2:length].hex()}")
        data = data[length:]
    return ",".join(told)


def ask(addresses):
    raw = packets()
    raw.setblocking(False)
    attempts = [Attempt(v, address, port) for v, address in addresses.items() for port in ports(v)]
    by_port = {(attempt.version, attempt.own_port): attempt for attempt in attempts}
    waiting, deadline = list(attempts), time.monotonic() + LONGEST
    while waiting and time.monotonic() < deadline:
        by_socket = {attempt.socket: attempt for attempt in waiting}
        _, writable, _ = select.select([raw], list(by_socket), [], 0.2)
        take(raw, by_port)
        waiting = [a for a in waiting if a.socket not in writable or a.end()]
    # What comes behind the last answer belongs to what was seen, too.
    time.sleep(0.3)
    take(raw, by_port)
    for attempt in attempts:
        print("\n".join(attempt.told()))
        # The server forgets at once what it has accepted: the next client uses the same ports.
        attempt.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        attempt.socket.close()


def take(raw, by_port):
    while True:
        try:
            frame, (_, _, direction, _, _) = raw.recvfrom(2048)
        except BlockingIOError:
            return
        packet = Packet.of(frame)
        if not packet.version or not (packet.is_tcp or packet.is_error):
            continue
        is_ours = direction == socket.PACKET_OUTGOING
        about = packet if packet.is_tcp else Packet(packet.body[8:])
        if about.version and about.is_tcp:
            own_port = about.ports[1] if packet.is_tcp and not is_ours else about.ports[0]
            attempt = by_port.get((packet.version, own_port))
            if attempt:
                attempt.packets.append((packet, is_ours))


{"answer": answer, "ask": ask}[sys.argv[1]]({4: sys.argv[2], 6: sys.argv[3]})
