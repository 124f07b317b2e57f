"""Splits and merges flows at random, as long as it is let.

handover.py SOCKET SEED     asks the appliance behind SOCKET; prints `ordering` once it has an answer
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


def main(path, seed):
    dice = random.Random(int(seed))
    appliance = Appliance(path)
    appliance.ask("status")
    print("ordering", flush=True)
    while True:
        for flow in appliance.ask("flows")["ok"]:
            # What ends meanwhile, or is busy with its last order, refuses this one by name.
            verb = {"cut_through": "split", "monitored": "split", "participating": "merge"}.get(flow["path"])
            if verb:
                appliance.ask(verb, client=flow["client"], server=flow["server"])
        time.sleep(dice.choice((0, 0.001, 0.005, 0.02)))


main(*sys.argv[1:])
