"""What the kernel's SYNPROXY takes for a SYN: with it, and with the same SYNs dropped on arrival, in turns.

Run in network and mount namespaces of its own (`unshare --net --mount`). For each line that it is told it says two figures, in
nanoseconds of processor time a SYN: dropped, answered. Argument: SYNs of each.
"""

import json
import os
import socket
import struct
import subprocess
import sys
import time

SYNS = int(sys.argv[1])
CLIENT, SERVER = "10.77.0.1", "10.77.0.2"

DROPPED = """
flush ruleset
table netdev flood {
  chain arrival { type filter hook ingress device "s" priority 0; ip protocol tcp drop; }
}
"""
ANSWERED = """
flush ruleset
table ip flood {
  chain arrival { type filter hook prerouting priority raw; tcp dport 80 tcp flags syn notrack; }
  chain local { type filter hook input priority filter;
    tcp dport 80 ct state invalid,untracked synproxy mss 1460 wscale 7 timestamp sack-perm; ct state invalid drop; }
}
# SYN-ACKs end before the device: what it takes, and whoever is behind it, is not the proxy's.
table netdev flood {
  chain departure { type filter hook egress device "s" priority 0; ip protocol tcp drop; }
}
"""


def run(line, **more):
    subprocess.run(line.split(), check=True, stdout=subprocess.DEVNULL, **more)


def rules(text):
    subprocess.run(["nft", "-f", "-"], input=text.encode(), check=True)


def build():
    run("mount -t tmpfs tmpfs /run")
    run("ip netns add client")
    run("ip link add s type veth peer name c netns client")
    for line in ["ip link set s up", f"ip addr add {SERVER}/24 dev s"]:
        run(line)
    for line in ["ip link set c up", f"ip addr add {CLIENT}/24 dev c"]:
        run(f"ip netns exec client {line}")
    # Sources are anywhere, and their neighbour is the client.
    run("ip route add default via 10.77.0.1")
    for name, value in [("tcp_syncookies", "1"), ("conf/all/rp_filter", "0"), ("conf/s/rp_filter", "0")]:
        with open(f"/proc/sys/net/ipv4/{name}", "w") as setting:
            setting.write(value)
    with open("/proc/sys/net/netfilter/nf_conntrack_tcp_loose", "w") as setting:
        setting.write("0")


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frames(macs):
    # As Linux sends them, and in its order: MSS, SACK permitted, timestamps, window scale.
    options = bytes([2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7])
    target = socket.inet_aton(SERVER)
    for n in range(1 << 16):
        source = struct.pack("!I", (172 << 24) + (16 << 16) + n)
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 60, 0, 0x4000, 64, 6, 0) + source + target
        ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
        tcp = struct.pack("!HHIIBBHHH", 1024 + n % 60000, 80, 7, 0, 0xA0, 2, 64240, 0, 0) + options
        pseudo = source + target + struct.pack("!HH", 6, len(tcp))
        tcp = tcp[:16] + struct.pack("!H", checksum(pseudo + tcp)) + tcp[18:]
        yield macs + b"\x08\x00" + ip + tcp


def address(device, *namespace):
    line = ["ip", *namespace, "-j", "link", "show", "dev", device]
    return json.loads(subprocess.run(line, capture_output=True, check=True).stdout)[0]["address"]


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def counted(name):
    """Of this namespace's SYNPROXY, all processors."""
    with open("/proc/net/stat/synproxy") as stat:
        lines = [line.split() for line in stat]
    return sum(int(line[lines[0].index(name)], 16) for line in lines[1:])


def spent(softirqd):
    """This thread's processor time, and that of the kernel's thread which takes over what it has no time for."""
    with open(f"/proc/{softirqd}/schedstat") as stat:
        return time.thread_time_ns() + int(stat.read().split()[0])


def kernel_thread(core):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm") as comm:
                if comm.read().strip() == f"ksoftirqd/{core}":
                    return pid
        except FileNotFoundError:
            pass
    sys.exit(f"no ksoftirqd/{core}: in a container that has processes of its own the kernel's cannot be asked (docker run --pid host)")


def sample(sender, syns, softirqd):
    start = spent(softirqd)
    for n in range(SYNS):
        sender.send(syns[n & 0xFFFF])
    return (spent(softirqd) - start) / SYNS


def main():
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    build()
    client, server = address("c", "-n", "client"), address("s")
    syns = list(frames(mac(server) + mac(client)))
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    run(f"ip neigh replace {CLIENT} lladdr {client} dev s nud permanent")
    there = os.open("/run/netns/client", os.O_RDONLY)
    setns(there)
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sender.bind(("c", 0))
    setns(here)
    softirqd = kernel_thread(core)
    for _ in sys.stdin:
        rules(DROPPED)
        dropped = sample(sender, syns, softirqd)
        rules(ANSWERED)
        before = counted("syn_received")
        answered = sample(sender, syns, softirqd)
        received = counted("syn_received") - before
        if received < 0.999 * SYNS:
            sys.exit(f"SYNPROXY has seen {received} of {SYNS} SYNs")
        print(dropped, answered, flush=True)


def setns(namespace):
    import ctypes

    if ctypes.CDLL(None, use_errno=True).setns(namespace, 0x40000000) != 0:
        sys.exit(f"setns: {os.strerror(ctypes.get_errno())}")


main()
