// What the checks share: connections, waiting, failing, the talk with the harness.

#ifndef CHECKS_H
#define CHECKS_H

#include <nats/nats.h>
#include <stdbool.h>
#include <stdint.h>

// Upper bound of every wait in milliseconds, only there to turn a hang into a failure.
#define WAIT_MS 60000
#define MIB (1024 * 1024)

// Ends the program with a message when the condition does not hold.
#define CHECK(condition, ...) \
    do { \
        if (!(condition)) \
            fail(__FILE__, __LINE__, #condition, " " __VA_ARGS__); \
    } while (0)

// Ends the program unless the library says NATS_OK.
#define OK(call) expect_status(__FILE__, __LINE__, #call, (call), NATS_OK)

// Ends the program unless the library says just this.
#define STATUS(wanted, call) expect_status(__FILE__, __LINE__, #call, (call), (wanted))

void fail(const char *file, int line, const char *what, const char *format, ...)
    __attribute__((noreturn, format(printf, 4, 5)));
void expect_status(const char *file, int line, const char *what, natsStatus got, natsStatus wanted);

// The value of CLIENTS_<name>; the program ends when it is not there.
const char *setting(const char *name);

natsOptions *options(const char *url);

// Connects, and destroys the options.
natsConnection *connect_with(natsOptions *opts);
natsConnection *connect_to(const char *url);

// Several connections, so that some sit on different shards.
void connect_all(natsConnection **clients, int count);
void close_all(natsConnection **clients, int count);
void flush_all(natsConnection **clients, int count);

natsSubscription *subscribe(natsConnection *client, const char *subject);
natsSubscription *subscribe_group(natsConnection *client, const char *subject, const char *queue);
void publish(natsConnection *client, const char *subject, const char *text);

// The next message; the program ends when none comes.
natsMsg *next(natsSubscription *sub);

// The next message has this subject and text.
void expect_next(natsSubscription *sub, const char *subject, const char *text);

// After a round trip: how many messages wait.
int waiting(natsConnection *client, natsSubscription *sub);

// Answers each request with its own payload, reversed.
natsSubscription *respond(natsConnection *client, const char *subject, const char *queue);

// One request with a text; the answer is it reversed.
void ask(natsConnection *client, const char *subject, const char *text);

// Waits until *count has reached the number.
void wait_until(int *count, int number, const char *what);

// Says a line to the harness and waits until it has done it.
void harness(const char *line);

#endif
