// The checks in messages.c.

#ifndef MESSAGES_H
#define MESSAGES_H

void info(void);
void publish_subscribe(void);
void wildcards(void);
void queue_groups(void);
void headers(void);
void unsubscribe_max(void);
void echo_off(void);
void many_subscriptions(void);
void many_messages(void);
void max_payload(void);
void payload_1_mib(void);
void payload_8_mib(void);

#endif
