// Checks of who comes in and who does not; see logins.h.

#include "logins.h"

#include <stdio.h>

struct path {
    char text[512];
};

static struct path material(const char *name, const char *kind)
{
    struct path path;
    int len = snprintf(path.text, sizeof path.text, "%s/%s.%s", setting("MATERIAL"), name, kind);
    CHECK(len > 0 && (size_t)len < sizeof path.text);
    return path;
}

static void set_seed(natsOptions *opts, const char *name)
{
    char public_key[64];
    FILE *file = fopen(material(name, "pub").text, "r");
    CHECK(file != NULL && fgets(public_key, sizeof public_key, file) != NULL, "%s", name);
    fclose(file);
    OK(natsOptions_SetNKeyFromSeed(opts, public_key, material(name, "seed").text));
}

natsStatus log_in(const struct login *login, natsConnection **client)
{
    natsOptions *opts = options(setting(login->server));
    OK(natsOptions_SetAllowReconnect(opts, false));
    if (login->user != NULL)
        OK(natsOptions_SetUserInfo(opts, login->user, login->password));
    if (login->token != NULL)
        OK(natsOptions_SetToken(opts, login->token));
    if (login->seed != NULL)
        set_seed(opts, login->seed);
    if (login->creds != NULL)
        OK(natsOptions_SetUserCredentialsFromFiles(opts, material(login->creds, "creds").text, NULL));
    if (login->authority != NULL) {
        OK(natsOptions_SetSecure(opts, true));
        OK(natsOptions_LoadCATrustedCertificates(opts, material(login->authority, "pem").text));
    }
    if (login->identity != NULL)
        OK(natsOptions_LoadCertificatesChain(opts, material(login->identity, "pem").text,
                                             material(login->identity, "key").text));
    natsStatus status = natsConnection_Connect(client, opts);
    natsOptions_Destroy(opts);
    return status;
}

// Logs in who may come in. Of the signatures that this library (3.4.1) makes, some hundredths do not verify: nats-server
// refuses them as often. So whoever signs tries again.
static natsStatus come_in(const struct login *login, natsConnection **client)
{
    bool signs = login->seed != NULL || login->creds != NULL;
    natsStatus status = log_in(login, client);
    for (int again = 0; again < 9 && signs && status == NATS_CONNECTION_AUTH_FAILED; again++)
        status = log_in(login, client);
    return status;
}

// Those who log in so can publish, subscribe, ask and answer. Several, so that some sit on different shards.
static void usable(const struct login *login)
{
    natsConnection *clients[2];
    for (int n = 0; n < 2; n++)
        OK(come_in(login, &clients[n]));
    natsSubscription *sub = subscribe(clients[0], "allowed.a");
    natsSubscription *asked = respond(clients[0], "allowed.ask", NULL);
    publish(clients[1], "allowed.a", "x");
    expect_next(sub, "allowed.a", "x");
    ask(clients[1], "allowed.ask", "ab");
    natsSubscription_Destroy(asked);
    natsSubscription_Destroy(sub);
    close_all(clients, 2);
}

static void violation(const struct login *login)
{
    natsConnection *client;
    STATUS(NATS_CONNECTION_AUTH_FAILED, log_in(login, &client));
}

static void refused(const struct login *login)
{
    natsConnection *client;
    CHECK(log_in(login, &client) != NATS_OK, "let in by %s", login->server);
}

void authentication(void)
{
    static const struct login accepted[] = {
        {.server = "USERS", .user = "alice", .password = "sekret-a"},
        {.server = "USERS", .user = "bob", .password = "sekret-b"},
        {.server = "USERS", .user = "carol", .password = "sekret-c"},
        {.server = "TOKEN", .token = "sekret-t"},
    };
    for (size_t n = 0; n < sizeof accepted / sizeof *accepted; n++)
        usable(&accepted[n]);
}

void authentication_errors(void)
{
    static const struct login wrong[] = {
        {.server = "USERS"},
        {.server = "USERS", .user = "alice", .password = "wrong"},
        {.server = "USERS", .user = "alice", .password = ""},
        {.server = "USERS", .user = "nobody", .password = "sekret-a"},
        {.server = "USERS", .user = "bob", .password = "wrong"},
        {.server = "USERS", .token = "sekret-t"},
        {.server = "TOKEN"},
        {.server = "TOKEN", .token = "wrong"},
        {.server = "TOKEN", .user = "alice", .password = "sekret-t"},
    };
    for (size_t n = 0; n < sizeof wrong / sizeof *wrong; n++)
        violation(&wrong[n]);
}

void nkeys(void)
{
    usable(&(struct login){.server = "NKEYS", .seed = "alice"});
    violation(&(struct login){.server = "NKEYS", .seed = "stranger"});
    violation(&(struct login){.server = "NKEYS"});
}

void credentials(void)
{
    usable(&(struct login){.server = "OPERATOR", .creds = "app"});
    violation(&(struct login){.server = "OPERATOR", .creds = "expired"});
    violation(&(struct login){.server = "OPERATOR", .creds = "foreign"});
    violation(&(struct login){.server = "OPERATOR", .creds = "mismatch"});
    violation(&(struct login){.server = "OPERATOR"});
}

void tls(void)
{
    usable(&(struct login){.server = "TLS", .authority = "ca", .token = "sekret-t"});
    violation(&(struct login){.server = "TLS", .authority = "ca", .token = "wrong"});
    refused(&(struct login){.server = "TLS", .authority = "other-ca", .token = "sekret-t"});
}

void tls_verify(void)
{
    usable(&(struct login){.server = "TLS_VERIFY", .authority = "ca", .identity = "mail"});
    refused(&(struct login){.server = "TLS_VERIFY", .authority = "ca"});
    refused(&(struct login){.server = "TLS_VERIFY", .authority = "ca", .identity = "client-stray"});
}

void tls_map(void)
{
    usable(&(struct login){.server = "TLS_MAP", .authority = "ca", .identity = "joe"});
    usable(&(struct login){.server = "TLS_MAP", .authority = "ca", .identity = "names"});
    violation(&(struct login){.server = "TLS_MAP", .authority = "ca", .identity = "mail"});
    refused(&(struct login){.server = "TLS_MAP", .authority = "ca"});
}
