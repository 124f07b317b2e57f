"""A mail server, which speaks first, and a client that sends mails and is told what has arrived.

smtp.py serve PORT                        prints `listening`; answers DATA with the SHA-256 of what it was given
smtp.py send ADDRESS PORT SECONDS         sends mails for so long, several on each connection; prints a report in JSON
"""
import hashlib
import json
import random
import sys
import time

# Lines as long as they may be (RFC 5321 section 4.5.3.1.6), some of which begin with the dot that is sent twice.
LINE = b".".ljust(64, b"x") + b"0123456789abcdef" * 58 + b"\r\n"
# A mail between a greeting card and a photograph; so many before the next greeting.
SIZES = (1, 4, 40, 400)
MAILS = 50


def serve(port):
    import asyncio
    import logging

    from aiosmtpd.smtp import SMTP

    class Digest:
        async def handle_DATA(self, server, session, envelope):
            return "250 " + hashlib.sha256(envelope.content).hexdigest()

    async def listen():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: SMTP(Digest(), hostname="lab", loop=loop), None, int(port))
        print("listening", flush=True)
        await server.serve_forever()

    logging.getLogger("mail.log").setLevel(logging.ERROR)
    asyncio.run(listen())


def send(address, port, seconds):
    import smtplib

    dice = random.Random(25)
    begin, mails, octets, connections = time.monotonic(), 0, 0, 0
    while time.monotonic() < begin + float(seconds) or not mails:
        # Raises where the greeting is not one, and where a reply does not come.
        with smtplib.SMTP(address, int(port), local_hostname="lab", timeout=30) as server:
            connections += 1
            server.ehlo()
            for _ in range(MAILS):
                text = b"Subject: %d\r\n\r\n" % mails + dice.choice(SIZES) * LINE
                server.mail("client@lab")
                server.rcpt("server@lab")
                code, said = server.data(text)
                wanted = hashlib.sha256(text).hexdigest()
                if code != 250 or said.decode() != wanted:
                    sys.exit(f"mail {mails} of {len(text)} bytes: {wanted} was sent, {code} {said} was the answer")
                mails += 1
                octets += len(text)
    took = time.monotonic() - begin
    report = {"mails": mails, "connections": connections, "bytes": octets, "per_second": mails / took}
    print(json.dumps(report))


{"serve": serve, "send": send}[sys.argv[1]](*sys.argv[2:])
