"""What the profiles build, without a generator: packets of TRex's streams are parsed, both ends of its connections have to fit,
and pktgen's commands are in its grammar."""

import contextlib
import importlib.util
import io
import ipaddress
import pathlib
import re
import sys
import tomllib

from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(HERE))


def profile(name):
    spec = importlib.util.spec_from_file_location(name, HERE.parent / "trex" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.register()


def rule_of(server, port):
    """The first rule of the lab's configuration that such a SYN meets."""
    config = tomllib.loads((ROOT / "configs/lab-nics.toml").read_text())
    for rule in config["rule"]:
        networks = [ipaddress.ip_network(network) for network in rule["match"]["destination"]]
        address = ipaddress.ip_address(server)
        if rule["match"]["destination_ports"] == port and any(address in network for network in networks):
            return rule["name"]
    return None


def number(value):
    return int(ipaddress.ip_address(value)) if isinstance(value, str) else value


def built(stream, end):
    """The packet with every variable at one of its ends, checksums as the device would compute them."""
    packet, vm = stream.packet.pkt, stream.packet.vm
    assert vm.checksums is not None, "somebody has to compute checksums"
    data = bytearray(bytes(packet))
    for name, place, fixup in vm.writes:
        layer, field = place.split(".")
        low, high, size, _ = vm.variables[name]
        at = offset(packet, layer, field) + fixup
        data[at : at + size] = number(low if end == 0 else high).to_bytes(size, "big")
    parsed = Ether(bytes(data))
    for layer in (IP, TCP):
        if layer in parsed:
            del parsed[layer].chksum
    return Ether(bytes(parsed))


def offset(packet, layer, field):
    """Of a field in the frame."""
    fields = {"IP": {"src": 12, "dst": 16}, "IPv6": {"src": 8, "dst": 24}, "TCP": {"sport": 0, "seq": 4}}
    layers = {"IP": IP, "IPv6": IPv6, "TCP": TCP}
    return len(packet) - len(packet[layers[layer]]) + fields[layer][field]


def check_flood():
    for family, clients in [("v4", "10.0.0.0/8"), ("v6", "2001:db8:1::/96")]:
        (stream,) = profile("syn_flood").get_streams(0, ["--family", family])
        ends = [built(stream, end) for end in (0, 1)]
        for syn in ends:
            network = syn[IP] if family == "v4" else syn[IPv6]
            assert ipaddress.ip_address(network.src) in ipaddress.ip_network(clients), network.src
            assert syn[TCP].flags == "S" and len(syn) >= 60, syn.summary()
            names = [name for name, _ in syn[TCP].options]
            assert names == ["MSS", "SAckOK", "Timestamp", "NOP", "WScale"], names
            assert rule_of(network.dst, syn[TCP].dport) == "flood", network.dst
        assert len({bytes(syn) for syn in ends}) == 2, "SYNs differ"


def flow_streams(phase, family):
    """By the port that sends it; the other one says no."""
    streams = {}
    for direction in (0, 1):
        arguments = ["--phase", phase, "--family", family]
        with contextlib.suppress(SystemExit), contextlib.redirect_stderr(io.StringIO()):
            (streams[direction],) = profile("flows").get_streams(direction, arguments, port_id=direction)
    return streams


def check_flows():
    """A handshake of each flow in three phases, then what keeps it busy both ways."""
    flows = 1 << 20
    for family, clients in [("v4", "10.0.0.0/8"), ("v6", "2001:db8:1::/96")]:
        said = {}
        for phase, directions in [("syn", [0]), ("synack", [1]), ("ack", [0]), ("data", [0, 1])]:
            streams = flow_streams(phase, family)
            assert list(streams) == directions, (phase, list(streams))
            for direction, stream in streams.items():
                # Every flow has its turn, in the same order at both ends.
                ((low, high, size, op),) = stream.packet.vm.variables.values()
                assert (high - low + 1, size, op) == (flows, 4, "inc"), phase
                assert getattr(stream.mode, "total_pkts", None) == (None if phase == "data" else flows), phase
                for end in (0, 1):
                    frame = built(stream, end)
                    network = frame[IP] if family == "v4" else frame[IPv6]
                    ends = [(network.src, frame[TCP].sport), (network.dst, frame[TCP].dport)]
                    client, server = ends if direction == 0 else reversed(ends)
                    assert ipaddress.ip_address(client[0]) in ipaddress.ip_network(clients), client
                    assert int(ipaddress.ip_address(client[0])) & 0xFFFFFFFF == (low, high)[end], client
                    assert rule_of(*server) == "packets", server
                    assert said.setdefault(("flow", end), (client, server)) == (client, server), "one flow"
                    payload = len(frame[Raw].load) if Raw in frame else 0
                    assert bool(payload) == (phase == "data"), phase
                    assert len(frame) >= 60 and (family == "v6" or len(frame) == 60), len(frame)
                    said[phase, direction] = (str(frame[TCP].flags), frame[TCP].seq, frame[TCP].ack)
        _, client, _ = said["syn", 0]
        _, server, _ = said["synack", 1]
        assert said["syn", 0][0] == "S" and said["synack", 1] == ("SA", server, client + 1)
        assert said["ack", 0] == said["data", 0] == ("A", client + 1, server + 1)
        assert said["data", 1] == ("A", server + 1, client + 1)


def check_connections():
    for arguments in [[], ["--family", "v6"], ["--response", "100000"], ["--wait", "500000"]]:
        built = profile("connections").get_profile(arguments)
        client = built.templates.client_template
        server = built.templates.server_template
        assert client.port == server.assoc.port
        total = lambda program, what: sum(n for name, n in program.commands if name == what)
        for sender, receiver in [(client, server), (server, client)]:
            assert total(sender.program, "send") == total(receiver.program, "recv") > 0
        assert server.program.commands[-1][0] == "wait_for_peer_close", "the client closes first"
        silence = sum(n for name, n in client.program.commands if name == "delay") / 1e6
        for info in (built.default_c_glob_info, built.default_s_glob_info):
            # Seconds, in TRex's bounds.
            assert silence + 60 < info.tcp.keepidle <= 65533 and 2 <= info.tcp.keepintvl <= 65533, "no probes"
        is_v6 = "v6" in arguments
        info = built.default_c_glob_info
        assert getattr(info.ipv6, "enable", 0) == int(is_v6)
        for end in client.ip_gen.dist_server.ip_range:
            low = int(ipaddress.ip_address(end))
            prefix = int(ipaddress.ip_address(info.ipv6.dst_msb)) if is_v6 else 0
            address = ipaddress.IPv6Address(prefix + low) if is_v6 else ipaddress.IPv4Address(low)
            assert rule_of(str(address), client.port) == "http", address


# As pktgen-dpdk's `cli_map` has it from 24.10.3 on: %P ports, %m a MAC address, %4 an IPv4 address, %d a number, %c a list.
GRAMMAR = [
    "range %P dst mac %m %m %m %m",
    "range %P src ip %4 %4 %4 %4",
    "range %P dst ip %4 %4 %4 %4",
    "range %P proto %|tcp|udp",
    "range %P tcp %|flag|flags %c",
    "range %P tcp seq %d %d %d %d",
    "range %P tcp ack %d %d %d %d",
    "range %P src port %d %d %d %d",
    "range %P dst port %d %d %d %d",
    "range %P size %d %d %d %d",
    "set %P %|count|rate %d",
    "enable %P %|range",
    "start %P",
    "delay %d",
]
FORMS = {
    "%P": r"all|\d+",
    "%m": r"([0-9a-f]{2}:){5}[0-9a-f]{2}",
    "%4": r"\d+\.\d+\.\d+\.\d+",
    "%d": r"\d+",
    # Other names are passed over in silence.
    "%c": r"(cwr|ece|urg|ack|psh|rst|syn|fin|clr)(,(cwr|ece|urg|ack|psh|rst|syn|fin|clr))*",
}
# Buffers of a TX queue's pool, and packets that are sent at once.
POOLS, BURST = (16384, 32768), 32


def is_command(words):
    def fits(form, word):
        if form.startswith("%|"):
            return word in form[2:].split("|")
        return re.fullmatch(FORMS.get(form, re.escape(form)), word) is not None

    forms = [command.split() for command in GRAMMAR]
    return any(len(form) == len(words) and all(map(fits, form, words)) for form in forms)


def check_pktgen():
    """The flows that are begun are the ones that a rule monitors, both ports speak of the same, and every start of all of them."""
    text = (HERE.parent / "pktgen/flows.pkt").read_text()
    values, counts, starts = {}, {}, []
    for line in text.splitlines():
        words = line.split("#")[0].split()
        assert not words or is_command(words), line
        if words[:1] == ["range"]:
            for port in "01" if words[1] == "all" else words[1]:
                values[(port, *words[2:4])] = words[4:]
        if words[:1] == ["set"] and words[2] == "count":
            for port in "01" if words[1] == "all" else words[1]:
                counts[port] = int(words[3])
        if words[:1] == ["start"]:
            port = words[1]
            seq, ack = (int(values[(port, "tcp", what)][0]) for what in ("seq", "ack"))
            starts.append((port, values[(port, "tcp", "flags")][0], seq, ack, counts[port]))
    for field in ("ip", "port"):
        assert values[("0", "src", field)] == values[("1", "dst", field)], field
        assert values[("0", "dst", field)] == values[("1", "src", field)], field
    start, low, high, step = values[("0", "src", "ip")]
    flows = number(high) - number(low) + 1
    # Buffers keep their flows only if the pool is so many times the range, and as few as two bursts have all of them.
    assert start == low and step == "0.0.0.1" and flows == 2 * BURST and not any(pool % flows for pool in POOLS)
    said = [start[:4] for start in starts]
    assert said == [("0", "syn", 1, 0), ("1", "syn,ack", 1, 2), ("0", "ack", 2, 2)], said
    assert all(count >= flows and count % flows == 0 for *_, count in starts), starts
    assert counts == {"0": 0, "1": 0}, "without an end, for rate.lua"
    server, port = values[("0", "dst", "ip")][0], int(values[("0", "dst", "port")][0])
    assert rule_of(server, port) == "packets"
    # One mapping an option; one core that sends is one TX queue.
    for place in (text, (ROOT / "docs/lab-nics.md").read_text()):
        assert re.findall(r'-m "(\S+)"', place) == ["[1-2:3].0", "[4-5:6].1"]


check_flood()
check_flows()
check_connections()
check_pktgen()
