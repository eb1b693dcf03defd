// The checks in accounts.c.

#ifndef ACCOUNTS_H
#define ACCOUNTS_H

void accounts_streams(void);
void accounts_services(void);
void accounts_queue_groups(void);
void accounts_no_auth_user(void);

#endif
