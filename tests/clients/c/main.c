// The checks of tests/clients with Debian's C client: the list, and those of requests and of a connection's life. Prints one
// line a check; ends with failure at the first that fails.

#include "accounts.h"
#include "checks.h"
#include "logins.h"
#include "messages.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void request_reply(void)
{
    natsConnection *clients[4];
    connect_all(clients, 4);
    natsSubscription *sub = respond(clients[0], "rr.a", NULL);
    for (int n = 0; n < 80; n++) {
        char text[32];
        snprintf(text, sizeof text, "request %d", n);
        ask(clients[n % 4], "rr.a", text);
    }
    natsOptions *opts = options(setting("OPEN"));
    OK(natsOptions_UseOldRequestStyle(opts, true));
    natsConnection *old = connect_with(opts);
    ask(old, "rr.a", "an inbox of its own");
    natsConnection_Destroy(old);
    natsSubscription_Destroy(sub);
    close_all(clients, 4);
}

static void *ask_many(void *client)
{
    char text[48];
    for (int n = 0; n < 50; n++) {
        snprintf(text, sizeof text, "%p %d", (void *)&text, n);
        ask(client, "cr.a", text);
    }
    return NULL;
}

static void concurrent_requests(void)
{
    natsConnection *clients[4];
    natsSubscription *subs[3];
    pthread_t threads[16];
    connect_all(clients, 4);
    for (int n = 0; n < 3; n++)
        subs[n] = respond(clients[n], "cr.a", "workers");
    for (int n = 0; n < 16; n++)
        CHECK(pthread_create(&threads[n], NULL, ask_many, clients[n % 4]) == 0);
    for (int n = 0; n < 16; n++)
        pthread_join(threads[n], NULL);
    for (int n = 0; n < 3; n++)
        natsSubscription_Destroy(subs[n]);
    close_all(clients, 4);
}

static void no_responders(void)
{
    natsConnection *clients[2];
    natsMsg *msg;
    connect_all(clients, 2);
    for (int n = 0; n < 2; n++)
        STATUS(NATS_NO_RESPONDERS, natsConnection_RequestString(&msg, clients[n], "nobody.there", "x", WAIT_MS));
    natsSubscription *sub = respond(clients[0], "nr.a", NULL);
    ask(clients[1], "nr.a", "ab");
    OK(natsSubscription_Unsubscribe(sub));
    flush_all(clients, 1);
    STATUS(NATS_NO_RESPONDERS, natsConnection_RequestString(&msg, clients[1], "nr.a", "x", WAIT_MS));
    natsSubscription_Destroy(sub);
    close_all(clients, 2);
}

static void count_message(natsConnection *client, natsSubscription *sub, natsMsg *msg, void *count)
{
    (void)client;
    (void)sub;
    natsMsg_Destroy(msg);
    __atomic_add_fetch((int *)count, 1, __ATOMIC_SEQ_CST);
}

static void count_event(natsConnection *client, void *count)
{
    (void)client;
    __atomic_add_fetch((int *)count, 1, __ATOMIC_SEQ_CST);
}

static void drain(void)
{
    static int closed, got;
    natsConnection *publisher = connect_to(setting("OPEN")), *other = connect_to(setting("OPEN"));
    natsOptions *opts = options(setting("OPEN"));
    OK(natsOptions_SetClosedCB(opts, count_event, &closed));
    natsConnection *subscriber = connect_with(opts);
    natsSubscription *sub;
    OK(natsConnection_Subscribe(&sub, subscriber, "d.a", count_message, &got));
    flush_all(&subscriber, 1);
    for (int n = 0; n < 500; n++)
        publish(publisher, "d.a", "x");
    flush_all(&publisher, 1);
    OK(natsConnection_DrainTimeout(subscriber, WAIT_MS));
    wait_until(&closed, 1, "the end of the drain");
    CHECK(got == 500, "%d", got);
    natsSubscription_Destroy(sub);
    natsConnection_Destroy(subscriber);
    // One subscription alone: the connection stays.
    got = 0;
    natsSubscription *kept = subscribe(other, "d.kept");
    OK(natsConnection_Subscribe(&sub, other, "d.gone", count_message, &got));
    flush_all(&other, 1);
    publish(publisher, "d.gone", "before");
    flush_all(&publisher, 1);
    OK(natsSubscription_DrainTimeout(sub, WAIT_MS));
    OK(natsSubscription_WaitForDrainCompletion(sub, WAIT_MS));
    publish(publisher, "d.gone", "after");
    publish(publisher, "d.kept", "kept");
    expect_next(kept, "d.kept", "kept");
    CHECK(got == 1, "%d", got);
    natsSubscription_Destroy(sub);
    natsSubscription_Destroy(kept);
    natsConnection_Destroy(publisher);
    natsConnection_Destroy(other);
}

static void flush(void)
{
    natsConnection *client = connect_to(setting("OPEN"));
    for (int n = 0; n < 50; n++) {
        int64_t round_trip_ns;
        flush_all(&client, 1);
        OK(natsConnection_GetRTT(client, &round_trip_ns));
        CHECK(round_trip_ns > 0);
    }
    natsConnection_Destroy(client);
}

static pthread_mutex_t refusal_mutex = PTHREAD_MUTEX_INITIALIZER;
static char refusal[512];
static int refusals;

static void take_refusal(natsConnection *client, natsSubscription *sub, natsStatus status, void *closure)
{
    (void)sub;
    (void)closure;
    const char *text = NULL;
    natsConnection_GetLastError(client, &text);
    pthread_mutex_lock(&refusal_mutex);
    snprintf(refusal, sizeof refusal, "%s: %s", natsStatus_GetText(status), text);
    pthread_mutex_unlock(&refusal_mutex);
    __atomic_add_fetch(&refusals, 1, __ATOMIC_SEQ_CST);
}

static void expect_refusal(int number, const char *text)
{
    wait_until(&refusals, number, text);
    pthread_mutex_lock(&refusal_mutex);
    CHECK(strcasestr(refusal, text) != NULL, "%s", refusal);
    pthread_mutex_unlock(&refusal_mutex);
}

static void permissions(void)
{
    static const struct login full = {.server = "USERS", .user = "alice", .password = "sekret-a"};
    natsOptions *opts = options(setting("USERS"));
    OK(natsOptions_SetUserInfo(opts, "carol", "sekret-c"));
    OK(natsOptions_SetErrorHandler(opts, take_refusal, NULL));
    natsConnection *carol = connect_with(opts), *alice;
    OK(log_in(&full, &alice));
    natsSubscription *everything = subscribe(alice, ">"), *allowed = subscribe(carol, "allowed.>");
    flush_all(&alice, 1);
    publish(carol, "secret.a", "x");
    expect_refusal(1, "permissions violation for publish to \"secret.a\"");
    publish(carol, "allowed.not", "x");
    expect_refusal(2, "permissions violation for publish to \"allowed.not\"");
    natsSubscription *secret = subscribe(carol, "secret.>");
    expect_refusal(3, "permissions violation for subscription to \"secret.>\"");
    publish(carol, "allowed.yes", "x");
    expect_next(allowed, "allowed.yes", "x");
    // Still connected, and nothing refused got through.
    expect_next(everything, "allowed.yes", "x");
    natsSubscription *asked = respond(alice, "allowed.ask", NULL);
    ask(carol, "allowed.ask", "ab");
    natsSubscription_Destroy(asked);
    natsSubscription_Destroy(secret);
    natsSubscription_Destroy(everything);
    natsSubscription_Destroy(allowed);
    natsConnection_Destroy(carol);
    natsConnection_Destroy(alice);
}

static void reconnect(void)
{
    static int disconnected, reconnected;
    natsConnection *clients[4];
    char before[128], after[128];
    for (int n = 0; n < 4; n++) {
        natsOptions *opts = options(setting("OPEN"));
        OK(natsOptions_SetReconnectWait(opts, 20));
        OK(natsOptions_SetReconnectJitter(opts, 0, 0));
        OK(natsOptions_SetMaxReconnect(opts, -1));
        OK(natsOptions_SetDisconnectedCB(opts, count_event, &disconnected));
        OK(natsOptions_SetReconnectedCB(opts, count_event, &reconnected));
        clients[n] = connect_with(opts);
    }
    natsSubscription *plain = subscribe(clients[0], "rc.*"), *limited = subscribe(clients[1], "rc.limited");
    natsSubscription *members[2];
    for (int n = 0; n < 2; n++)
        members[n] = subscribe_group(clients[n], "rc.q", "workers");
    OK(natsSubscription_AutoUnsubscribe(limited, 3));
    natsSubscription *asked = respond(clients[1], "ask.a", NULL);
    flush_all(clients, 2);
    publish(clients[2], "rc.limited", "first");
    expect_next(plain, "rc.limited", "first");
    expect_next(limited, "rc.limited", "first");
    ask(clients[3], "ask.a", "ab");
    OK(natsConnection_GetConnectedServerId(clients[0], before, sizeof before));

    harness("@kill open");
    wait_until(&disconnected, 4, "the disconnections");
    harness("@start open");
    wait_until(&reconnected, 4, "the reconnections");
    OK(natsConnection_GetConnectedServerId(clients[0], after, sizeof after));
    CHECK(strcmp(before, after) != 0);

    flush_all(clients, 4);
    for (int n = 0; n < 5; n++) {
        publish(clients[2], "rc.limited", "x");
        publish(clients[2], "rc.q", "x");
    }
    flush_all(clients + 2, 1);
    ask(clients[3], "ask.a", "cd");
    CHECK(waiting(clients[0], plain) == 10);
    CHECK(waiting(clients[0], members[0]) + waiting(clients[1], members[1]) == 5);
    CHECK(waiting(clients[1], limited) == 2);
    natsSubscription *subs[] = {plain, limited, members[0], members[1], asked};
    for (int n = 0; n < 5; n++)
        natsSubscription_Destroy(subs[n]);
    close_all(clients, 4);
}

int main(void)
{
    static const struct {
        const char *name;
        void (*check)(void);
    } checks[] = {
        {"info", info},
        {"publish_subscribe", publish_subscribe},
        {"wildcards", wildcards},
        {"queue_groups", queue_groups},
        {"request_reply", request_reply},
        {"concurrent_requests", concurrent_requests},
        {"headers", headers},
        {"no_responders", no_responders},
        {"unsubscribe_max", unsubscribe_max},
        {"drain", drain},
        {"flush", flush},
        {"echo_off", echo_off},
        {"many_subscriptions", many_subscriptions},
        {"many_messages", many_messages},
        {"max_payload", max_payload},
        {"payload_1_mib", payload_1_mib},
        {"payload_8_mib", payload_8_mib},
        {"authentication", authentication},
        {"authentication_errors", authentication_errors},
        {"nkeys", nkeys},
        {"credentials", credentials},
        {"tls", tls},
        {"tls_verify", tls_verify},
        {"tls_map", tls_map},
        {"permissions", permissions},
        {"reconnect", reconnect},
        {"accounts_streams", accounts_streams},
        {"accounts_services", accounts_services},
        {"accounts_queue_groups", accounts_queue_groups},
        {"accounts_no_auth_user", accounts_no_auth_user},
    };
    for (size_t n = 0; n < sizeof checks / sizeof *checks; n++) {
        checks[n].check();
        printf("ok %s\n", checks[n].name);
        fflush(stdout);
    }
    return 0;
}
