/*
 * Serves what the servers behind the appliance do not: an echo, a page that says "maintenance", and refusals.
 *
 *     cc -std=c99 -I.. -o serve serve.c ../quadrille.c -pthread
 *     ./serve /run/quadrille-filter.sock 7 80
 *
 * Connections to the first port are accepted and echoed; those to the second are asked of their server first and get a page
 * when it refuses; everything else is proxied. Prints what it does.
 */
#define _POSIX_C_SOURCE 200809L

#include "quadrille.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONSULT_MS 3000
/* Connections that are to get the page, and whose handshake is still to come; beyond, the oldest is echoed. */
#define PAGES 1024

static const char PAGE[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 12\r\nConnection: close\r\n\r\n"
                           "maintenance\n";

static uint64_t pages[PAGES];
static size_t next_page;

static int write_all(int stream, const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t written = write(stream, bytes, length);
        if (written < 0)
            return -1;
        bytes += written;
        length -= (size_t)written;
    }
    return 0;
}

static void *echo(void *argument) {
    int stream = (int)(intptr_t)argument;
    size_t sum = 0;
    char bytes[65536];
    ssize_t length;
    while ((length = read(stream, bytes, sizeof bytes)) > 0) {
        if (write_all(stream, bytes, (size_t)length) < 0)
            break;
        sum += (size_t)length;
    }
    printf(length == 0 ? "echoed %zu bytes\n" : "a stream has ended after %zu bytes\n", sum);
    close(stream);
    return NULL;
}

static void *page(void *argument) {
    int stream = (int)(intptr_t)argument;
    char request[4096];
    size_t length = 0;
    ssize_t more;
    while (length < sizeof request - 1 && (more = read(stream, request + length, sizeof request - 1 - length)) > 0) {
        length += (size_t)more;
        request[length] = '\0';
        if (strstr(request, "\r\n\r\n") != NULL)
            break;
    }
    if (write_all(stream, PAGE, sizeof PAGE - 1) == 0 && shutdown(stream, SHUT_WR) == 0) {
        /* Until the client has closed, too: closed with unread input, the page could be lost to a reset. */
        while (read(stream, request, sizeof request) > 0) {
        }
    }
    close(stream);
    return NULL;
}

/* Whether a connection is to get the page; it is asked once. */
static int gets_page(uint64_t id) {
    size_t n;
    for (n = 0; n < PAGES; n++)
        if (pages[n] == id && id != UINT64_MAX) {
            pages[n] = UINT64_MAX;
            return 1;
        }
    return 0;
}

static void serve(uint64_t id, int stream) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, gets_page(id) ? page : echo, (void *)(intptr_t)stream) != 0)
        close(stream);
    else
        pthread_detach(thread);
}

static int decide(struct quad_listener *listener, const struct quad_partial *partial, int echo_port, int page_port) {
    char client[INET6_ADDRSTRLEN];
    inet_ntop(partial->family == 4 ? AF_INET : AF_INET6, partial->client, client, sizeof client);
    printf("%s port %u -> port %u\n", client, partial->client_port, partial->server_port);
    if (partial->server_port == echo_port)
        return quad_accept(listener, partial->id);
    return quad_proxy(listener, partial->id, partial->server_port == page_port ? CONSULT_MS : 0);
}

static int answered(struct quad_listener *listener, const struct quad_partial *partial) {
    if (partial->answer.outcome == QUAD_ACCEPTED)
        return quad_proxy(listener, partial->id, 0);
    printf("its server: %u\n", partial->answer.outcome);
    pages[next_page++ % PAGES] = partial->id;
    return quad_accept(listener, partial->id);
}

int main(int count, char **arguments) {
    static struct quad_event event;
    struct quad_listener *listener;
    int done = 1;

    if (count != 4) {
        fprintf(stderr, "usage: serve SOCKET ECHO PAGE\n");
        return 2;
    }
    memset(pages, 0xff, sizeof pages);
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    listener = quad_listen(arguments[1]);
    if (listener == NULL) {
        perror(arguments[1]);
        return 1;
    }
    printf("listening\n");
    while (done >= 0 && (done = quad_next(listener, &event)) == 1) {
        switch (event.type) {
        case QUAD_PARTIAL: done = decide(listener, &event.partial, atoi(arguments[2]), atoi(arguments[3])); break;
        case QUAD_ANSWERED: done = answered(listener, &event.partial); break;
        case QUAD_STREAM: serve(event.id, event.stream); break;
        case QUAD_GONE:
            gets_page(event.id);
            printf("%llu is gone: %u\n", (unsigned long long)event.id, (unsigned)event.why);
            break;
        }
        if (done == 0)
            done = 1;
    }
    if (done < 0)
        perror("the appliance");
    quad_close(listener);
    return 1;
}
