"""The checks of tests/clients with nats-py. Prints one line a check; ends with failure when one fails."""

import asyncio
import os
import ssl
import sys
import traceback

import nats
import nats.errors

OPEN = os.environ["CLIENTS_OPEN"]
LARGE = os.environ["CLIENTS_LARGE"]
USERS = os.environ["CLIENTS_USERS"]
TOKEN = os.environ["CLIENTS_TOKEN"]
ACCOUNTS = os.environ["CLIENTS_ACCOUNTS"]
NKEYS = os.environ["CLIENTS_NKEYS"]
OPERATOR = os.environ["CLIENTS_OPERATOR"]
TLS = os.environ["CLIENTS_TLS"]
TLS_VERIFY = os.environ["CLIENTS_TLS_VERIFY"]
TLS_MAP = os.environ["CLIENTS_TLS_MAP"]
MATERIAL = os.environ["CLIENTS_MATERIAL"]
MESSAGES = int(os.environ.get("CLIENTS_MESSAGES", "20000"))
# Upper bound of every wait, only there to turn a hang into a failure.
WAIT = 60
MIB = 1024 * 1024


async def connect(url=OPEN, **options):
    async def ignore(_):
        pass

    options.setdefault("error_cb", ignore)
    options.setdefault("connect_timeout", WAIT)
    # A subscription's queue never overflows here: a lost message is the server's fault.
    return await nats.connect(url, **options)


async def connections(count, **options):
    """Several, so that some sit on different shards."""
    return [await connect(**options) for _ in range(count)]


async def close(*clients):
    for client in clients:
        await client.close()


async def synced(client):
    """What was sent before has reached the server. The first PING overtakes what nats-py holds back; the second does not."""
    await client.flush(WAIT)
    await client.flush(WAIT)


async def next_of(sub):
    return await sub.next_msg(timeout=WAIT)


async def nothing_waits(client, sub):
    """After a round trip, what was sent before has arrived."""
    await synced(client)
    assert sub.pending_msgs == 0, f"{sub.pending_msgs} messages too many"


async def harness(line):
    print(line, flush=True)
    answer = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    assert answer == "done\n", answer


async def info():
    client = await connect()
    got = client._server_info
    assert client.max_payload == MIB
    assert got["server_id"].startswith("N") and len(got["server_id"]) == 56, got
    assert got["server_name"] == "clients", got
    assert client.connected_server_version.major == 2, got
    assert got["headers"] is True and got["proto"] == 1, got
    assert client.client_id == got["client_id"] > 0, got
    assert client.client_ip == "127.0.0.1", got
    await close(client)


async def publish_subscribe():
    clients = await connections(4)
    for subscriber in clients:
        for publisher in clients:
            sub = await subscriber.subscribe("ps.a")
            await synced(subscriber)
            await publisher.publish("ps.a", b"hello", reply="ps.reply")
            msg = await next_of(sub)
            assert (msg.subject, msg.data, msg.reply) == ("ps.a", b"hello", "ps.reply"), msg
            await publisher.publish("ps.a")
            assert (await next_of(sub)).data == b""
            await sub.unsubscribe()
            await synced(subscriber)
            await publisher.publish("ps.a", b"late")
            await synced(publisher)
            await nothing_waits(subscriber, sub)
    await close(*clients)


async def wildcards():
    clients = await connections(3)
    a, b, publisher = clients
    subs = {}
    for client, pattern in [(a, "w.*"), (b, "w.>"), (a, "w.*.z"), (b, "*.x.>"), (a, ">"), (b, "w.x")]:
        subs[pattern] = await client.subscribe(pattern)
    await synced(a)
    await synced(b)
    for subject in ["w", "w.x", "w.x.y", "w.y.z", "v.x.z", "w.x.z"]:
        await publisher.publish(subject)
    await synced(publisher)
    await synced(a)
    await synced(b)
    expected = {
        "w.*": ["w.x"],
        "w.>": ["w.x", "w.x.y", "w.y.z", "w.x.z"],
        "w.*.z": ["w.y.z", "w.x.z"],
        "*.x.>": ["w.x.y", "v.x.z", "w.x.z"],
        ">": ["w", "w.x", "w.x.y", "w.y.z", "v.x.z", "w.x.z"],
        "w.x": ["w.x"],
    }
    for pattern, subjects in expected.items():
        got = [(await next_of(subs[pattern])).subject for _ in range(subs[pattern].pending_msgs)]
        assert got == subjects, (pattern, got)
    await close(*clients)


async def queue_groups():
    clients = await connections(5)
    members = [await client.subscribe("q.a", queue="workers") for client in clients[:4] for _ in range(2)]
    others = [await client.subscribe("q.*", queue="others") for client in clients[:2]]
    plain = await clients[4].subscribe("q.a")
    for client in clients:
        await synced(client)
    count = 800
    for n in range(count):
        await clients[n % 5].publish("q.a", str(n).encode())
    for _ in range(2):
        for client in clients:
            await synced(client)
    everything = sorted(str(n).encode() for n in range(count))
    for group in [members, others, [plain]]:
        got = [(await next_of(sub)).data for sub in group for _ in range(sub.pending_msgs)]
        assert sorted(got) == everything, f"{len(got)} of {count}"
    assert all(sub.delivered > 0 for sub in members), [sub.delivered for sub in members]
    await close(*clients)


async def responder(client, subject, **options):
    async def answer(msg):
        await msg.respond(msg.data[::-1])

    sub = await client.subscribe(subject, cb=answer, **options)
    await synced(client)
    return sub


async def request_reply():
    clients = await connections(4)
    await responder(clients[0], "rr.a")
    for client in clients:
        for n in range(20):
            data = f"request {n}".encode()
            msg = await client.request("rr.a", data, timeout=WAIT)
            assert msg.data == data[::-1], msg
        msg = await client.request("rr.a", b"old", timeout=WAIT, old_style=True)
        assert msg.data == b"dlo"
    await close(*clients)


async def concurrent_requests():
    clients = await connections(4)
    for client in clients[:3]:
        await responder(client, "cr.a", queue="workers")
    wanted = [(client, f"{n:04}".encode()) for n in range(250) for client in clients]
    answers = await asyncio.gather(*(c.request("cr.a", data, timeout=WAIT) for c, data in wanted))
    for (_, data), answer in zip(wanted, answers):
        assert answer.data == data[::-1], (data, answer)
    await close(*clients)


async def headers():
    clients = await connections(2)
    a, b = clients

    async def answer(msg):
        await msg.respond(msg.headers["Question"].encode())

    sub = await a.subscribe("h.a")
    await a.subscribe("h.ask", cb=answer)
    await synced(a)
    sent = {"Some-Key": "a value: with colon", "lower": "x", "Empty": ""}
    await b.publish("h.a", b"payload", headers=sent)
    await b.publish("h.a", b"", headers={"K": "v" * 4000})
    await b.publish("h.a", b"none")
    msg = await next_of(sub)
    assert msg.headers == sent and msg.data == b"payload", (msg.headers, msg.data)
    msg = await next_of(sub)
    assert msg.headers == {"K": "v" * 4000} and msg.data == b"", msg.headers
    msg = await next_of(sub)
    assert not msg.headers and msg.data == b"none", msg.headers
    msg = await b.request("h.ask", headers={"Question": "why"}, timeout=WAIT)
    assert msg.data == b"why"
    await close(*clients)


async def no_responders():
    clients = await connections(2)
    for client in clients:
        await raises(nats.errors.NoRespondersError, client.request("nobody.there", b"x", timeout=WAIT))
    sub = await responder(clients[0], "nr.a")
    assert (await clients[1].request("nr.a", b"ab", timeout=WAIT)).data == b"ba"
    await sub.unsubscribe()
    await synced(clients[0])
    await raises(nats.errors.NoRespondersError, clients[1].request("nr.a", b"x", timeout=WAIT))
    await close(*clients)


async def unsubscribe_max():
    clients = await connections(4)
    for subscriber in clients:
        sub = await subscriber.subscribe("um.a")
        await sub.unsubscribe(limit=5)
        control = await subscriber.subscribe("um.a")
        await synced(subscriber)
        for n in range(40):
            await clients[n % 4].publish("um.a", str(n).encode())
        for client in clients:
            await synced(client)
        got = [await next_of(control) for _ in range(40)]
        assert len(got) == 40
        assert sub._received == 5, sub._received
        await control.unsubscribe()
        await synced(subscriber)
    await close(*clients)


async def drain():
    clients = await connections(2)
    publisher = clients[0]
    closed = asyncio.Event()
    got = []

    async def closed_cb():
        closed.set()

    async def slow(msg):
        await asyncio.sleep(0)
        got.append(msg.data)

    subscriber = await connect(closed_cb=closed_cb)
    await subscriber.subscribe("d.a", cb=slow)
    await synced(subscriber)
    for n in range(500):
        await publisher.publish("d.a", str(n).encode())
    await synced(publisher)
    await subscriber.drain()
    await asyncio.wait_for(closed.wait(), WAIT)
    assert got == [str(n).encode() for n in range(500)], len(got)
    # One subscription alone: the connection stays.
    kept = await clients[1].subscribe("d.kept")
    gone = await clients[1].subscribe("d.gone", cb=slow)
    await synced(clients[1])
    got.clear()
    await publisher.publish("d.gone", b"before")
    await synced(publisher)
    await gone.drain()
    await publisher.publish("d.gone", b"after")
    await publisher.publish("d.kept", b"kept")
    assert (await next_of(kept)).data == b"kept"
    assert got == [b"before"], got
    await close(*clients)


async def flush():
    client = await connect()
    for _ in range(50):
        await client.flush(WAIT)
        assert await client.rtt(WAIT) > 0
    await close(client)


async def echo_off():
    deaf = await connect(no_echo=True)
    other = await connect()
    sub = await deaf.subscribe("e.a")
    in_queue = await deaf.subscribe("e.a", queue="q")
    heard = await other.subscribe("e.a")
    await synced(deaf)
    await synced(other)
    await deaf.publish("e.a", b"own")
    await other.publish("e.a", b"foreign")
    assert (await next_of(sub)).data == b"foreign"
    assert (await next_of(in_queue)).data == b"foreign"
    assert sorted([(await next_of(heard)).data, (await next_of(heard)).data]) == [b"foreign", b"own"]
    await nothing_waits(deaf, sub)
    await nothing_waits(deaf, in_queue)
    await close(deaf, other)


async def many_subscriptions():
    clients = await connections(3)
    a, b, publisher = clients
    count = 2000
    subs = [await (a if n % 2 else b).subscribe(f"ms.{n}") for n in range(count)]
    await synced(a)
    await synced(b)
    for n in range(count):
        await publisher.publish(f"ms.{n}", str(n).encode())
    for n, sub in enumerate(subs):
        assert (await next_of(sub)).data == str(n).encode()
    for client in clients:
        await synced(client)
    assert all(sub.pending_msgs == 0 for sub in subs)
    for sub in subs:
        await sub.unsubscribe()
    await synced(a)
    await synced(b)
    await raises(nats.errors.NoRespondersError, publisher.request("ms.7", timeout=WAIT))
    await close(*clients)


async def many_messages():
    clients = await connections(4)
    done = [asyncio.Event() for _ in range(2)]
    got = [[0, 0], [0, 0]]  # next number expected, by subscriber and publisher
    each = MESSAGES // 4

    def subscriber(at):
        async def receive(msg):
            who, number, _ = msg.data.split(b" ")
            assert int(number) == got[at][int(who)], f"{msg.data[:20]} after {got[at]}"
            got[at][int(who)] += 1
            if sum(got[at]) == 2 * each:
                done[at].set()

        return receive

    for at in range(2):
        await clients[at].subscribe("mm.>", cb=subscriber(at), pending_msgs_limit=-1, pending_bytes_limit=-1)
        await synced(clients[at])

    async def publish(who, client):
        for n in range(each):
            await client.publish(f"mm.{n % 100}", b"%d %d %s" % (who, n, b"x" * (n % 200)))
            if n % 500 == 499:
                await asyncio.sleep(0)
        await synced(client)

    await asyncio.gather(publish(0, clients[2]), publish(1, clients[3]))
    for at in range(2):
        try:
            await asyncio.wait_for(done[at].wait(), WAIT)
        except asyncio.TimeoutError:
            raise AssertionError(f"{got} of {each} each") from None
    await close(*clients)


async def max_payload():
    client = await connect()
    sub = await client.subscribe("mp.a")
    await raises(nats.errors.MaxPayloadError, client.publish("mp.a", b"x" * (MIB + 1)))
    await client.publish("mp.a", b"fits")
    assert (await next_of(sub)).data == b"fits"
    await close(client)
    # What the client would refuse, sent all the same: the server closes, perhaps before its reason can be read.
    closed = asyncio.Event()

    async def closed_cb():
        closed.set()

    client = await connect(closed_cb=closed_cb, allow_reconnect=False)
    client._max_payload = 2 * MIB
    try:
        await client.publish("mp.a", b"x" * (MIB + 1))
    except nats.errors.ConnectionClosedError:
        pass
    await asyncio.wait_for(closed.wait(), WAIT)
    assert client.is_closed


async def payload(url, size):
    clients = [await connect(url, pending_size=4 * size) for _ in range(4)]
    data = bytes(n * 7 % 251 for n in range(251)) * (size // 251 + 1)
    data = data[:size]
    await responder(clients[0], "p.echo")
    subs = [await client.subscribe("p.a") for client in clients[:2]]
    for client in clients:
        await synced(client)
    for client in clients:
        await client.publish("p.a", data)
        for sub in subs:
            msg = await next_of(sub)
            assert msg.data == data, len(msg.data)
    answer = await clients[3].request("p.echo", data, timeout=WAIT)
    assert answer.data == data[::-1]
    await close(*clients)


async def payload_1_mib():
    await payload(OPEN, MIB)


async def payload_8_mib():
    await payload(LARGE, 8 * MIB)


async def authentication():
    for options in [
        {"url": USERS, "user": "alice", "password": "sekret-a"},
        {"url": USERS, "user": "bob", "password": "sekret-b"},
        {"url": USERS, "user": "carol", "password": "sekret-c"},
        {"url": USERS.replace("//", "//bob:sekret-b@")},
        {"url": TOKEN, "token": "sekret-t"},
        {"url": TOKEN.replace("//", "//sekret-t@")},
    ]:
        await usable(**options)


async def authentication_errors():
    for options in [
        {"url": USERS},
        {"url": USERS, "user": "alice", "password": "wrong"},
        {"url": USERS, "user": "alice", "password": ""},
        {"url": USERS, "user": "nobody", "password": "sekret-a"},
        {"url": USERS, "user": "bob", "password": "wrong"},
        {"url": USERS, "token": "sekret-t"},
        {"url": TOKEN},
        {"url": TOKEN, "token": "wrong"},
        {"url": TOKEN, "user": "alice", "password": "sekret-t"},
    ]:
        await violation(**options)


async def nkeys():
    await usable(NKEYS, nkeys_seed=material("alice.seed"))
    with open(material("alice.seed")) as seed:
        await usable(NKEYS, nkeys_seed_str=seed.read())
    await violation(url=NKEYS, nkeys_seed=material("stranger.seed"))
    await violation(url=NKEYS)


async def credentials():
    await usable(OPERATOR, user_credentials=material("app.creds"))
    for name in ["expired", "foreign", "mismatch"]:
        await violation(url=OPERATOR, user_credentials=material(f"{name}.creds"))
    await violation(url=OPERATOR)


async def tls():
    await usable(TLS, tls=trusting("ca"), token="sekret-t")
    await violation(url=TLS, tls=trusting("ca"), token="wrong")
    await refused(url=TLS, tls=trusting("other-ca"), token="sekret-t")


async def tls_verify():
    await usable(TLS_VERIFY, tls=trusting("ca", "mail"))
    await refused(url=TLS_VERIFY, tls=trusting("ca"))
    await refused(url=TLS_VERIFY, tls=trusting("ca", "client-stray"))


async def tls_map():
    await usable(TLS_MAP, tls=trusting("ca", "joe"))
    await usable(TLS_MAP, tls=trusting("ca", "names"))
    await violation(url=TLS_MAP, tls=trusting("ca", "mail"))
    await refused(url=TLS_MAP, tls=trusting("ca"))


def material(name):
    return os.path.join(MATERIAL, name)


def trusting(authority, identity=None):
    """TLS that trusts one authority, and shows a certificate."""
    context = ssl.create_default_context(cafile=material(f"{authority}.pem"))
    if identity:
        context.load_cert_chain(material(f"{identity}.pem"), material(f"{identity}.key"))
    return context


async def usable(url, **options):
    """Those who log in so can publish, subscribe, ask and answer. Several, so that some sit on different shards."""
    a, b = [await connect(url, **options) for _ in range(2)]
    sub = await a.subscribe("allowed.a")
    await synced(a)
    await b.publish("allowed.a", b"x")
    assert (await next_of(sub)).data == b"x"
    await responder(a, "allowed.ask")
    assert (await b.request("allowed.ask", b"ab", timeout=WAIT)).data == b"ba"
    await close(a, b)


async def violation(**options):
    seen = await refused(**options)
    assert any("authorization violation" in str(e).lower() for e in seen), seen


async def refused(**options):
    """What a client hears that is not let in."""
    seen = []

    async def error_cb(error):
        seen.append(error)

    try:
        await close(await connect(**options, allow_reconnect=False, error_cb=error_cb))
    except (nats.errors.Error, OSError) as error:
        return [*seen, error]
    raise AssertionError(f"let in: {options}")


async def permissions():
    errors = asyncio.Queue()
    carol = await connect(USERS, user="carol", password="sekret-c", error_cb=errors.put)
    alice = await connect(USERS, user="alice", password="sekret-a")
    everything = await alice.subscribe(">")
    await synced(alice)
    sub = await carol.subscribe("allowed.>")

    async def refused(text):
        error = await asyncio.wait_for(errors.get(), WAIT)
        assert text in str(error).lower(), error

    await carol.publish("secret.a", b"x")
    await refused('permissions violation for publish to "secret.a"')
    await carol.publish("allowed.not", b"x")
    await refused('permissions violation for publish to "allowed.not"')
    await carol.subscribe("secret.>")
    await refused('permissions violation for subscription to "secret.>"')
    await carol.publish("allowed.yes", b"x")
    assert (await next_of(sub)).subject == "allowed.yes"
    # Still connected, and nothing refused got through.
    assert (await next_of(everything)).subject == "allowed.yes"
    await alice.publish("secret.a", b"not for carol")
    await responder(alice, "allowed.ask")
    assert (await carol.request("allowed.ask", b"ab", timeout=WAIT)).data == b"ba"
    await close(carol, alice)


async def reconnect():
    events = asyncio.Queue()

    def watch(name):
        async def happened():
            await events.put(name)

        return happened

    options = {
        "reconnect_time_wait": 0.02,
        "max_reconnect_attempts": -1,
        "disconnected_cb": watch("disconnected"),
        "reconnected_cb": watch("reconnected"),
    }
    clients = await connections(4, **options)
    a, b, publisher, asking = clients
    plain = await a.subscribe("rc.*")
    members = [await client.subscribe("rc.q", queue="workers") for client in (a, b)]
    limited = await b.subscribe("rc.limited")
    await limited.unsubscribe(limit=3)
    await responder(b, "ask.a")
    await publisher.publish("rc.limited", b"first")
    await synced(publisher)
    assert (await next_of(plain)).data == b"first"
    assert (await next_of(limited)).data == b"first"
    assert (await asking.request("ask.a", b"ab", timeout=WAIT)).data == b"ba"
    ids = [client._server_info["server_id"] for client in clients]

    await harness("@kill open")
    for _ in clients:
        assert await asyncio.wait_for(events.get(), WAIT) == "disconnected"
    await harness("@start open")
    for _ in clients:
        assert await asyncio.wait_for(events.get(), WAIT) == "reconnected"
    assert all(client._server_info["server_id"] not in ids for client in clients)

    for client in clients:
        await synced(client)
    for n in range(5):
        await publisher.publish("rc.limited", str(n).encode())
        await publisher.publish("rc.q", str(n).encode())
    assert (await asking.request("ask.a", b"cd", timeout=WAIT)).data == b"dc"
    for client in clients:
        await synced(client)
    for client in clients:
        await synced(client)
    assert plain.pending_msgs == 10, plain.pending_msgs
    assert sum(sub.pending_msgs for sub in members) == 5, [sub.pending_msgs for sub in members]
    assert limited._received == 3, limited._received
    await close(*clients)


async def of_account(name, count=2):
    """Several, so that some sit on different shards."""
    return [await connect(ACCOUNTS, user=name, password=name) for _ in range(count)]


async def accounts_streams():
    a, b, c = [await of_account(name) for name in "abc"]
    clients = a + b + c
    subs = [await client.subscribe(">") for client in b + c]
    prefixed = [await client.subscribe("from_a.puba.*") for client in c]
    for client in clients:
        await synced(client)
    for client in a:
        for subject in ["puba.x", "b.x", "other.x"]:
            await client.publish(subject, b"of a", reply="answer.here", headers={"K": "v"})
    for client in b + c:
        # Nobody else's: the others only import.
        await client.publish("puba.y", b"not of a")
    for client in clients:
        await synced(client)
    for client in clients:
        await synced(client)

    async def got(sub):
        msgs = [await next_of(sub) for _ in range(sub.pending_msgs)]
        assert all(m.headers == {"K": "v"} and m.reply == "answer.here" for m in msgs if m.data == b"of a"), msgs
        return sorted((m.subject, m.data) for m in msgs)

    own = [("puba.y", b"not of a")] * 2
    for sub in subs[:2]:
        assert await got(sub) == [("b.x", b"of a")] * 2 + own
    for sub in subs[2:]:
        assert await got(sub) == [("from_a.puba.x", b"of a")] * 2 + own
    for sub in prefixed:
        assert await got(sub) == [("from_a.puba.x", b"of a")] * 2
    await close(*clients)


async def accounts_services():
    a, b, c = [await of_account(name) for name in "abc"]
    none = nats.errors.NoRespondersError
    for client in b:
        await raises(none, client.request("q.b", b"x", timeout=WAIT))
    asked = await responder(a[0], "q.b")
    await responder(a[1], "pubq.>")
    local = await c[0].subscribe("Q")
    await synced(c[0])
    for n in range(20):
        for client in b:
            assert (await client.request("q.b", b"ab", timeout=WAIT)).data == b"ba"
            assert (await client.request("q.b", b"cd", timeout=WAIT, old_style=True)).data == b"dc"
        for client in c:
            assert (await client.request("Q", b"ef", timeout=WAIT)).data == b"fe"
    # The account that asks sees its own requests.
    assert local.pending_msgs == 40, local.pending_msgs
    # What is not imported is not there.
    for client, subject in [(b[0], "pubq.C"), (b[1], "Q"), (c[0], "q.b"), (c[1], "pubq.C")]:
        await raises(none, client.request(subject, b"x", timeout=WAIT))
    await asked.unsubscribe()
    await synced(a[0])
    for client in b:
        await raises(none, client.request("q.b", b"x", timeout=WAIT))
    await close(*a, *b, *c)


async def accounts_queue_groups():
    a, b = [await of_account(name, 3) for name in "ab"]
    members = [await client.subscribe("b.q", queue="workers") for client in a[:2] + b[:2]]
    others = [await client.subscribe("b.*", queue="others") for client in b]
    plain = await b[2].subscribe("b.q")
    clients = a + b
    for client in clients:
        await synced(client)
    count = 600
    for n in range(count):
        await a[n % 3].publish("b.q", str(n).encode())
    for _ in range(2):
        for client in clients:
            await synced(client)
    everything = sorted(str(n).encode() for n in range(count))
    for group in [members, others, [plain]]:
        got = [(await next_of(sub)).data for sub in group for _ in range(sub.pending_msgs)]
        assert sorted(got) == everything, f"{len(got)} of {count}"
    assert all(sub.delivered > 0 for sub in members), [sub.delivered for sub in members]
    await close(*clients)


async def accounts_no_auth_user():
    nobody = await connect(ACCOUNTS)
    a, c = [await of_account(name) for name in "ac"]
    heard, renamed = await a[0].subscribe("puba.n"), await c[0].subscribe("from_a.>")
    for client in a + c:
        await synced(client)
    await nobody.publish("puba.n", b"hello")
    assert (await next_of(heard)).data == b"hello"
    assert (await next_of(renamed)).subject == "from_a.puba.n"
    await close(nobody, *a, *c)


async def raises(kind, awaitable):
    try:
        await awaitable
    except kind:
        return
    raise AssertionError(f"no {kind.__name__}")


async def main():
    checks = [
        info,
        publish_subscribe,
        wildcards,
        queue_groups,
        request_reply,
        concurrent_requests,
        headers,
        no_responders,
        unsubscribe_max,
        drain,
        flush,
        echo_off,
        many_subscriptions,
        many_messages,
        max_payload,
        payload_1_mib,
        payload_8_mib,
        authentication,
        authentication_errors,
        nkeys,
        credentials,
        tls,
        tls_verify,
        tls_map,
        permissions,
        reconnect,
        accounts_streams,
        accounts_services,
        accounts_queue_groups,
        accounts_no_auth_user,
    ]
    failed = 0
    for check in checks:
        try:
            await check()
            print(f"ok {check.__name__}", flush=True)
        except Exception:
            failed += 1
            print(f"FAILED {check.__name__}\n{traceback.format_exc()}", flush=True)
    return failed


sys.exit(1 if asyncio.run(main()) else 0)
