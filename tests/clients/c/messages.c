// Checks of messages: who gets which, how many, in which order, how large.

#include "messages.h"
#include "checks.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void info(void)
{
    natsConnection *client = connect_to(setting("OPEN"));
    char id[128], *ip;
    uint64_t number;
    CHECK(natsConnection_GetMaxPayload(client) == MIB);
    OK(natsConnection_GetConnectedServerId(client, id, sizeof id));
    CHECK(strlen(id) == 56 && id[0] == 'N', "%s", id);
    OK(natsConnection_HasHeaderSupport(client));
    OK(natsConnection_GetClientID(client, &number));
    CHECK(number > 0);
    OK(natsConnection_GetClientIP(client, &ip));
    CHECK(strcmp(ip, "127.0.0.1") == 0, "%s", ip);
    free(ip);
    natsConnection_Destroy(client);
}

static uint64_t received(natsConnection *client)
{
    natsStatistics *stats;
    uint64_t messages, ignored;
    OK(natsStatistics_Create(&stats));
    OK(natsConnection_GetStats(client, stats));
    OK(natsStatistics_GetCounts(stats, &messages, &ignored, &ignored, &ignored, &ignored));
    natsStatistics_Destroy(stats);
    return messages;
}

void publish_subscribe(void)
{
    natsConnection *clients[4];
    connect_all(clients, 4);
    for (int n = 0; n < 16; n++) {
        natsConnection *subscriber = clients[n / 4], *publisher = clients[n % 4];
        natsSubscription *sub = subscribe(subscriber, "ps.a");
        flush_all(&subscriber, 1);
        OK(natsConnection_PublishRequestString(publisher, "ps.a", "ps.reply", "hello"));
        natsMsg *msg = next(sub);
        CHECK(strcmp(natsMsg_GetReply(msg), "ps.reply") == 0);
        CHECK(strcmp(natsMsg_GetData(msg), "hello") == 0);
        natsMsg_Destroy(msg);
        publish(publisher, "ps.a", "");
        expect_next(sub, "ps.a", "");
        // A second subscription shows that the removed one gets nothing more.
        natsSubscription *control = subscribe(subscriber, "ps.*");
        OK(natsSubscription_Unsubscribe(sub));
        flush_all(&subscriber, 1);
        uint64_t before = received(subscriber);
        publish(publisher, "ps.a", "late");
        flush_all(&publisher, 1);
        CHECK(waiting(subscriber, control) == 1);
        CHECK(received(subscriber) - before == 1);
        natsSubscription_Destroy(sub);
        natsSubscription_Destroy(control);
    }
    close_all(clients, 4);
}

void wildcards(void)
{
    static const char *sent[] = {"w", "w.x", "w.x.y", "w.y.z", "v.x.z", "w.x.z"};
    static const struct {
        int client;
        const char *pattern, *subjects[7];
    } expected[] = {
        {0, "w.*", {"w.x"}},
        {1, "w.>", {"w.x", "w.x.y", "w.y.z", "w.x.z"}},
        {0, "w.*.z", {"w.y.z", "w.x.z"}},
        {1, "*.x.>", {"w.x.y", "v.x.z", "w.x.z"}},
        {0, ">", {"w", "w.x", "w.x.y", "w.y.z", "v.x.z", "w.x.z"}},
        {1, "w.x", {"w.x"}},
    };
    natsConnection *clients[3];
    natsSubscription *subs[6];
    connect_all(clients, 3);
    for (int n = 0; n < 6; n++)
        subs[n] = subscribe(clients[expected[n].client], expected[n].pattern);
    flush_all(clients, 2);
    for (int n = 0; n < 6; n++)
        publish(clients[2], sent[n], "");
    flush_all(clients + 2, 1);
    for (int n = 0; n < 6; n++) {
        int count = 0;
        while (expected[n].subjects[count] != NULL)
            count++;
        int got = waiting(clients[expected[n].client], subs[n]);
        CHECK(got == count, "%s: %d, not %d", expected[n].pattern, got, count);
        for (int at = 0; at < count; at++)
            expect_next(subs[n], expected[n].subjects[at], "");
        natsSubscription_Destroy(subs[n]);
    }
    close_all(clients, 3);
}

void queue_groups(void)
{
    enum { MESSAGES = 800 };
    natsConnection *clients[5];
    natsSubscription *subs[11];
    // Eight members in one group, two in another, one in none.
    int first[] = {0, 8, 10, 11};
    connect_all(clients, 5);
    for (int n = 0; n < 8; n++)
        subs[n] = subscribe_group(clients[n % 4], "q.a", "workers");
    for (int n = 8; n < 10; n++)
        subs[n] = subscribe_group(clients[n % 2], "q.*", "others");
    subs[10] = subscribe(clients[4], "q.a");
    flush_all(clients, 5);
    for (int n = 0; n < MESSAGES; n++) {
        char text[16];
        snprintf(text, sizeof text, "%d", n);
        publish(clients[n % 5], "q.a", text);
    }
    flush_all(clients, 5);
    flush_all(clients, 5);
    for (int group = 0; group < 3; group++) {
        int seen[MESSAGES] = {0}, total = 0;
        for (int n = first[group]; n < first[group + 1]; n++) {
            uint64_t queued;
            OK(natsSubscription_QueuedMsgs(subs[n], &queued));
            CHECK(queued > 0, "member %d gets nothing", n);
            total += (int)queued;
            while (queued-- > 0) {
                natsMsg *msg = next(subs[n]);
                CHECK(++seen[atoi(natsMsg_GetData(msg))] == 1, "%s twice", natsMsg_GetData(msg));
                natsMsg_Destroy(msg);
            }
            natsSubscription_Destroy(subs[n]);
        }
        CHECK(total == MESSAGES, "%d of %d", total, MESSAGES);
    }
    close_all(clients, 5);
}

void headers(void)
{
    natsConnection *clients[2];
    natsMsg *msg;
    char value[4001];
    connect_all(clients, 2);
    natsSubscription *sub = subscribe(clients[0], "h.a");
    flush_all(clients, 1);
    memset(value, 'v', 4000);
    value[4000] = 0;
    OK(natsMsg_Create(&msg, "h.a", NULL, "payload", 7));
    OK(natsMsgHeader_Set(msg, "Some-Key", "a value: with colon"));
    OK(natsMsgHeader_Add(msg, "Twice", "one"));
    OK(natsMsgHeader_Add(msg, "Twice", "two"));
    OK(natsMsgHeader_Set(msg, "Long", value));
    OK(natsConnection_PublishMsg(clients[1], msg));
    natsMsg_Destroy(msg);
    publish(clients[1], "h.a", "none");

    const char *got, **all;
    int count;
    msg = next(sub);
    CHECK(strcmp(natsMsg_GetData(msg), "payload") == 0);
    OK(natsMsgHeader_Get(msg, "Some-Key", &got));
    CHECK(strcmp(got, "a value: with colon") == 0, "%s", got);
    OK(natsMsgHeader_Values(msg, "Twice", &all, &count));
    CHECK(count == 2 && strcmp(all[0], "one") == 0 && strcmp(all[1], "two") == 0);
    free((void *)all);
    OK(natsMsgHeader_Get(msg, "Long", &got));
    CHECK(strcmp(got, value) == 0);
    natsMsg_Destroy(msg);
    msg = next(sub);
    STATUS(NATS_NOT_FOUND, natsMsgHeader_Get(msg, "Some-Key", &got));
    natsMsg_Destroy(msg);
    natsSubscription_Destroy(sub);
    close_all(clients, 2);
}

void unsubscribe_max(void)
{
    natsConnection *clients[4];
    connect_all(clients, 4);
    for (int at = 0; at < 4; at++) {
        natsSubscription *limited = subscribe(clients[at], "um.a");
        natsSubscription *control = subscribe(clients[at], "um.a");
        OK(natsSubscription_AutoUnsubscribe(limited, 5));
        flush_all(clients + at, 1);
        uint64_t before = received(clients[at]);
        for (int n = 0; n < 40; n++)
            publish(clients[n % 4], "um.a", "x");
        flush_all(clients, 4);
        CHECK(waiting(clients[at], control) == 40);
        CHECK(received(clients[at]) - before == 45);
        for (int n = 0; n < 5; n++)
            expect_next(limited, "um.a", "x");
        natsMsg *msg;
        STATUS(NATS_MAX_DELIVERED_MSGS, natsSubscription_NextMsg(&msg, limited, 10));
        natsSubscription_Destroy(limited);
        natsSubscription_Destroy(control);
        flush_all(clients + at, 1);
    }
    close_all(clients, 4);
}

void echo_off(void)
{
    natsOptions *opts = options(setting("OPEN"));
    OK(natsOptions_SetNoEcho(opts, true));
    natsConnection *deaf = connect_with(opts), *other = connect_to(setting("OPEN"));
    natsSubscription *own = subscribe(deaf, "e.a"), *heard = subscribe(other, "e.a");
    natsSubscription *in_queue = subscribe_group(deaf, "e.a", "q");
    flush_all(&deaf, 1);
    flush_all(&other, 1);
    publish(deaf, "e.a", "own");
    flush_all(&deaf, 1);
    publish(other, "e.a", "foreign");
    flush_all(&other, 1);
    CHECK(waiting(deaf, own) == 1 && waiting(deaf, in_queue) == 1 && waiting(other, heard) == 2);
    expect_next(own, "e.a", "foreign");
    expect_next(in_queue, "e.a", "foreign");
    expect_next(heard, "e.a", "own");
    natsSubscription_Destroy(own);
    natsSubscription_Destroy(in_queue);
    natsSubscription_Destroy(heard);
    natsConnection_Destroy(deaf);
    natsConnection_Destroy(other);
}

void many_subscriptions(void)
{
    enum { SUBSCRIPTIONS = 2000 };
    static natsSubscription *subs[SUBSCRIPTIONS];
    natsConnection *clients[3];
    char subject[32];
    connect_all(clients, 3);
    for (int n = 0; n < SUBSCRIPTIONS; n++) {
        snprintf(subject, sizeof subject, "ms.%d", n);
        subs[n] = subscribe(clients[n % 2], subject);
    }
    flush_all(clients, 2);
    for (int n = 0; n < SUBSCRIPTIONS; n++) {
        snprintf(subject, sizeof subject, "ms.%d", n);
        publish(clients[2], subject, subject);
    }
    flush_all(clients + 2, 1);
    flush_all(clients, 2);
    for (int n = 0; n < SUBSCRIPTIONS; n++) {
        uint64_t queued;
        snprintf(subject, sizeof subject, "ms.%d", n);
        OK(natsSubscription_QueuedMsgs(subs[n], &queued));
        CHECK(queued == 1, "%s: %d", subject, (int)queued);
        expect_next(subs[n], subject, subject);
        natsSubscription_Destroy(subs[n]);
    }
    flush_all(clients, 2);
    natsMsg *msg;
    STATUS(NATS_NO_RESPONDERS, natsConnection_RequestString(&msg, clients[2], "ms.7", "x", WAIT_MS));
    close_all(clients, 3);
}

struct publisher {
    natsConnection *client;
    int who, count;
};

static void *publish_many(void *closure)
{
    struct publisher *self = closure;
    char subject[32], text[256], filler[200];
    memset(filler, 'x', sizeof filler);
    for (int n = 0; n < self->count; n++) {
        snprintf(subject, sizeof subject, "mm.%d", n % 100);
        snprintf(text, sizeof text, "%d %d %.*s", self->who, n, n % 200, filler);
        publish(self->client, subject, text);
    }
    flush_all(&self->client, 1);
    return NULL;
}

void many_messages(void)
{
    natsConnection *clients[4];
    natsSubscription *subs[2];
    struct publisher publishers[2];
    pthread_t threads[2];
    int each = atoi(setting("MESSAGES")) / 2;
    connect_all(clients, 4);
    for (int n = 0; n < 2; n++)
        subs[n] = subscribe(clients[n], "mm.>");
    flush_all(clients, 2);
    for (int n = 0; n < 2; n++) {
        publishers[n] = (struct publisher){clients[2 + n], n, each};
        CHECK(pthread_create(&threads[n], NULL, publish_many, &publishers[n]) == 0);
    }
    for (int n = 0; n < 2; n++) {
        int expected[2] = {0, 0};
        for (int taken = 0; taken < 2 * each; taken++) {
            int who, number;
            natsMsg *msg = next(subs[n]);
            CHECK(sscanf(natsMsg_GetData(msg), "%d %d", &who, &number) == 2);
            CHECK(number == expected[who], "%d instead of %d of %d", number, expected[who], who);
            expected[who]++;
            natsMsg_Destroy(msg);
        }
    }
    for (int n = 0; n < 2; n++) {
        pthread_join(threads[n], NULL);
        natsSubscription_Destroy(subs[n]);
    }
    close_all(clients, 4);
}

void max_payload(void)
{
    natsConnection *client = connect_to(setting("OPEN"));
    natsSubscription *sub = subscribe(client, "mp.a");
    char *data = calloc(1, MIB + 1);
    STATUS(NATS_MAX_PAYLOAD, natsConnection_Publish(client, "mp.a", data, MIB + 1));
    publish(client, "mp.a", "fits");
    expect_next(sub, "mp.a", "fits");
    free(data);
    natsSubscription_Destroy(sub);
    natsConnection_Destroy(client);
}

static void payload(const char *url, int size)
{
    natsConnection *clients[4];
    natsSubscription *subs[2];
    natsMsg *msg;
    char *data = malloc((size_t)size);
    for (int n = 0; n < size; n++)
        data[n] = (char)((n % 251) * 7 % 251);
    for (int n = 0; n < 4; n++)
        clients[n] = connect_to(url);
    natsSubscription *echo = respond(clients[0], "p.echo", NULL);
    for (int n = 0; n < 2; n++)
        subs[n] = subscribe(clients[n], "p.a");
    flush_all(clients, 2);
    for (int n = 0; n < 8; n++) {
        if (n % 2 == 0)
            OK(natsConnection_Publish(clients[n / 2], "p.a", data, size));
        msg = next(subs[n % 2]);
        CHECK(natsMsg_GetDataLength(msg) == size && memcmp(natsMsg_GetData(msg), data, (size_t)size) == 0);
        natsMsg_Destroy(msg);
    }
    OK(natsConnection_Request(&msg, clients[3], "p.echo", data, size, WAIT_MS));
    CHECK(natsMsg_GetDataLength(msg) == size);
    for (int n = 0; n < size; n++)
        CHECK(natsMsg_GetData(msg)[n] == data[size - 1 - n]);
    natsMsg_Destroy(msg);
    free(data);
    natsSubscription_Destroy(echo);
    for (int n = 0; n < 2; n++)
        natsSubscription_Destroy(subs[n]);
    close_all(clients, 4);
}

void payload_1_mib(void)
{
    payload(setting("OPEN"), MIB);
}

void payload_8_mib(void)
{
    payload(setting("LARGE"), 8 * MIB);
}
