"""TRex, stateless: SYNs that nobody means, from everywhere, over IPv4 and IPv6.

    trex> start -f quadrille/syn_flood.py -p 0 -m 10mpps
    trex> start -f quadrille/syn_flood.py -p 0 -m 10mpps -t --family v6

Every SYN has another source address, port and sequence number, and the options that Linux sends: a flood cannot be told by its
looks. The appliance's rule for it is "flood" in configs/lab-nics.toml.
"""

import argparse

from trex.stl.api import *

# As Linux sends them: 20 bytes.
OPTIONS = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1, 0)), ("NOP", None), ("WScale", 7)]
SERVERS = {"v4": "198.18.255.1", "v6": "2001:db8:2::c612:ff01"}
PORT = 80


class SynFlood:
    def packet(self, family):
        link = Ether()
        if family == "v4":
            network = IP(src="10.0.0.1", dst=SERVERS["v4"])
        else:
            network = IPv6(src="2001:db8:1::1", dst=SERVERS["v6"])
        return link / network / TCP(sport=1024, dport=PORT, seq=1, flags="S", window=64240, options=OPTIONS)

    def variables(self, family):
        # The last four bytes of the source: 10.0.0.0/8, or the same below 2001:db8:1::/96.
        layer, fixup = ("IP", 0) if family == "v4" else ("IPv6", 12)
        vm = STLVM()
        vm.var(name="source", min_value="10.0.0.1", max_value="10.255.255.254", size=4, op="random")
        vm.write(fv_name="source", pkt_offset=f"{layer}.src", offset_fixup=fixup)
        vm.var(name="port", min_value=1024, max_value=65535, size=2, op="random")
        vm.write(fv_name="port", pkt_offset="TCP.sport")
        vm.var(name="number", min_value=0, max_value=0xFFFFFFFF, size=4, op="random")
        vm.write(fv_name="number", pkt_offset="TCP.seq")
        # The device computes both checksums; it has to come last.
        vm.fix_chksum_hw(l3_offset=layer, l4_offset="TCP", l4_type=CTRexVmInsFixHwCs.L4_TYPE_TCP)
        return vm

    def get_streams(self, direction=0, tunables=(), **kwargs):
        parser = argparse.ArgumentParser(description="SYNs that nobody means")
        parser.add_argument("--family", choices=["v4", "v6"], default="v4")
        family = parser.parse_args(tunables).family
        packet = STLPktBuilder(pkt=self.packet(family), vm=self.variables(family))
        return [STLStream(packet=packet, mode=STLTXCont(pps=1000))]


def register():
    return SynFlood()
