"""As much of TRex's stateful API as the profiles use, to see what they build."""

from types import SimpleNamespace


class Record:
    """Takes any of its known arguments, by name."""

    known = ()

    def __init__(self, **values):
        assert set(values) <= set(self.known), f"{type(self).__name__}: {set(values) - set(self.known)}"
        self.__dict__.update(values)


class ASTFProgram:
    def __init__(self):
        self.commands = []

    def send(self, buf):
        assert isinstance(buf, bytes)
        self.commands.append(("send", len(buf)))

    def recv(self, bytes):
        self.commands.append(("recv", bytes))

    def delay(self, usec):
        self.commands.append(("delay", usec))

    def wait_for_peer_close(self):
        self.commands.append(("wait_for_peer_close", None))


class ASTFIPGenDist(Record):
    known = ("ip_range", "distribution")


class ASTFIPGenGlobal(Record):
    known = ("ip_offset",)


class ASTFIPGen(Record):
    known = ("glob", "dist_client", "dist_server")


class ASTFGlobalInfo:
    def __init__(self):
        self.tcp, self.ipv6 = SimpleNamespace(), SimpleNamespace()


class ASTFAssociationRule(Record):
    known = ("port",)


class ASTFTCPClientTemplate(Record):
    known = ("program", "ip_gen", "port", "cps")


class ASTFTCPServerTemplate(Record):
    known = ("program", "assoc")


class ASTFTemplate(Record):
    known = ("client_template", "server_template")


class ASTFProfile(Record):
    known = ("default_ip_gen", "default_c_glob_info", "default_s_glob_info", "templates")
