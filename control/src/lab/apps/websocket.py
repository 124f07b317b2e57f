"""A WebSocket server that sends every message back, and a client that checks what comes.

websocket.py serve PORT                     prints `listening` when it does
websocket.py talk HOST PORT SECONDS         prints a report in JSON; exit code 0 only when every message came back
"""
import asyncio
import json
import random
import sys
import time

import websockets

# Messages under way at once.
WINDOW = 32


async def echo(connection, path=None):
    try:
        async for message in connection:
            await connection.send(message)
    except websockets.ConnectionClosed:
        pass


async def serve(port):
    async with websockets.serve(echo, None, port, compression=None, ping_interval=None):
        print("listening", flush=True)
        await asyncio.Future()


def message(number, noise):
    """Text and binary by turns, 20 bytes to 3 kB: all three lengths of a frame's length but the longest."""
    size = (number * 37) % 3000
    return f"{number} {noise[:size]}" if number % 2 else f"{number} ".encode() + noise[size:].encode()


async def talk(host, port, seconds):
    noise = "".join(random.Random(7).choices("abcdefghijklmnopqrstuvwxyz", k=3000))
    address = f"[{host}]" if ":" in host else host
    uri = f"ws://{address}:{port}/"
    async with websockets.connect(uri, compression=None, ping_interval=None, open_timeout=30) as connection:
        begin = time.monotonic()
        sent = received = bytes_back = 0
        while received < sent or time.monotonic() < begin + seconds:
            while sent < received + WINDOW and time.monotonic() < begin + seconds:
                await connection.send(message(sent, noise))
                sent += 1
            if received < sent:
                got = await asyncio.wait_for(connection.recv(), 30)
                if got != message(received, noise):
                    sys.exit(f"message {received} came back as {got[:80]!r}")
                received += 1
                bytes_back += len(got)
        took = time.monotonic() - begin
        await asyncio.wait_for(await connection.ping(), 30)
    print(json.dumps({"messages": received, "bytes": bytes_back, "per_second": received / took}))


command, *arguments = sys.argv[1:]
if command == "serve":
    asyncio.run(serve(int(arguments[0])))
else:
    asyncio.run(talk(arguments[0], int(arguments[1]), float(arguments[2])))
