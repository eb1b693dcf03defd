#!/usr/bin/env python3
"""Latency of others while a publisher at full speed, or a stuck subscriber, keeps the server busy: gannet against nats-server.
Storms of logins are in benches/storms.

perf/storms.py [--pairs N] [--gannet PATH] [--oracle PATH] [--only load|flood]; prints Markdown. Standard library only.
Uses 127.0.0.1 and ports of the kernel's choice, and ends what it starts."""

import argparse
import multiprocessing
import os
import re
import socket
import statistics
import subprocess
import tempfile
import time

CONFIG = "max_pending: 64MB\n"
TIMEOUT_S = 300


class Server:
    def __init__(self, binary, flags):
        self.directory = tempfile.TemporaryDirectory()
        config = os.path.join(self.directory.name, "server.conf")
        with open(config, "w") as file:
            file.write(CONFIG)
        self.log_path = os.path.join(self.directory.name, "log")
        self.process = subprocess.Popen(
            [binary, "-a", "127.0.0.1", "-p", "-1", "-c", config, *flags],
            stdout=open(self.log_path, "w"),
            stderr=subprocess.STDOUT,
        )
        while "Server is ready" not in self.log():
            if self.process.poll() is not None:
                raise SystemExit(f"{binary} ended:\n{self.log()}")
            time.sleep(0.01)
        self.port = int(re.search(r"Listening for client connections on .*:(\d+)", self.log()).group(1))

    def log(self):
        with open(self.log_path) as file:
            return file.read()

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.line()
        self.send(b'CONNECT {"verbose":false}\r\n')

    def send(self, data):
        self.socket.sendall(data)

    def line(self):
        while b"\r\n" not in self.buffer:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def barrier(self):
        self.send(b"PING\r\n")
        while (line := self.line()) != b"PONG":
            if line.startswith(b"-ERR"):
                raise SystemExit(f"refused: {line}")

    def until_message(self):
        """Reads a message with an empty payload; answers a PING that comes between."""
        while True:
            line = self.line()
            if line == b"PING":
                self.send(b"PONG\r\n")
            elif line.startswith(b"MSG "):
                self.line()
                return


def ping_pong(port, ready, stop, result):
    """Request and reply between two connections, one in flight; the first two are on different shards of gannet."""
    responder, requester = Client(port), Client(port)
    responder.send(b"SUB ping 1\r\n")
    requester.send(b"SUB pong 1\r\n")
    responder.barrier()
    requester.barrier()
    ready.set()
    samples = []
    while not stop.is_set():
        start = time.perf_counter_ns()
        requester.send(b"PUB ping 0\r\n\r\n")
        responder.until_message()
        responder.send(b"PUB pong 0\r\n\r\n")
        requester.until_message()
        samples.append((start, time.perf_counter_ns() - start))
        # Paced: the measurement leaves the machine to the storm.
        time.sleep(0.001)
    result.send(samples)


def flood(port, seconds):
    """A subscriber that reads nothing, and a publisher that fills its socket and its outbox, again and again."""
    payload = b"PUB flood 1024\r\n" + b"x" * 1024 + b"\r\n"
    end = time.monotonic() + seconds
    publisher = Client(port)
    while time.monotonic() < end:
        stuck = Client(port)
        stuck.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.send(b"SUB flood 1\r\n")
        stuck.barrier()
        # 128 MiB: twice max_pending.
        for _ in range(2048):
            publisher.send(payload * 64)
            if time.monotonic() >= end:
                break
        stuck.socket.close()
    publisher.barrier()


def reader(port, subject, stop_after):
    client = Client(port)
    client.send(b"SUB %s 1\r\n" % subject)
    client.barrier()
    end = time.monotonic() + stop_after
    client.socket.settimeout(0.2)
    while time.monotonic() < end:
        try:
            client.socket.recv(1 << 20)
        except TimeoutError:
            pass


def load(port, seconds):
    """The same publisher and a subscriber that reads: what the load costs without anybody stuck."""
    reading = multiprocessing.Process(target=reader, args=(port, b"flood", seconds + 1))
    reading.start()
    time.sleep(0.2)
    payload = b"PUB flood 1024\r\n" + b"x" * 1024 + b"\r\n"
    end = time.monotonic() + seconds
    publisher = Client(port)
    while time.monotonic() < end:
        publisher.send(payload * 64)
    publisher.barrier()
    reading.join()


def measure(binary, flags, storm, calm_s):
    """Samples before and during a storm, in ns, and how long it took in s."""
    server = Server(binary, flags)
    ready, stop = multiprocessing.Event(), multiprocessing.Event()
    receive, send = multiprocessing.Pipe(False)
    pinger = multiprocessing.Process(target=ping_pong, args=(server.port, ready, stop, send))
    pinger.start()
    try:
        ready.wait()
        time.sleep(calm_s)
        start = time.perf_counter_ns()
        other = multiprocessing.Process(target=storm[0], args=(server.port, storm[1]))
        other.start()
        other.join()
        end = time.perf_counter_ns()
        stop.set()
        samples = receive.recv()
        if other.exitcode != 0:
            raise SystemExit(f"the storm failed:\n{server.log()[-2000:]}")
    finally:
        stop.set()
        pinger.join()
        server.stop()
    before = [ns for at, ns in samples if at < start]
    during = [ns for at, ns in samples if start <= at < end]
    return before, during, (end - start) / 1e9, server.log().lower().count("slow consumer")


def figures(samples):
    ordered = sorted(samples)
    at = lambda share: ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1000
    return at(0.5), at(0.99), ordered[-1] / 1000


def main():
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "target")
    parser = argparse.ArgumentParser()
    parser.add_argument("--gannet", default=os.path.join(root, "release/gannet"))
    parser.add_argument("--oracle", default=os.path.join(root, "oracle/bin/nats-server"))
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--calm", type=float, default=5, help="seconds before each storm, and of a flood")
    parser.add_argument("--only", choices=["load", "flood"])
    options = parser.parse_args()
    storms = {"load": (load, options.calm), "flood": (flood, options.calm)}
    sides = [("gannet", options.gannet, ["--shards", "2"]), ("nats-server", options.oracle, [])]
    print(f"load average before: {os.getloadavg()[0]:.1f}; medians of {options.pairs} runs, µs\n", flush=True)
    print("| storm | server | before p50 | p99 | max | during p50 | p99 | max | lasted s | cut |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for name, storm in storms.items():
        if options.only not in (None, name):
            continue
        rows = {side[0]: [] for side in sides}
        for pair in range(options.pairs):
            for label, binary, flags in sides if pair % 2 == 0 else sides[::-1]:
                before, during, lasted, cut = measure(binary, flags, storm, options.calm)
                rows[label].append((*figures(before), *figures(during), lasted, cut))
        for label, runs in rows.items():
            median = [statistics.median(column) for column in zip(*runs)]
            cells = [f"{value:,.0f}" for value in median[:6]] + [f"{median[6]:.1f}", f"{median[7]:.0f}"]
            print(f"| {name} | {label} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
