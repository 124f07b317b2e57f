"""TRex, stateless: a million flows over IPv4 or IPv6, each begun with a handshake and then kept busy.

    trex> start -f quadrille/flows.py -p 0 -m 1mpps -t --phase syn
    trex> start -f quadrille/flows.py -p 1 -m 1mpps -t --phase synack
    trex> start -f quadrille/flows.py -p 0 -m 1mpps -t --phase ack
    trex> start -f quadrille/flows.py -p 0 1 -m 10mpps -d 60 -t --phase data

Each of the first three ends by itself, after one packet a flow; the next one begins once it has. The last one goes round all
flows both ways in 64-byte frames until it is stopped. With `--family v6` in each of them it is IPv6, in 84-byte frames. Only the
client's address differs between flows. Their rule is "packets" in configs/lab-nics.toml.
"""

import argparse

from trex.stl.api import *

FLOWS = 1 << 20
# The last four bytes of a client's address, in either family.
FIRST, LAST = 0x0A000000, 0x0A000000 + FLOWS - 1
CLIENT = {"v4": "10.0.0.0", "v6": "2001:db8:1::a00:0"}
SERVER = {"v4": "198.18.0.1", "v6": "2001:db8:2::c612:1"}
CLIENT_PORT, SERVER_PORT = 1024, 9
# Flags, sequence and acknowledgment number, payload, and the ports that send it: 0 is the clients', 1 the servers'.
PHASES = {
    "syn": ("S", 1, 0, b"", [0]),
    "synack": ("SA", 1, 2, b"", [1]),
    "ack": ("A", 2, 2, b"", [0]),
    "data": ("A", 2, 2, b"answer", [0, 1]),
}
# Without its checksum.
SHORTEST_FRAME = 60


class Flows:
    def packet(self, phase, family, direction):
        flags, seq, ack, payload, _ = PHASES[phase]
        ends = [(CLIENT[family], CLIENT_PORT), (SERVER[family], SERVER_PORT)]
        (source, sport), (destination, dport) = ends if direction == 0 else reversed(ends)
        network = (IP if family == "v4" else IPv6)(src=source, dst=destination)
        packet = Ether() / network / TCP(sport=sport, dport=dport, seq=seq, ack=ack, flags=flags, window=64240)
        if payload:
            packet = packet / Raw(payload)
        missing = SHORTEST_FRAME - len(packet)
        return packet / Padding(b"\0" * missing) if missing > 0 else packet

    def variables(self, family, direction):
        layer, fixup = ("IP", 0) if family == "v4" else ("IPv6", 12)
        vm = STLVM()
        # Each core takes its share of the addresses: together they send each once in as many packets.
        vm.var(name="client", min_value=FIRST, max_value=LAST, size=4, op="inc")
        vm.write(fv_name="client", pkt_offset=f"{layer}.{'src' if direction == 0 else 'dst'}", offset_fixup=fixup)
        # The device computes both checksums; it has to come last.
        vm.fix_chksum_hw(l3_offset=layer, l4_offset="TCP", l4_type=CTRexVmInsFixHwCs.L4_TYPE_TCP)
        return vm

    def get_streams(self, direction=0, tunables=(), **kwargs):
        parser = argparse.ArgumentParser(description="A million flows")
        parser.add_argument("--phase", choices=PHASES, required=True)
        parser.add_argument("--family", choices=["v4", "v6"], default="v4")
        asked = parser.parse_args(tunables)
        ports = PHASES[asked.phase][-1]
        if direction not in ports:
            parser.error(f"{asked.phase} is sent by port {ports[0]}: start it with -p {ports[0]}")
        # Not to be taken for a frame's checksum: what fills up a short frame stays.
        packet = STLPktBuilder(
            pkt=self.packet(asked.phase, asked.family, direction),
            vm=self.variables(asked.family, direction),
            remove_fcs=False,
        )
        mode = STLTXCont(pps=1000) if asked.phase == "data" else STLTXSingleBurst(pps=1000, total_pkts=FLOWS)
        return [STLStream(packet=packet, mode=mode)]


def register():
    return Flows()
