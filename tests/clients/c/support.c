// What the checks share; see checks.h.

#include "checks.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fail(const char *file, int line, const char *what, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("FAILED %s:%d: %s", file, line, what);
    vprintf(format, arguments);
    printf("\n");
    fflush(stdout);
    va_end(arguments);
    _Exit(1);
}

void expect_status(const char *file, int line, const char *what, natsStatus got, natsStatus wanted)
{
    if (got != wanted)
        fail(file, line, what, ": %s, not %s", natsStatus_GetText(got), natsStatus_GetText(wanted));
}

const char *setting(const char *name)
{
    char variable[64];
    snprintf(variable, sizeof variable, "CLIENTS_%s", name);
    const char *value = getenv(variable);
    CHECK(value != NULL, "%s is not set", variable);
    return value;
}

natsOptions *options(const char *url)
{
    natsOptions *opts;
    OK(natsOptions_Create(&opts));
    OK(natsOptions_SetURL(opts, url));
    OK(natsOptions_SetTimeout(opts, WAIT_MS));
    // The client's own queues never overflow: a lost message is the server's fault.
    OK(natsOptions_SetMaxPendingMsgs(opts, 10 * 1000 * 1000));
    return opts;
}

natsConnection *connect_with(natsOptions *opts)
{
    natsConnection *client;
    OK(natsConnection_Connect(&client, opts));
    natsOptions_Destroy(opts);
    return client;
}

natsConnection *connect_to(const char *url)
{
    return connect_with(options(url));
}

void connect_all(natsConnection **clients, int count)
{
    for (int n = 0; n < count; n++)
        clients[n] = connect_to(setting("OPEN"));
}

void close_all(natsConnection **clients, int count)
{
    for (int n = 0; n < count; n++)
        natsConnection_Destroy(clients[n]);
}

void flush_all(natsConnection **clients, int count)
{
    for (int n = 0; n < count; n++)
        OK(natsConnection_FlushTimeout(clients[n], WAIT_MS));
}

natsSubscription *subscribe(natsConnection *client, const char *subject)
{
    natsSubscription *sub;
    OK(natsConnection_SubscribeSync(&sub, client, subject));
    OK(natsSubscription_SetPendingLimits(sub, -1, -1));
    return sub;
}

natsSubscription *subscribe_group(natsConnection *client, const char *subject, const char *queue)
{
    natsSubscription *sub;
    OK(natsConnection_QueueSubscribeSync(&sub, client, subject, queue));
    OK(natsSubscription_SetPendingLimits(sub, -1, -1));
    return sub;
}

void publish(natsConnection *client, const char *subject, const char *text)
{
    OK(natsConnection_PublishString(client, subject, text));
}

natsMsg *next(natsSubscription *sub)
{
    natsMsg *msg;
    OK(natsSubscription_NextMsg(&msg, sub, WAIT_MS));
    return msg;
}

void expect_next(natsSubscription *sub, const char *subject, const char *text)
{
    natsMsg *msg = next(sub);
    CHECK(strcmp(natsMsg_GetSubject(msg), subject) == 0, "%s, not %s", natsMsg_GetSubject(msg), subject);
    CHECK(strcmp(natsMsg_GetData(msg), text) == 0, "%s, not %s", natsMsg_GetData(msg), text);
    natsMsg_Destroy(msg);
}

int waiting(natsConnection *client, natsSubscription *sub)
{
    uint64_t queued;
    flush_all(&client, 1);
    OK(natsSubscription_QueuedMsgs(sub, &queued));
    return (int)queued;
}

static void answer(natsConnection *client, natsSubscription *sub, natsMsg *msg, void *closure)
{
    (void)sub;
    (void)closure;
    int len = natsMsg_GetDataLength(msg);
    char *reversed = malloc((size_t)len + 1);
    for (int n = 0; n < len; n++)
        reversed[n] = natsMsg_GetData(msg)[len - 1 - n];
    OK(natsConnection_Publish(client, natsMsg_GetReply(msg), reversed, len));
    free(reversed);
    natsMsg_Destroy(msg);
}

natsSubscription *respond(natsConnection *client, const char *subject, const char *queue)
{
    natsSubscription *sub;
    if (queue == NULL)
        OK(natsConnection_Subscribe(&sub, client, subject, answer, NULL));
    else
        OK(natsConnection_QueueSubscribe(&sub, client, subject, queue, answer, NULL));
    flush_all(&client, 1);
    return sub;
}

void ask(natsConnection *client, const char *subject, const char *text)
{
    natsMsg *msg;
    OK(natsConnection_RequestString(&msg, client, subject, text, WAIT_MS));
    int len = (int)strlen(text);
    CHECK(natsMsg_GetDataLength(msg) == len);
    for (int n = 0; n < len; n++)
        CHECK(natsMsg_GetData(msg)[n] == text[len - 1 - n], "%s to %s", natsMsg_GetData(msg), text);
    natsMsg_Destroy(msg);
}

void wait_until(int *count, int number, const char *what)
{
    for (int waited_ms = 0; __atomic_load_n(count, __ATOMIC_SEQ_CST) < number; waited_ms += 2) {
        CHECK(waited_ms < WAIT_MS, "waited in vain for %s", what);
        nats_Sleep(2);
    }
}

void harness(const char *line)
{
    char done[64];
    printf("%s\n", line);
    fflush(stdout);
    CHECK(fgets(done, sizeof done, stdin) != NULL && strcmp(done, "done\n") == 0);
}
