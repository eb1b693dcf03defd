// Checks of accounts: the example of "Multi Tenancy using Accounts", two clients of each account, so that they sit on
// different shards.

#include "accounts.h"
#include "checks.h"

#include <stdio.h>
#include <string.h>

static void connect_as(const char *name, natsConnection **clients, int count)
{
    for (int n = 0; n < count; n++) {
        natsOptions *opts = options(setting("ACCOUNTS"));
        OK(natsOptions_SetUserInfo(opts, name, name));
        clients[n] = connect_with(opts);
    }
}

// What has come is so many times what a publishes, and nothing else but the account's own.
static void expect_all(natsConnection *client, natsSubscription *sub, const char *subject, int own)
{
    int count = waiting(client, sub), of_a = 0;
    CHECK(count == 2 + own, "%d", count);
    for (int n = 0; n < count; n++) {
        natsMsg *msg = next(sub);
        if (strcmp(natsMsg_GetData(msg), "of a") == 0) {
            CHECK(strcmp(natsMsg_GetSubject(msg), subject) == 0, "%s", natsMsg_GetSubject(msg));
            CHECK(strcmp(natsMsg_GetReply(msg), "answer.here") == 0);
            of_a++;
        } else
            CHECK(strcmp(natsMsg_GetSubject(msg), "puba.y") == 0, "%s", natsMsg_GetSubject(msg));
        natsMsg_Destroy(msg);
    }
    CHECK(of_a == 2, "%d", of_a);
}

void accounts_streams(void)
{
    static const char *const subjects[] = {"puba.x", "b.x", "other.x"};
    natsConnection *all[6], **a = all, **b = all + 2, **c = all + 4;
    natsSubscription *subs[4], *prefixed = NULL;
    connect_as("a", a, 2);
    connect_as("b", b, 2);
    connect_as("c", c, 2);
    for (int n = 0; n < 4; n++)
        subs[n] = subscribe(all[2 + n], ">");
    prefixed = subscribe(c[1], "from_a.puba.*");
    flush_all(all, 6);
    for (int n = 0; n < 2; n++)
        for (int subject = 0; subject < 3; subject++)
            OK(natsConnection_PublishRequestString(a[n], subjects[subject], "answer.here", "of a"));
    // Nobody else's: the others only import.
    for (int n = 2; n < 6; n++)
        publish(all[n], "puba.y", "not of a");
    flush_all(all, 6);
    for (int n = 0; n < 2; n++) {
        expect_all(b[n], subs[n], "b.x", 2);
        expect_all(c[n], subs[2 + n], "from_a.puba.x", 2);
    }
    expect_all(c[1], prefixed, "from_a.puba.x", 0);
    for (int n = 0; n < 4; n++)
        natsSubscription_Destroy(subs[n]);
    natsSubscription_Destroy(prefixed);
    close_all(all, 6);
}

static void nobody_answers(natsConnection *client, const char *subject)
{
    natsMsg *msg;
    STATUS(NATS_NO_RESPONDERS, natsConnection_RequestString(&msg, client, subject, "x", WAIT_MS));
}

void accounts_services(void)
{
    natsConnection *all[6], **a = all, **b = all + 2, **c = all + 4;
    connect_as("a", a, 2);
    connect_as("b", b, 2);
    connect_as("c", c, 2);
    for (int n = 0; n < 2; n++)
        nobody_answers(b[n], "q.b");
    natsSubscription *asked = respond(a[0], "q.b", NULL), *other = respond(a[1], "pubq.>", NULL);
    natsSubscription *local = subscribe(c[0], "Q");
    flush_all(c, 1);
    for (int n = 0; n < 40; n++) {
        ask(b[n % 2], "q.b", "ab");
        ask(c[n % 2], "Q", "cd");
    }
    // The account that asks sees its own requests.
    CHECK(waiting(c[0], local) == 40);
    // What is not imported is not there.
    nobody_answers(b[0], "pubq.C");
    nobody_answers(b[1], "Q");
    nobody_answers(c[0], "q.b");
    nobody_answers(c[1], "pubq.C");
    OK(natsSubscription_Unsubscribe(asked));
    flush_all(a, 1);
    for (int n = 0; n < 2; n++)
        nobody_answers(b[n], "q.b");
    natsSubscription_Destroy(asked);
    natsSubscription_Destroy(other);
    natsSubscription_Destroy(local);
    close_all(all, 6);
}

void accounts_queue_groups(void)
{
    natsConnection *all[6], **a = all, **b = all + 3;
    natsSubscription *members[4], *others[3];
    int got = 0;
    connect_as("a", a, 3);
    connect_as("b", b, 3);
    for (int n = 0; n < 4; n++)
        members[n] = subscribe_group(n < 2 ? a[n] : b[n - 2], "b.q", "workers");
    for (int n = 0; n < 3; n++)
        others[n] = subscribe_group(b[n], "b.*", "others");
    natsSubscription *plain = subscribe(b[2], "b.q");
    flush_all(all, 6);
    for (int n = 0; n < 600; n++)
        publish(a[n % 3], "b.q", "x");
    flush_all(all, 6);
    for (int n = 0; n < 4; n++) {
        int here = waiting(n < 2 ? a[n] : b[n - 2], members[n]);
        CHECK(here > 0);
        got += here;
    }
    CHECK(got == 600, "%d", got);
    for (int n = 0; n < 3; n++)
        got -= waiting(b[n], others[n]);
    CHECK(got == 0, "%d", got);
    CHECK(waiting(b[2], plain) == 600);
    for (int n = 0; n < 4; n++)
        natsSubscription_Destroy(members[n]);
    for (int n = 0; n < 3; n++)
        natsSubscription_Destroy(others[n]);
    natsSubscription_Destroy(plain);
    close_all(all, 6);
}

void accounts_no_auth_user(void)
{
    natsConnection *a, *c, *nobody = connect_to(setting("ACCOUNTS"));
    connect_as("a", &a, 1);
    connect_as("c", &c, 1);
    natsSubscription *heard = subscribe(a, "puba.n"), *renamed = subscribe(c, "from_a.>");
    flush_all(&a, 1);
    flush_all(&c, 1);
    publish(nobody, "puba.n", "hello");
    expect_next(heard, "puba.n", "hello");
    expect_next(renamed, "from_a.puba.n", "hello");
    natsSubscription_Destroy(heard);
    natsSubscription_Destroy(renamed);
    natsConnection_Destroy(nobody);
    natsConnection_Destroy(a);
    natsConnection_Destroy(c);
}
