// Checks of who comes in and who does not, by every method there is.

#ifndef LOGINS_H
#define LOGINS_H

#include "checks.h"

struct login {
    const char *server, *user, *password, *token;
    // Names among what the harness has made: a seed with its public key, a credentials file, the authority that is trusted,
    // the certificate that is shown.
    const char *seed, *creds, *authority, *identity;
};

natsStatus log_in(const struct login *login, natsConnection **client);

void authentication(void);
void authentication_errors(void);
void nkeys(void);
void credentials(void);
void tls(void);
void tls_verify(void);
void tls_map(void);

#endif
