"""TRex, advanced stateful: whole HTTP connections through the appliance, over IPv4 or IPv6.

    trex> start -f quadrille/connections.py -m 100000 -d 60
    trex> start -f quadrille/connections.py -m 100000 -d 60 -t --family v6
    trex> start -f quadrille/connections.py -m 1000 -d 60 -t --response 1048576
    trex> start -f quadrille/connections.py -m 20000 -d 60 -t --wait 50000

-m times 1 connection a second. A connection is a request, a response, and the client's close; `--wait` keeps it open for so
many milliseconds between two requests, so that -m times that are open at once. Its rule is "http" in configs/lab-nics.toml.

The file is not called http: TRex imports it by its name, which Python's own `http` has.
"""

import argparse

from trex.astf.api import *

REQUEST = b"GET /object HTTP/1.1\r\nHost: server.example\r\nAccept: */*\r\n\r\n"
PORT = 80


def response(body):
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % body + b"x" * body


class Http:
    def programs(self, body, wait):
        """The client's and the server's; with a wait, the request is made twice."""
        answer = response(body)
        client, server = ASTFProgram(), ASTFProgram()
        for last in [False, True] if wait else [True]:
            client.send(REQUEST)
            # Bytes in addition to those before: TRex adds them up.
            client.recv(len(answer))
            server.recv(len(REQUEST))
            server.send(answer)
            if not last:
                client.delay(1000 * wait)
        server.wait_for_peer_close()
        return client, server

    def addresses(self):
        clients = ASTFIPGenDist(ip_range=["10.0.0.1", "10.0.63.254"], distribution="seq")
        servers = ASTFIPGenDist(ip_range=["198.18.0.1", "198.18.15.254"], distribution="seq")
        # A second pair of ports has addresses of its own.
        offset = ASTFIPGenGlobal(ip_offset="0.1.0.0")
        return ASTFIPGen(glob=offset, dist_client=clients, dist_server=servers)

    def limits(self, family, wait):
        info = ASTFGlobalInfo()
        # A minimum of what real ends offer: bulk is not to be bounded by the generator's own window.
        info.tcp.rxbufsize = 256 * 1024
        info.tcp.txbufsize = 256 * 1024
        # TRex probes every connection that is silent for 5 seconds, and that cannot be turned off: seconds, longer than any wait.
        info.tcp.keepidle = 128 + wait // 1000
        info.tcp.keepintvl = 128
        if family == "v6":
            info.tcp.mss = 1440
            info.ipv6.src_msb = "2001:db8:1::"
            info.ipv6.dst_msb = "2001:db8:2::"
            info.ipv6.enable = 1
        return info

    def get_profile(self, tunables=(), **kwargs):
        parser = argparse.ArgumentParser(description="HTTP connections")
        parser.add_argument("--family", choices=["v4", "v6"], default="v4")
        parser.add_argument("--response", type=int, default=128, help="bytes of a body")
        parser.add_argument("--wait", type=int, default=0, help="milliseconds between two requests")
        asked = parser.parse_args(tunables)
        client, server = self.programs(asked.response, asked.wait)
        addresses = self.addresses()
        template = ASTFTemplate(
            client_template=ASTFTCPClientTemplate(program=client, ip_gen=addresses, port=PORT, cps=1),
            server_template=ASTFTCPServerTemplate(program=server, assoc=ASTFAssociationRule(port=PORT)),
        )
        limits = self.limits(asked.family, asked.wait)
        return ASTFProfile(
            default_ip_gen=addresses,
            default_c_glob_info=limits,
            default_s_glob_info=limits,
            templates=template,
        )


def register():
    return Http()
