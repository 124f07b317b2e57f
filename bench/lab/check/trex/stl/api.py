"""As much of TRex's stateless API as the profiles use, to see what they build."""

from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Padding, Raw


class CTRexVmInsFixHwCs:
    L4_TYPE_UDP = 11
    L4_TYPE_TCP = 13
    L4_TYPE_IP = 17


class STLVM:
    def __init__(self):
        self.variables, self.writes, self.checksums = {}, [], None

    def var(self, name, min_value, max_value, size, op):
        assert op in ("inc", "dec", "random") and size in (1, 2, 4, 8)
        self.variables[name] = (min_value, max_value, size, op)

    def write(self, fv_name, pkt_offset, offset_fixup=0):
        assert self.checksums is None, "checksums come last"
        self.writes.append((fv_name, pkt_offset, offset_fixup))

    def fix_chksum_hw(self, l3_offset, l4_offset, l4_type):
        self.checksums = (l3_offset, l4_offset, l4_type)


class STLPktBuilder:
    def __init__(self, pkt, vm, remove_fcs=True):
        # As TRex does: what fills up a frame is taken for its checksum.
        if remove_fcs and isinstance(pkt.lastlayer(), Padding):
            pkt.lastlayer().underlayer.remove_payload()
        self.pkt, self.vm = pkt, vm


class STLTXCont:
    def __init__(self, pps):
        self.pps = pps


class STLTXSingleBurst:
    def __init__(self, pps, total_pkts):
        self.pps, self.total_pkts = pps, total_pkts


class STLStream:
    def __init__(self, packet, mode):
        self.packet, self.mode = packet, mode
