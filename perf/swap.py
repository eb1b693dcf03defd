#!/usr/bin/env python3
"""How long a message waits while a configuration of many accounts is reloaded: gannet against nats-server.

perf/swap.py [--accounts N] [--imports N] [--reloads N] [--shards N] [--gannet PATH] [--oracle PATH]; prints Markdown.
perf/swap.py --cpu: the CPU time of each of gannet's shards from the signal to 20 ms after the swap, with nobody connected, so that
other work of the machine does not count: no stop is longer than that.
Standard library only. Uses 127.0.0.1 and ports of the kernel's choice, and ends what it starts.

A client publishes to itself, one message in flight, on as many connections as there are shards; a round trip takes some
20 us. The server gets SIGHUP again and again, each time with another of two files that differ in one import of every
account. Told is the longest round trip while nothing happens, and between a signal and the line in the log that says
that the new configuration is in force. What else runs on the machine shows in both; compiling the tables takes a core, and
whoever else wants it waits. So the same is told of the 10 ms before that line and behind it, in which the tables are swapped: the
median of the longest round trips of all reloads, and the longest."""

import argparse
import multiprocessing
import os
import re
import signal
import socket
import statistics
import subprocess
import tempfile
import time


def config(accounts, imports, version):
    """Each account exports a stream and a service, and imports half of its imports of either kind."""
    lines = ["accounts {"]
    for at in range(accounts):
        taken = []
        for step in range(1, imports + 1):
            source = (at + step) % accounts
            if step % 2:
                prefix = f", prefix: v{version}" if step == 1 else ""
                taken.append(f'{{stream: {{account: A{source}, subject: "s.{source}.*"}}{prefix}}}')
            else:
                taken.append(f'{{service: {{account: A{source}, subject: "q.{source}"}}}}')
        lines.append(
            f'  A{at} {{ users: [{{user: u{at}, password: p}}], exports: [{{stream: "s.{at}.*"}}, {{service: "q.{at}"}}],'
            f' imports: [{", ".join(taken)}] }}'
        )
    return "\n".join(lines) + "\n}\n"


class Server:
    def __init__(self, binary, flags, text):
        self.directory = tempfile.TemporaryDirectory()
        self.config = os.path.join(self.directory.name, "server.conf")
        self.write(text)
        self.log_path = os.path.join(self.directory.name, "log")
        self.process = subprocess.Popen(
            [binary, "-a", "127.0.0.1", "-p", "-1", "-c", self.config, *flags],
            stdout=open(self.log_path, "w"),
            stderr=subprocess.STDOUT,
        )
        self.wait_for("Server is ready", 1)
        self.port = int(re.search(r"Listening for client connections on .*:(\d+)", self.log()).group(1))

    def write(self, text):
        with open(self.config, "w") as file:
            file.write(text)

    def log(self):
        with open(self.log_path) as file:
            return file.read()

    def wait_for(self, text, count):
        while self.log().count(text) < count:
            if self.process.poll() is not None or "Failed to reload" in self.log():
                raise SystemExit(f"{self.process.args[0]}:\n{self.log()}")
            time.sleep(0.005)

    def stop(self):
        self.process.terminate()
        self.process.wait()


SWAP_NS = 10_000_000


def ping_pong(port, user, until, report):
    """Publishes to itself until told to stop; reports when each round trip of over 20 us began and how long it took."""
    client = socket.create_connection(("127.0.0.1", port))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connect = f'CONNECT {{"verbose":false,"user":"{user}","pass":"p"}}\r\nSUB own.{user} 1\r\nPING\r\n'
    client.sendall(connect.encode())
    received = b""
    while not received.endswith(b"PONG\r\n"):
        received += client.recv(65536)
    message = f"PUB own.{user} 1\r\nx\r\n".encode()
    slow, count = [], 0
    while not until.is_set():
        began = time.monotonic_ns()
        client.sendall(message)
        received = b""
        while not received.endswith(b"\r\nx\r\n"):
            got = client.recv(65536)
            if not got:
                raise SystemExit("the server has closed the connection")
            if b"PING\r\n" in got:
                client.sendall(b"PONG\r\n")
                got = got.replace(b"PING\r\n", b"")
            received += got
        took = time.monotonic_ns() - began
        count += 1
        if took > 20_000:
            slow.append((began, took))
    report.put((count, slow))


def longest(slow, times):
    """The longest round trip that touches one of these times, ns."""
    touches = [took for began, took in slow if any(began < end and began + took > start for start, end in times)]
    return max(touches, default=0)


def measure(binary, flags, options, connections):
    texts = [config(options.accounts, options.imports, version) for version in (1, 2)]
    server = Server(binary, flags, texts[0])
    try:
        until, report = multiprocessing.Event(), multiprocessing.Queue()
        clients = [
            multiprocessing.Process(target=ping_pong, args=(server.port, f"u{n}", until, report))
            for n in range(connections)
        ]
        for client in clients:
            client.start()
        time.sleep(1)
        quiet, busy = [], []
        for number in range(options.reloads):
            server.write(texts[(number + 1) % 2])
            start = time.monotonic_ns()
            time.sleep(options.quiet)
            end = time.monotonic_ns()
            quiet.append((start, end))
            server.process.send_signal(signal.SIGHUP)
            server.wait_for("Reloaded server configuration", number + 1)
            busy.append((end, time.monotonic_ns()))
        until.set()
        reports = [report.get() for _ in clients]
        for client in clients:
            client.join()
    finally:
        server.stop()
    slow = [entry for _, entries in reports for entry in entries]
    trips = sum(count for count, _ in reports)
    reload_ms = sum(end - start for start, end in busy) / len(busy) / 1e6
    swaps = [longest(slow, [(end - SWAP_NS, end + SWAP_NS)]) / 1e6 for _, end in busy]
    return trips, longest(slow, quiet) / 1e6, longest(slow, busy) / 1e6, reload_ms, swaps


def shard_cpu_us(pid):
    """CPU time of each shard's thread so far."""
    tasks = [f"/proc/{pid}/task/{task}" for task in sorted(os.listdir(f"/proc/{pid}/task"))]
    shards = [task for task in tasks if open(f"{task}/comm").read().startswith("shard-")]
    return [int(open(f"{task}/schedstat").read().split()[0]) / 1000 for task in shards]


def swap_cpu(options):
    """What each reload costs each shard, us."""
    texts = [config(options.accounts, options.imports, version) for version in (1, 2)]
    server = Server(options.gannet, ["--shards", str(options.shards)], texts[0])
    costs = []
    try:
        for number in range(options.reloads):
            time.sleep(options.quiet)
            server.write(texts[(number + 1) % 2])
            before = shard_cpu_us(server.process.pid)
            server.process.send_signal(signal.SIGHUP)
            server.wait_for("Reloaded server configuration", number + 1)
            time.sleep(0.02)
            costs += [after - then for then, after in zip(before, shard_cpu_us(server.process.pid))]
    finally:
        server.stop()
    return costs


def main():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=10_000)
    parser.add_argument("--imports", type=int, default=10)
    parser.add_argument("--reloads", type=int, default=5)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--quiet", type=float, default=2.0, help="seconds between two reloads")
    parser.add_argument("--gannet", default=os.path.join(root, "target/release/gannet"))
    parser.add_argument("--oracle", default=os.path.join(root, "target/oracle/bin/nats-server"))
    parser.add_argument("--cpu", action="store_true", help="CPU time of gannet's shards at a swap instead")
    options = parser.parse_args()
    if options.cpu:
        costs = swap_cpu(options)
        print(f"us of CPU a shard and reload: median {statistics.median(costs):.0f}, most {max(costs):.0f}")
        return
    print("| server | round trips | longest, quiet, ms | longest, reloading, ms | a reload, ms | at the swap, ms | longest |")
    print("|---|---|---|---|---|---|---|")
    sides = [("gannet", options.gannet, ["--shards", str(options.shards)]), ("nats-server", options.oracle, [])]
    for name, binary, flags in sides:
        trips, quiet, busy, reload, swaps = measure(binary, flags, options, options.shards)
        swap = f"{statistics.median(swaps):.2f} | {max(swaps):.2f}"
        print(f"| {name} | {trips} | {quiet:.2f} | {busy:.2f} | {reload:.0f} | {swap} |", flush=True)


if __name__ == "__main__":
    main()
