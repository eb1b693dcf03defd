// The checks of tests/clients with @nats-io/transport-node. Prints one line a check; ends with failure when one fails.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(`${process.env.CLIENTS_NODE}/`);
const nats = require("@nats-io/transport-node");

const OPEN = process.env.CLIENTS_OPEN;
const LARGE = process.env.CLIENTS_LARGE;
const USERS = process.env.CLIENTS_USERS;
const TOKEN = process.env.CLIENTS_TOKEN;
const ACCOUNTS = process.env.CLIENTS_ACCOUNTS;
const NKEYS = process.env.CLIENTS_NKEYS;
const OPERATOR = process.env.CLIENTS_OPERATOR;
const TLS = process.env.CLIENTS_TLS;
const TLS_VERIFY = process.env.CLIENTS_TLS_VERIFY;
const TLS_MAP = process.env.CLIENTS_TLS_MAP;
const MATERIAL = process.env.CLIENTS_MATERIAL;
const MESSAGES = Number(process.env.CLIENTS_MESSAGES ?? 20000);
// Upper bound of every wait, only there to turn a hang into a failure.
const WAIT = 60_000;
const MIB = 1024 * 1024;

const text = (msg) => msg.string();
const numbers = (count) => Array.from({ length: count }, (_, n) => String(n));

async function connect(servers = OPEN, options = {}) {
  return await nats.connect({ servers, timeout: WAIT, ...options });
}

/** Several, so that some sit on different shards. */
async function connections(count, servers = OPEN, options = {}) {
  return await Promise.all(Array.from({ length: count }, () => connect(servers, options)));
}

async function close(clients) {
  await Promise.all(clients.map((client) => client.close()));
}

async function flush(clients) {
  await Promise.all(clients.map((client) => client.flush()));
}

/** A subscription whose messages can be awaited one by one, or taken all at once. */
function subscribe(client, subject, options = {}) {
  const waiting = [];
  const got = [];
  const sub = client.subscribe(subject, {
    ...options,
    callback: (error, msg) => {
      if (error) return;
      if (waiting.length) waiting.shift()(msg);
      else got.push(msg);
    },
  });
  const next = () => got.length ? got.shift() : within(new Promise((resolve) => waiting.push(resolve)), `a message on ${subject}`);
  return { sub, got, next };
}

async function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), WAIT);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function responder(client, subject, options = {}) {
  const answer = (_, msg) => msg.respond(Buffer.from(msg.data).reverse());
  const sub = client.subscribe(subject, { ...options, callback: answer });
  await client.flush();
  return sub;
}

async function info() {
  const client = await connect();
  const got = client.info;
  assert.equal(got.max_payload, MIB);
  assert.match(got.server_id, /^N[A-Z2-7]{55}$/);
  assert.equal(got.server_name, "clients");
  assert.match(got.version, /^2\.\d+\.\d+/);
  assert.equal(got.headers, true);
  assert.equal(got.proto, 1);
  assert.equal(got.client_ip, "127.0.0.1");
  assert.ok(got.client_id > 0);
  await close([client]);
}

async function publish_subscribe() {
  const clients = await connections(4);
  for (const subscriber of clients) {
    for (const publisher of clients) {
      const { sub, got, next } = subscribe(subscriber, "ps.a");
      await subscriber.flush();
      publisher.publish("ps.a", "hello", { reply: "ps.reply" });
      const msg = await next();
      assert.deepEqual([msg.subject, text(msg), msg.reply], ["ps.a", "hello", "ps.reply"]);
      publisher.publish("ps.a");
      assert.equal((await next()).data.length, 0);
      sub.unsubscribe();
      await subscriber.flush();
      publisher.publish("ps.a", "late");
      await publisher.flush();
      await subscriber.flush();
      assert.equal(got.length, 0);
    }
  }
  await close(clients);
}

async function wildcards() {
  const clients = await connections(3);
  const [a, b, publisher] = clients;
  const expected = [
    [a, "w.*", ["w.x"]],
    [b, "w.>", ["w.x", "w.x.y", "w.y.z", "w.x.z"]],
    [a, "w.*.z", ["w.y.z", "w.x.z"]],
    [b, "*.x.>", ["w.x.y", "v.x.z", "w.x.z"]],
    [a, ">", ["w", "w.x", "w.x.y", "w.y.z", "v.x.z", "w.x.z"]],
    [b, "w.x", ["w.x"]],
  ];
  const subs = expected.map(([client, pattern]) => subscribe(client, pattern));
  await flush([a, b]);
  for (const subject of ["w", "w.x", "w.x.y", "w.y.z", "v.x.z", "w.x.z"]) publisher.publish(subject);
  await publisher.flush();
  await flush([a, b]);
  expected.forEach(([, pattern, subjects], at) => {
    assert.deepEqual(subs[at].got.map((msg) => msg.subject), subjects, pattern);
  });
  await close(clients);
}

async function queue_groups() {
  const clients = await connections(5);
  const twice = [...clients.slice(0, 4), ...clients.slice(0, 4)];
  const members = twice.map((client) => subscribe(client, "q.a", { queue: "workers" }));
  const others = clients.slice(0, 2).map((client) => subscribe(client, "q.*", { queue: "others" }));
  const plain = subscribe(clients[4], "q.a");
  await flush(clients);
  const all = numbers(800);
  all.forEach((number, n) => clients[n % 5].publish("q.a", number));
  await flush(clients);
  await flush(clients);
  for (const group of [members, others, [plain]]) {
    const got = group.flatMap(({ got }) => got.map(text));
    assert.deepEqual(got.sort(), [...all].sort());
  }
  assert.ok(members.every(({ got }) => got.length > 0), `${members.map(({ got }) => got.length)}`);
  await close(clients);
}

async function request_reply() {
  const clients = await connections(4);
  await responder(clients[0], "rr.a");
  for (const client of clients) {
    for (let n = 0; n < 20; n++) {
      const answer = await client.request("rr.a", `${n}ab`, { timeout: WAIT });
      assert.equal(text(answer), [...`${n}ab`].reverse().join(""));
    }
    const answer = await client.request("rr.a", "own", { timeout: WAIT, noMux: true });
    assert.equal(text(answer), "nwo");
  }
  await close(clients);
}

async function concurrent_requests() {
  const clients = await connections(4);
  for (const client of clients.slice(0, 3)) await responder(client, "cr.a", { queue: "workers" });
  const asked = numbers(250).flatMap((number) => clients.map((client) => [client, number.padStart(4, "0")]));
  const answers = await Promise.all(asked.map(([client, data]) => client.request("cr.a", data, { timeout: WAIT })));
  asked.forEach(([, data], at) => assert.equal(text(answers[at]), [...data].reverse().join("")));
  await close(clients);
}

async function headers() {
  const clients = await connections(2);
  const [a, b] = clients;
  const { next } = subscribe(a, "h.a");
  a.subscribe("h.ask", { callback: (_, msg) => msg.respond(msg.headers.get("Question")) });
  await a.flush();
  const sent = nats.headers();
  sent.append("Some-Key", "a value: with colon");
  sent.append("Twice", "one");
  sent.append("Twice", "two");
  b.publish("h.a", "payload", { headers: sent });
  const long = nats.headers();
  long.set("K", "v".repeat(4000));
  b.publish("h.a", "", { headers: long });
  b.publish("h.a", "none");
  let msg = await next();
  assert.equal(text(msg), "payload");
  assert.equal(msg.headers.get("Some-Key"), "a value: with colon");
  assert.deepEqual(msg.headers.values("Twice"), ["one", "two"]);
  msg = await next();
  assert.equal(msg.headers.get("K").length, 4000);
  assert.equal(msg.data.length, 0);
  msg = await next();
  assert.equal(msg.headers, undefined);
  const question = nats.headers();
  question.set("Question", "why");
  const answer = await b.request("h.ask", "", { headers: question, timeout: WAIT });
  assert.equal(text(answer), "why");
  await close(clients);
}

/** Fails unless nobody answers, and the client says so. */
async function nobody_answers(client, subject) {
  for (const noMux of [false, true]) {
    await assert.rejects(client.request(subject, "x", { timeout: WAIT, noMux }), (error) => {
      assert.ok(error instanceof nats.NoRespondersError || error.cause instanceof nats.NoRespondersError, `${error}`);
      return true;
    });
  }
}

async function no_responders() {
  const clients = await connections(2);
  for (const client of clients) await nobody_answers(client, "nobody.there");
  const sub = await responder(clients[0], "nr.a");
  assert.equal(text(await clients[1].request("nr.a", "ab", { timeout: WAIT })), "ba");
  sub.unsubscribe();
  await clients[0].flush();
  await nobody_answers(clients[1], "nr.a");
  await close(clients);
}

async function unsubscribe_max() {
  const clients = await connections(4);
  for (const subscriber of clients) {
    // Counted by what the server sent, so that the client's own limit hides nothing.
    const limited = subscribe(subscriber, "um.a", { max: 5 });
    const control = subscribe(subscriber, "um.a");
    await subscriber.flush();
    const before = subscriber.stats().inMsgs;
    numbers(40).forEach((number, n) => clients[n % 4].publish("um.a", number));
    await flush(clients);
    await subscriber.flush();
    assert.equal(control.got.length, 40);
    assert.equal(limited.got.length, 5);
    assert.equal(subscriber.stats().inMsgs - before, 45);
    control.sub.unsubscribe();
    await subscriber.flush();
  }
  await close(clients);
}

async function drain() {
  const clients = await connections(2);
  const [publisher, other] = clients;
  const subscriber = await connect();
  const { got } = subscribe(subscriber, "d.a");
  await subscriber.flush();
  numbers(500).forEach((number) => publisher.publish("d.a", number));
  await publisher.flush();
  await within(subscriber.drain(), "the drain");
  assert.ok(subscriber.isClosed());
  assert.deepEqual(got.map(text), numbers(500));
  // One subscription alone: the connection stays.
  const kept = subscribe(other, "d.kept");
  const gone = subscribe(other, "d.gone");
  await other.flush();
  publisher.publish("d.gone", "before");
  await publisher.flush();
  await within(gone.sub.drain(), "the drain of one");
  publisher.publish("d.gone", "after");
  publisher.publish("d.kept", "kept");
  assert.equal(text(await kept.next()), "kept");
  assert.deepEqual(gone.got.map(text), ["before"]);
  await close(clients);
}

async function flush_check() {
  const client = await connect();
  for (let n = 0; n < 50; n++) {
    await within(client.flush(), "PONG");
    assert.ok(await within(client.rtt(), "the round trip") >= 0);
  }
  await close([client]);
}

async function echo_off() {
  const deaf = await connect(OPEN, { noEcho: true });
  const other = await connect();
  const own = subscribe(deaf, "e.a");
  const inQueue = subscribe(deaf, "e.a", { queue: "q" });
  const heard = subscribe(other, "e.a");
  await flush([deaf, other]);
  deaf.publish("e.a", "own");
  await deaf.flush();
  other.publish("e.a", "foreign");
  await other.flush();
  await flush([deaf, other]);
  assert.deepEqual(own.got.map(text), ["foreign"]);
  assert.deepEqual(inQueue.got.map(text), ["foreign"]);
  assert.deepEqual(heard.got.map(text), ["own", "foreign"]);
  await close([deaf, other]);
}

async function many_subscriptions() {
  const clients = await connections(3);
  const [a, b, publisher] = clients;
  const subs = numbers(2000).map((number, n) => subscribe(n % 2 ? a : b, `ms.${number}`));
  await flush([a, b]);
  for (const number of numbers(2000)) publisher.publish(`ms.${number}`, number);
  await publisher.flush();
  await flush([a, b]);
  subs.forEach(({ got }, n) => assert.deepEqual(got.map(text), [String(n)]));
  subs.forEach(({ sub }) => sub.unsubscribe());
  await flush([a, b]);
  await nobody_answers(publisher, "ms.7");
  await close(clients);
}

async function many_messages() {
  const clients = await connections(4);
  const each = Math.floor(MESSAGES / 2);
  const expected = [[0, 0], [0, 0]];
  const done = [0, 1].map((at) =>
    new Promise((resolve, reject) => {
      clients[at].subscribe("mm.>", {
        callback: (_, msg) => {
          const [who, number] = text(msg).split(" ", 2).map(Number);
          if (number !== expected[at][who]) reject(new Error(`${number} of ${who} instead of ${expected[at][who]}`));
          expected[at][who]++;
          if (expected[at][0] + expected[at][1] === 2 * each) resolve();
        },
      });
    })
  );
  await flush(clients);
  const publish = async (who, client) => {
    for (let n = 0; n < each; n++) {
      client.publish(`mm.${n % 100}`, `${who} ${n} ${"x".repeat(n % 200)}`);
      if (n % 1000 === 999) await client.flush();
    }
    await client.flush();
  };
  await Promise.all([publish(0, clients[2]), publish(1, clients[3])]);
  await within(Promise.all(done), `${each} messages each`).catch((error) => {
    throw new Error(`${error.message}: ${JSON.stringify(expected)}`);
  });
  await close(clients);
}

async function max_payload() {
  const client = await connect();
  const { next } = subscribe(client, "mp.a");
  assert.throws(() => client.publish("mp.a", new Uint8Array(MIB + 1)), /max_payload|payload/i);
  client.publish("mp.a", "fits");
  assert.equal(text(await next()), "fits");
  await close([client]);
  // What the client would refuse, sent all the same: the server closes, perhaps before its reason can be read.
  const forced = await connect(OPEN, { reconnect: false });
  forced.protocol.info.max_payload = 2 * MIB;
  forced.publish("mp.a", new Uint8Array(MIB + 1));
  const why = await within(forced.closed(), "the close");
  assert.match(`${why} ${why?.cause ?? ""}`, /maximum payload violation|ECONNRESET|EPIPE/i);
}

async function payload(servers, size) {
  const clients = await connections(4, servers);
  const data = Buffer.alloc(size, Buffer.from(Array.from({ length: 251 }, (_, n) => n * 7 % 251)));
  await responder(clients[0], "p.echo");
  const subs = clients.slice(0, 2).map((client) => subscribe(client, "p.a"));
  await flush(clients);
  for (const client of clients) {
    client.publish("p.a", data);
    for (const { next } of subs) assert.ok(data.equals((await next()).data));
  }
  const answer = await clients[3].request("p.echo", data, { timeout: WAIT });
  assert.ok(Buffer.from(data).reverse().equals(answer.data));
  await close(clients);
}

async function authentication() {
  const accepted = [
    [USERS, { user: "alice", pass: "sekret-a" }],
    [USERS, { user: "bob", pass: "sekret-b" }],
    [USERS, { user: "carol", pass: "sekret-c" }],
    [TOKEN, { token: "sekret-t" }],
    [USERS, { authenticator: nats.usernamePasswordAuthenticator("bob", () => "sekret-b") }],
    [TOKEN, { authenticator: nats.tokenAuthenticator(() => "sekret-t") }],
  ];
  for (const [servers, options] of accepted) await usable(servers, options);
}

async function authentication_errors() {
  const refused = [
    [USERS, {}],
    [USERS, { user: "alice", pass: "wrong" }],
    [USERS, { user: "alice", pass: "" }],
    [USERS, { user: "nobody", pass: "sekret-a" }],
    [USERS, { user: "bob", pass: "wrong" }],
    [USERS, { token: "sekret-t" }],
    [TOKEN, {}],
    [TOKEN, { token: "wrong" }],
    [TOKEN, { user: "alice", pass: "sekret-t" }],
  ];
  for (const [servers, options] of refused) await violation(servers, options);
}

async function nkeys() {
  const seed = (name) => ({ authenticator: nats.nkeyAuthenticator(material(`${name}.seed`)) });
  await usable(NKEYS, seed("alice"));
  await violation(NKEYS, seed("stranger"));
  await violation(NKEYS);
}

async function credentials() {
  const creds = (name) => ({ authenticator: nats.credsAuthenticator(material(`${name}.creds`)) });
  await usable(OPERATOR, creds("app"));
  for (const name of ["expired", "foreign", "mismatch"]) await violation(OPERATOR, creds(name));
  await violation(OPERATOR);
}

async function tls() {
  await usable(TLS, { tls: trusting("ca"), token: "sekret-t" });
  await violation(TLS, { tls: trusting("ca"), token: "wrong" });
  await refused(TLS, { tls: trusting("other-ca"), token: "sekret-t" });
}

async function tls_verify() {
  await usable(TLS_VERIFY, { tls: trusting("ca", "mail") });
  await refused(TLS_VERIFY, { tls: trusting("ca") });
  await refused(TLS_VERIFY, { tls: trusting("ca", "client-stray") });
}

async function tls_map() {
  await usable(TLS_MAP, { tls: trusting("ca", "joe") });
  await usable(TLS_MAP, { tls: trusting("ca", "names") });
  await violation(TLS_MAP, { tls: trusting("ca", "mail") });
  await refused(TLS_MAP, { tls: trusting("ca") });
}

function material(name) {
  return readFileSync(`${MATERIAL}/${name}`);
}

/** TLS that trusts one authority, and shows a certificate. */
function trusting(authority, identity) {
  const own = identity && { certFile: `${MATERIAL}/${identity}.pem`, keyFile: `${MATERIAL}/${identity}.key` };
  return { caFile: `${MATERIAL}/${authority}.pem`, ...own };
}

/** Those who log in so can publish, subscribe, ask and answer. Several, so that some sit on different shards. */
async function usable(servers, options) {
  const [a, b] = await connections(2, servers, options);
  const { next } = subscribe(a, "allowed.a");
  await a.flush();
  b.publish("allowed.a", "x");
  assert.equal(text(await next()), "x");
  await responder(a, "allowed.ask");
  assert.equal(text(await b.request("allowed.ask", "ab", { timeout: WAIT })), "ba");
  await close([a, b]);
}

async function violation(servers, options = {}) {
  const error = await refused(servers, options);
  assert.ok(error instanceof nats.AuthorizationError, `${error}: ${JSON.stringify(options)}`);
}

/** What a client hears that is not let in. */
async function refused(servers, options) {
  let client;
  try {
    client = await connect(servers, { ...options, reconnect: false });
  } catch (error) {
    return error;
  }
  await client.close();
  assert.fail(`let in: ${JSON.stringify(options)}`);
}

async function permissions() {
  const carol = await connect(USERS, { user: "carol", pass: "sekret-c" });
  const alice = await connect(USERS, { user: "alice", pass: "sekret-a" });
  const statuses = carol.status()[Symbol.asyncIterator]();
  const refused = async (operation, subject) => {
    for (;;) {
      const { value } = await within(statuses.next(), `the refusal of ${operation} ${subject}`);
      if (value.type !== "error") continue;
      assert.ok(value.error instanceof nats.PermissionViolationError, `${value.error}`);
      assert.deepEqual([value.error.operation, value.error.subject], [operation, subject]);
      return;
    }
  };
  const everything = subscribe(alice, ">");
  await alice.flush();
  const allowed = subscribe(carol, "allowed.>");
  carol.publish("secret.a", "x");
  await refused("publish", "secret.a");
  carol.publish("allowed.not", "x");
  await refused("publish", "allowed.not");
  const error = await within(new Promise((resolve) => carol.subscribe("secret.>", { callback: resolve })), "the refusal");
  assert.ok(error instanceof nats.PermissionViolationError, `${error}`);
  carol.publish("allowed.yes", "x");
  assert.equal((await allowed.next()).subject, "allowed.yes");
  // Still connected, and nothing refused got through.
  assert.equal((await everything.next()).subject, "allowed.yes");
  await responder(alice, "allowed.ask");
  assert.equal(text(await carol.request("allowed.ask", "ab", { timeout: WAIT })), "ba");
  await close([carol, alice]);
}

async function reconnect() {
  const clients = await connections(4, OPEN, { reconnectTimeWait: 20, reconnectJitter: 0, maxReconnectAttempts: -1 });
  const statuses = clients.map((client) => client.status()[Symbol.asyncIterator]());
  const until = async (type) => {
    for (const status of statuses) {
      while ((await within(status.next(), type)).value.type !== type);
    }
  };
  const [a, b, publisher, asking] = clients;
  const plain = subscribe(a, "rc.*");
  const members = [a, b].map((client) => subscribe(client, "rc.q", { queue: "workers" }));
  const limited = subscribe(b, "rc.limited", { max: 3 });
  await responder(b, "ask.a");
  await a.flush();
  publisher.publish("rc.limited", "first");
  assert.equal(text(await plain.next()), "first");
  assert.equal(text(await limited.next()), "first");
  assert.equal(text(await asking.request("ask.a", "ab", { timeout: WAIT })), "ba");
  const before = clients.map((client) => client.info.server_id);

  await harness("@kill open");
  await until("disconnect");
  await harness("@start open");
  await until("reconnect");
  clients.forEach((client, at) => assert.notEqual(client.info.server_id, before[at]));

  await flush(clients);
  for (const number of numbers(5)) {
    publisher.publish("rc.limited", number);
    publisher.publish("rc.q", number);
  }
  assert.equal(text(await asking.request("ask.a", "cd", { timeout: WAIT })), "dc");
  await flush(clients);
  await flush(clients);
  assert.equal(plain.got.length, 10);
  assert.equal(members[0].got.length + members[1].got.length, 5);
  assert.equal(limited.got.length, 2);
  await close(clients);
}

async function of_account(name, count = 2) {
  return await connections(count, ACCOUNTS, { user: name, pass: name });
}

async function accounts_streams() {
  const [a, b, c] = await Promise.all(["a", "b", "c"].map((name) => of_account(name)));
  const all = (clients, pattern) => clients.map((client) => subscribe(client, pattern));
  const [ofB, ofC, prefixed] = [all(b, ">"), all(c, ">"), all(c, "from_a.puba.*")];
  await flush([...b, ...c]);
  const headers = nats.headers();
  headers.set("K", "v");
  for (const client of a) {
    for (const subject of ["puba.x", "b.x", "other.x"]) client.publish(subject, "of a", { headers, reply: "answer.here" });
  }
  // Nobody else's: the others only import.
  for (const client of [...b, ...c]) client.publish("puba.y", "not of a");
  for (let n = 0; n < 2; n++) await flush([...a, ...b, ...c]);
  const got = (sub) => {
    for (const msg of sub.got.filter((msg) => text(msg) === "of a")) {
      assert.deepEqual([msg.headers.get("K"), msg.reply], ["v", "answer.here"]);
    }
    return sub.got.map((msg) => `${msg.subject} ${text(msg)}`).sort();
  };
  const own = ["puba.y not of a", "puba.y not of a"];
  for (const sub of ofB) assert.deepEqual(got(sub), ["b.x of a", "b.x of a", ...own]);
  for (const sub of ofC) assert.deepEqual(got(sub), ["from_a.puba.x of a", "from_a.puba.x of a", ...own]);
  for (const sub of prefixed) assert.deepEqual(got(sub), ["from_a.puba.x of a", "from_a.puba.x of a"]);
  await close([...a, ...b, ...c]);
}

async function accounts_services() {
  const [a, b, c] = await Promise.all(["a", "b", "c"].map((name) => of_account(name)));
  for (const client of b) await nobody_answers(client, "q.b");
  const asked = await responder(a[0], "q.b");
  await responder(a[1], "pubq.>");
  const local = subscribe(c[0], "Q");
  await c[0].flush();
  for (let n = 0; n < 20; n++) {
    for (const [clients, subject] of [[b, "q.b"], [c, "Q"]]) {
      for (const client of clients) {
        assert.equal(text(await client.request(subject, "ab", { timeout: WAIT })), "ba");
        assert.equal(text(await client.request(subject, "cd", { timeout: WAIT, noMux: true })), "dc");
      }
    }
  }
  // The account that asks sees its own requests.
  await c[0].flush();
  assert.equal(local.got.length, 80);
  // What is not imported is not there.
  for (const [client, subject] of [[b[0], "pubq.C"], [b[1], "Q"], [c[0], "q.b"], [c[1], "pubq.C"]]) {
    await nobody_answers(client, subject);
  }
  asked.unsubscribe();
  await a[0].flush();
  for (const client of b) await nobody_answers(client, "q.b");
  await close([...a, ...b, ...c]);
}

async function accounts_queue_groups() {
  const [a, b] = await Promise.all(["a", "b"].map((name) => of_account(name, 3)));
  const clients = [...a, ...b];
  const members = [...a.slice(0, 2), ...b.slice(0, 2)].map((client) => subscribe(client, "b.q", { queue: "workers" }));
  const others = b.map((client) => subscribe(client, "b.*", { queue: "others" }));
  const plain = subscribe(b[2], "b.q");
  await flush(clients);
  const all = numbers(600);
  all.forEach((number, n) => a[n % 3].publish("b.q", number));
  await flush(clients);
  await flush(clients);
  for (const group of [members, others, [plain]]) {
    const got = group.flatMap(({ got }) => got.map(text));
    assert.deepEqual(got.sort(), [...all].sort());
  }
  assert.ok(members.every(({ got }) => got.length > 0), `${members.map(({ got }) => got.length)}`);
  await close(clients);
}

async function accounts_no_auth_user() {
  const nobody = await connect(ACCOUNTS);
  const [a, c] = await Promise.all(["a", "c"].map((name) => of_account(name)));
  const [heard, renamed] = [subscribe(a[0], "puba.n"), subscribe(c[0], "from_a.>")];
  await flush([...a, ...c]);
  nobody.publish("puba.n", "hello");
  assert.equal(text(await heard.next()), "hello");
  assert.equal((await renamed.next()).subject, "from_a.puba.n");
  await close([nobody, ...a, ...c]);
}

let answers;

async function harness(line) {
  answers ??= createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  console.log(line);
  const { value } = await within(answers.next(), "the harness");
  assert.equal(value, "done");
}

const CHECKS = {
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
  flush: flush_check,
  echo_off,
  many_subscriptions,
  many_messages,
  max_payload,
  payload_1_mib: () => payload(OPEN, MIB),
  payload_8_mib: () => payload(LARGE, 8 * MIB),
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
};

let failed = false;
for (const [name, check] of Object.entries(CHECKS)) {
  try {
    await check();
    console.log(`ok ${name}`);
  } catch (error) {
    failed = true;
    console.log(`FAILED ${name}\n${error.stack}`);
  }
}
process.exit(failed ? 1 : 0);
