"""Splits and merges flows at random until its standard input ends, and says then what came of it.

hand_overs.py SOCKET SEED PAUSE DELTAS
    asks the appliance behind SOCKET, with up to PAUSE seconds between two rounds, and prints `ordering` once it has had an
    answer. DELTAS is `zero` or `other`: what those of merged flows have to be. They must never change; where one does, this
    ends at once with exit code 1. The last line is a report in JSON.
"""
import collections
import concurrent.futures
import json
import random
import select
import socket
import sys
import threading

# Orders in one round.
MOST = 32
# Merges that are waited for at once: of a busy flow each takes half a second, and others should not wait behind it.
WAITING = 16


class Appliance:
    def __init__(self, path):
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.connect(path)
        self.lines = self.connection.makefile("r")

    def ask(self, verb, **arguments):
        self.connection.sendall(json.dumps({"verb": verb, **arguments}).encode() + b"\n")
        return json.loads(self.lines.readline())


class Merges:
    """Orders whose answers may take their time, each flow's by itself."""

    def __init__(self, path):
        self.own = threading.local()
        self.path, self.pending, self.answers = path, {}, []
        self.pool = concurrent.futures.ThreadPoolExecutor(WAITING)

    def ask(self, client, server):
        if not hasattr(self.own, "appliance"):
            self.own.appliance = Appliance(self.path)
        return self.own.appliance.ask("merge", client=client, server=server)

    def order(self, flow):
        ends = flow["client"], flow["server"]
        if ends in self.pending and not self.pending[ends].done():
            return
        if ends in self.pending:
            self.answers.append(self.pending[ends].result())
        self.pending[ends] = self.pool.submit(self.ask, *ends)

    def all(self):
        return [*self.answers, *(answer.result() for answer in self.pending.values())]


class Deltas:
    """Of every flow that has been merged once. A quad that is used again is another flow, and younger."""

    def __init__(self, wanted):
        self.are_zero = wanted == "zero"
        self.seen = {}

    def check(self, flow):
        if not flow["merges"]:
            return
        ends, deltas = (flow["client"], flow["server"]), (flow["delta_c2s"], flow["delta_s2c"])
        before, age = self.seen.get(ends, (deltas, 0))
        self.seen[ends] = (deltas, flow["age_ms"])
        if age <= flow["age_ms"] and before != deltas:
            sys.exit(f"{ends}: the deltas were {before} and are {deltas}")
        if (deltas == (0, 0)) != self.are_zero:
            sys.exit(f"{ends}: the deltas are {deltas}")


def main(path, seed, pause, wanted):
    dice = random.Random(int(seed))
    appliance, merges, deltas = Appliance(path), Merges(path), Deltas(wanted)
    ordered, refused = collections.Counter(), collections.Counter()

    def count(verb, answer):
        # What ends meanwhile, or is busy with its last order, refuses this one by name.
        if "ok" in answer:
            ordered[verb] += 1
        else:
            refused[answer["error"]] += 1

    appliance.ask("status")
    print("ordering", flush=True)
    # Standard input is readable when it ends: nobody writes to it.
    while not select.select([sys.stdin], [], [], dice.random() * float(pause))[0]:
        listed = appliance.ask("flows")
        if "error" in listed:
            # On a busy machine a thread may not answer in time.
            refused[listed["error"]] += 1
        # The youngest first: among those that only linger, the ones that live would hardly get a turn.
        for flow in sorted(listed.get("ok", []), key=lambda flow: flow["age_ms"])[:MOST]:
            deltas.check(flow)
            verb = {"cut_through": "split", "monitored": "split", "participating": "merge"}.get(flow["path"])
            if not verb or dice.random() < 0.2:
                continue
            if verb == "merge":
                merges.order(flow)
            else:
                count(verb, appliance.ask(verb, client=flow["client"], server=flow["server"]))
    for answer in merges.all():
        count("merge", answer)
    print(json.dumps({"split": ordered["split"], "merge": ordered["merge"], "refused": refused}))


main(*sys.argv[1:])
