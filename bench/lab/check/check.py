"""What the TRex profiles build, without TRex: every packet of the flood is parsed, both ends of a connection have to fit."""

import importlib.util
import ipaddress
import pathlib
import sys
import tomllib

from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

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
        low, high, size = vm.variables[name]
        at = offset(packet, layer, field) + fixup
        data[at : at + size] = number(low if end == 0 else high).to_bytes(size, "big")
    parsed = Ether(bytes(data))
    for layer in (IP, TCP):
        if layer in parsed:
            del parsed[layer].chksum
    return Ether(bytes(parsed))


def offset(packet, layer, field):
    """Of a field in the frame."""
    fields = {"IP": {"src": 12}, "IPv6": {"src": 8}, "TCP": {"sport": 0, "seq": 4}}
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


def check_http():
    for arguments in [[], ["--family", "v6"], ["--response", "100000"], ["--wait", "50"]]:
        built = profile("http").get_profile(arguments)
        client = built.templates.client_template
        server = built.templates.server_template
        assert client.port == server.assoc.port
        total = lambda program, what: sum(n for name, n in program.commands if name == what)
        for sender, receiver in [(client, server), (server, client)]:
            assert total(sender.program, "send") == total(receiver.program, "recv") > 0
        assert server.program.commands[-1][0] == "wait_for_peer_close", "the client closes first"
        is_v6 = "v6" in arguments
        info = built.default_c_glob_info
        assert getattr(info.ipv6, "enable", 0) == int(is_v6)
        for end in client.ip_gen.dist_server.ip_range:
            low = int(ipaddress.ip_address(end))
            prefix = int(ipaddress.ip_address(info.ipv6.dst_msb)) if is_v6 else 0
            address = ipaddress.IPv6Address(prefix + low) if is_v6 else ipaddress.IPv4Address(low)
            assert rule_of(str(address), client.port) == "http", address


def check_pktgen():
    """The flows that are begun are the ones that a rule monitors, and both ports speak of the same."""
    values = {}
    for line in (HERE.parent / "pktgen/flows.pkt").read_text().splitlines():
        words = line.split("#")[0].split()
        if words[:1] == ["range"] and words[2] in ("src", "dst") and words[3] in ("ip", "port"):
            values[(words[1], words[2], words[3])] = words[4:]
    for field in ("ip", "port"):
        assert values[("0", "src", field)] == values[("1", "dst", field)], field
        assert values[("0", "dst", field)] == values[("1", "src", field)], field
    start, low, high, step = values[("0", "src", "ip")]
    assert start == low and step == "0.0.0.1" and number(high) - number(low) + 1 == 1048576
    server, port = values[("0", "dst", "ip")][0], int(values[("0", "dst", "port")][0])
    assert rule_of(server, port) == "packets"


check_flood()
check_http()
check_pktgen()
