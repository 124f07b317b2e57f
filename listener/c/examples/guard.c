/*
 * A filter: connections to the ports that are named are proxied, all others hear that they are prohibited, and a client
 * that tries too often hears nothing until it has left off for a while.
 *
 *     cc -std=c99 -I.. -o guard guard.c ../quadrille.c
 *     ./guard /run/quadrille-filter.sock 80 443
 *
 * Shows a listener in a program that has other things to wait for: its descriptor does not block and is polled.
 */
#define _POSIX_C_SOURCE 200809L

#include "quadrille.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Connections that a client may try before the next interval without any connection at all, milliseconds. */
#define TRIES 100
#define INTERVAL_MS 1000

/* Clients by a hash of their address: one that collides with a flood is taken for it until the interval ends. */
#define CLIENTS 4096

static unsigned tries[CLIENTS];

static size_t place_of(const uint8_t address[16]) {
    uint32_t hash = 2166136261u;
    size_t n;
    for (n = 0; n < 16; n++)
        hash = (hash ^ address[n]) * 16777619u;
    return hash % CLIENTS;
}

static int decide(struct quad_listener *listener, const struct quad_partial *partial, char **ports) {
    static const struct quad_icmp prohibited = {3, 13, 1, 1, NULL, NULL};
    if (++tries[place_of(partial->client)] > TRIES)
        return quad_drop(listener, partial->id);
    for (; *ports != NULL; ports++)
        if (atoi(*ports) == partial->server_port)
            return quad_proxy(listener, partial->id, 0);
    printf("prohibited: port %u\n", partial->server_port);
    return quad_reject_icmp(listener, partial->id, &prohibited);
}

/* All events that there are; 1 when the appliance goes on. */
static int take_events(struct quad_listener *listener, char **ports) {
    static struct quad_event event;
    int got;
    while ((got = quad_next(listener, &event)) == 1)
        if (event.type == QUAD_PARTIAL && decide(listener, &event.partial, ports) < 0)
            return -1;
    return got < 0 && (errno == EAGAIN || errno == EINTR) ? 1 : got;
}

int main(int count, char **arguments) {
    struct quad_listener *listener;
    struct pollfd watched;
    int goes_on = 1;

    if (count < 3) {
        fprintf(stderr, "usage: guard SOCKET PORT...\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    listener = quad_listen(arguments[1]);
    if (listener == NULL || fcntl(quad_fd(listener), F_SETFL, O_NONBLOCK) < 0) {
        perror(arguments[1]);
        return 1;
    }
    printf("listening\n");
    watched.fd = quad_fd(listener);
    watched.events = POLLIN;
    while (goes_on == 1) {
        int ready = poll(&watched, 1, INTERVAL_MS);
        if (ready < 0 && errno != EINTR)
            break;
        if (ready == 0) /* a quiet interval */
            memset(tries, 0, sizeof tries);
        if (ready > 0)
            goes_on = take_events(listener, arguments + 2);
    }
    fprintf(stderr, "%s\n", goes_on == 0 ? "the appliance has gone" : strerror(errno));
    quad_close(listener);
    return 1;
}
