/* See quadrille.h and ../PROTOCOL.md. */
#define _POSIX_C_SOURCE 200809L
#define _DEFAULT_SOURCE

#include "quadrille.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define MAGIC 0x51554144u
#define VERSION 1u

enum { HELLO = 1, OFFER = 2, ANSWER = 3, GONE = 4, ACCEPTED = 5, ACTION = 16 };
enum { DROP = 1, REJECT = 2, BYPASS = 3, MONITOR = 4, PROXY = 5, ACCEPT = 6, FORWARD = 7 };
enum { REJECT_ICMP = 1, FROM_V4 = 1, FROM_V6 = 2 };
enum { TOWARDS_SERVER = 1, TOWARDS_CLIENT = 2, TOWARDS_MAC = 4, TOWARDS_VLANS = 8, TOWARDS_PORT = 16 };

struct hello {
    uint32_t kind, length, magic;
    uint16_t version, reserved;
    uint32_t outstanding, deadline_ms;
};

struct gone {
    uint32_t kind, length;
    uint64_t id;
    uint8_t why, reserved[7];
};

struct accepted {
    uint32_t kind, length;
    uint64_t id;
};

struct action {
    uint32_t kind, length;
    uint64_t id;
    uint8_t action, rejection, from, reserved;
    uint8_t icmp4_type, icmp4_code, icmp6_type, icmp6_code;
    uint32_t consult_ms;
    uint8_t from_v4[4], from_v6[16];
    uint8_t server[16], client[16], next_mac[6];
    uint16_t server_port, outer_vlan, inner_vlan;
    uint8_t towards, next_port, family, reserved_too;
};

/* What the appliance is compiled with; a negative size stops the compiler. */
typedef char size_of_hello[sizeof(struct hello) == 24 ? 1 : -1];
typedef char size_of_partial[sizeof(struct quad_partial) == 360 ? 1 : -1];
typedef char size_of_gone[sizeof(struct gone) == 24 ? 1 : -1];
typedef char size_of_accepted[sizeof(struct accepted) == 16 ? 1 : -1];
typedef char size_of_action[sizeof(struct action) == 96 ? 1 : -1];
typedef char place_of_pasts[offsetof(struct quad_partial, server_past) == 72 ? 1 : -1];
typedef char place_of_syn[offsetof(struct quad_partial, syn) == 104 ? 1 : -1];

struct quad_listener {
    int fd;
    uint32_t outstanding, deadline_ms;
};

/* Any message, and room to see that one is too long. */
union message {
    uint32_t kind_and_length[2];
    struct hello hello;
    struct quad_partial partial;
    struct gone gone;
    struct accepted accepted;
    char bytes[sizeof(struct quad_partial) + 8];
};

static int fail(int error) {
    errno = error;
    return -1;
}

static int send_all(int fd, const void *message, size_t length) {
    ssize_t sent;
    do {
        sent = send(fd, message, length, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -1 : 0;
}

static size_t length_of(uint32_t kind) {
    switch (kind) {
    case HELLO: return sizeof(struct hello);
    case OFFER:
    case ANSWER: return sizeof(struct quad_partial);
    case GONE: return sizeof(struct gone);
    case ACCEPTED: return sizeof(struct accepted);
    default: return 0;
    }
}

/* Takes the descriptor out of what came beside a message; further ones, which no appliance sends, are closed. */
static int descriptor_of(struct msghdr *header) {
    int found = -1;
    struct cmsghdr *part;
    for (part = CMSG_FIRSTHDR(header); part != NULL; part = CMSG_NXTHDR(header, part)) {
        size_t at;
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        for (at = CMSG_LEN(0); at + sizeof(int) <= part->cmsg_len; at += sizeof(int)) {
            int fd;
            memcpy(&fd, (const char *)part + at, sizeof fd);
            if (found < 0)
                found = fd;
            else
                close(fd);
        }
    }
    return found;
}

/* One datagram: 1, or 0 at the end, or -1. */
static int receive(int fd, union message *message, int *descriptor) {
    union {
        struct cmsghdr aligned;
        char bytes[CMSG_SPACE(4 * sizeof(int))];
    } ancillary;
    struct iovec part = {message->bytes, sizeof message->bytes};
    struct msghdr header;
    ssize_t length;

    memset(&header, 0, sizeof header);
    memset(&ancillary, 0, sizeof ancillary);
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = ancillary.bytes;
    header.msg_controllen = sizeof ancillary.bytes;
    *descriptor = -1;
    length = recvmsg(fd, &header, MSG_CMSG_CLOEXEC);
    if (length < 0)
        return errno == ECONNRESET ? 0 : -1;
    if (length == 0)
        return 0;
    *descriptor = descriptor_of(&header);
    if ((size_t)length < sizeof message->kind_and_length || (size_t)length != message->kind_and_length[1] ||
        (size_t)length != length_of(message->kind_and_length[0]) ||
        (*descriptor >= 0) != (message->kind_and_length[0] == ACCEPTED)) {
        if (*descriptor >= 0)
            close(*descriptor);
        *descriptor = -1;
        return fail(EPROTO);
    }
    return 1;
}

static int greet(struct quad_listener *listener) {
    struct hello hello;
    union message answer;
    int none, received;

    memset(&hello, 0, sizeof hello);
    hello.kind = HELLO;
    hello.length = sizeof hello;
    hello.magic = MAGIC;
    hello.version = VERSION;
    if (send_all(listener->fd, &hello, sizeof hello) < 0)
        return -1;
    do {
        received = receive(listener->fd, &answer, &none);
    } while (received < 0 && errno == EINTR);
    if (received < 0)
        return -1;
    if (received == 0 || answer.hello.kind != HELLO || answer.hello.magic != MAGIC ||
        answer.hello.version != VERSION)
        return fail(EPROTO);
    listener->outstanding = answer.hello.outstanding;
    listener->deadline_ms = answer.hello.deadline_ms;
    return 0;
}

struct quad_listener *quad_listen(const char *path) {
    struct sockaddr_un address;
    struct quad_listener *listener;

    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    memcpy(address.sun_path, path, strlen(path));
    listener = calloc(1, sizeof *listener);
    if (listener == NULL)
        return NULL;
    listener->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (listener->fd < 0 || connect(listener->fd, (const struct sockaddr *)&address, sizeof address) < 0 ||
        greet(listener) < 0) {
        int error = errno;
        quad_close(listener);
        errno = error;
        return NULL;
    }
    return listener;
}

void quad_close(struct quad_listener *listener) {
    if (listener == NULL)
        return;
    if (listener->fd >= 0)
        close(listener->fd);
    free(listener);
}

int quad_fd(const struct quad_listener *listener) {
    return listener->fd;
}

uint32_t quad_deadline_ms(const struct quad_listener *listener) {
    return listener->deadline_ms;
}

uint32_t quad_outstanding(const struct quad_listener *listener) {
    return listener->outstanding;
}

int quad_next(struct quad_listener *listener, struct quad_event *event) {
    union message message;
    int received = receive(listener->fd, &message, &event->stream);
    if (received != 1)
        return received;
    switch (message.kind_and_length[0]) {
    case OFFER:
    case ANSWER:
        if (message.partial.syn_length > QUAD_MAX_SYN || (message.partial.family != 4 && message.partial.family != 6))
            return fail(EPROTO);
        event->type = message.kind_and_length[0] == OFFER ? QUAD_PARTIAL : QUAD_ANSWERED;
        event->id = message.partial.id;
        event->partial = message.partial;
        return 1;
    case GONE:
        event->type = QUAD_GONE;
        event->id = message.gone.id;
        event->why = (enum quad_why)message.gone.why;
        return 1;
    case ACCEPTED:
        event->type = QUAD_STREAM;
        event->id = message.accepted.id;
        return 1;
    default: /* A second hello. */
        return fail(EPROTO);
    }
}

static struct action action(uint64_t id, uint8_t what) {
    struct action action;
    memset(&action, 0, sizeof action);
    action.kind = ACTION;
    action.length = sizeof action;
    action.id = id;
    action.action = what;
    return action;
}

static int order(const struct quad_listener *listener, const struct action *action) {
    return send_all(listener->fd, action, sizeof *action);
}

int quad_drop(struct quad_listener *listener, uint64_t id) {
    struct action drop = action(id, DROP);
    return order(listener, &drop);
}

int quad_reject(struct quad_listener *listener, uint64_t id) {
    struct action reject = action(id, REJECT);
    return order(listener, &reject);
}

int quad_reject_icmp(struct quad_listener *listener, uint64_t id, const struct quad_icmp *error) {
    struct action reject = action(id, REJECT);
    reject.rejection = REJECT_ICMP;
    reject.icmp4_type = error->v4_type;
    reject.icmp4_code = error->v4_code;
    reject.icmp6_type = error->v6_type;
    reject.icmp6_code = error->v6_code;
    if (error->from_v4 != NULL) {
        reject.from |= FROM_V4;
        memcpy(reject.from_v4, error->from_v4, sizeof reject.from_v4);
    }
    if (error->from_v6 != NULL) {
        reject.from |= FROM_V6;
        memcpy(reject.from_v6, error->from_v6, sizeof reject.from_v6);
    }
    return order(listener, &reject);
}

int quad_bypass(struct quad_listener *listener, uint64_t id) {
    struct action bypass = action(id, BYPASS);
    return order(listener, &bypass);
}

int quad_monitor(struct quad_listener *listener, uint64_t id) {
    struct action monitor = action(id, MONITOR);
    return order(listener, &monitor);
}

int quad_proxy(struct quad_listener *listener, uint64_t id, uint32_t consult_ms) {
    struct action proxy = action(id, PROXY);
    proxy.consult_ms = consult_ms;
    return order(listener, &proxy);
}

static void towards_hop(struct action *action, const struct quad_hop *hop) {
    if (hop->mac != NULL) {
        action->towards |= TOWARDS_MAC;
        memcpy(action->next_mac, hop->mac, sizeof action->next_mac);
    }
    if (hop->vlans != NULL) {
        action->towards |= TOWARDS_VLANS;
        action->outer_vlan = hop->vlans[0];
        action->inner_vlan = hop->vlans[1];
    }
    if (hop->port >= 0) {
        action->towards |= TOWARDS_PORT;
        action->next_port = (uint8_t)hop->port;
    }
}

int quad_proxy_to(struct quad_listener *listener, uint64_t id, uint32_t consult_ms, const struct quad_target *target) {
    struct action proxy = action(id, PROXY);
    size_t length = target->family == 4 ? 4 : 16;
    proxy.consult_ms = consult_ms;
    if (target->server != NULL) {
        proxy.towards |= TOWARDS_SERVER;
        memcpy(proxy.server, target->server, length);
        proxy.server_port = target->server_port;
        proxy.family = target->family;
    }
    if (target->client != NULL) {
        proxy.towards |= TOWARDS_CLIENT;
        memcpy(proxy.client, target->client, length);
        proxy.family = target->family;
    }
    towards_hop(&proxy, &target->hop);
    return order(listener, &proxy);
}

int quad_forward(struct quad_listener *listener, uint64_t id, const struct quad_hop *hop) {
    struct action forward = action(id, FORWARD);
    towards_hop(&forward, hop);
    return order(listener, &forward);
}

int quad_accept(struct quad_listener *listener, uint64_t id) {
    struct action accept = action(id, ACCEPT);
    return order(listener, &accept);
}
