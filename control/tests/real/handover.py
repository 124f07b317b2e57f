"""Splits and merges flows at random, as long as it is let.

handover.py SOCKET SEED PAUSE     asks the appliance behind SOCKET, with at most PAUSE seconds between two rounds; prints
                                  `ordering` once it has an answer, and ends when a flow's deltas have changed
"""
import json
import random
import socket
import sys
import time


class Appliance:
    def __init__(self, path):
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.connect(path)
        self.lines = self.connection.makefile("r")

    def ask(self, verb, **arguments):
        self.connection.sendall(json.dumps({"verb": verb, **arguments}).encode() + b"\n")
        return json.loads(self.lines.readline())


def main(path, seed, pause):
    dice = random.Random(int(seed))
    appliance = Appliance(path)
    appliance.ask("status")
    print("ordering", flush=True)
    deltas = {}
    while True:
        for flow in appliance.ask("flows")["ok"]:
            # What ends meanwhile, or is busy with its last order, refuses this one by name.
            verb = {"cut_through": "split", "monitored": "split", "participating": "merge"}.get(flow["path"])
            ends = (flow["client"], flow["server"])
            if flow["merges"]:
                seen = (flow["delta_c2s"], flow["delta_s2c"])
                deltas.setdefault(ends, seen) == seen or sys.exit(f"{ends}: deltas {deltas[ends]}, then {seen}")
            if verb:
                appliance.ask(verb, client=ends[0], server=ends[1])
        time.sleep(dice.random() * float(pause))


main(*sys.argv[1:])
