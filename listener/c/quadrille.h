/*
 * Delayed listeners: a program decides about connections that a Quadrille appliance holds, while their clients have
 * heard nothing yet, and is the server of those that it accepts.
 *
 *     struct quad_listener *listener = quad_listen("/run/quadrille-filter.sock");
 *     struct quad_event event;
 *     while (listener != NULL && quad_next(listener, &event) == 1)
 *         if (event.type == QUAD_PARTIAL)
 *             quad_proxy(listener, event.id, 0);
 *
 * C99 and POSIX, no other dependency: compile quadrille.c into the program. Every function that returns int returns 0 (or
 * what it says) for success and -1 with errno for failure. A listener is used by one thread at a time; several may be open,
 * in one program or more, and each offer goes to one of them. The fields of a message are described in
 * ../PROTOCOL.md; here they lie as they are sent.
 */
#ifndef QUADRILLE_H
#define QUADRILLE_H

#include <stdint.h>
#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

#define QUAD_MAX_SYN 256

/* TCP options of a SYN or SYN-ACK. */
enum {
    QUAD_HAS_MSS = 1,
    QUAD_HAS_WINDOW_SCALE = 2,
    QUAD_HAS_SACK = 4,
    QUAD_HAS_TIMESTAMPS = 8,
    QUAD_HAS_OTHER = 16
};

/* How an attempt to connect ended. */
enum quad_outcome {
    QUAD_UNKNOWN = 0,
    QUAD_ACCEPTED = 1,    /* SYN-ACK */
    QUAD_REFUSED = 2,     /* RST */
    QUAD_UNREACHABLE = 3, /* ICMP or ICMPv6 error: icmp_type, icmp_code */
    QUAD_SILENT = 4       /* nothing, for as long as anybody waited */
};

/* Why a partial connection needs no action any more. */
enum quad_why {
    QUAD_GONE_CLIENT = 1,    /* the client has given up, or never completed the handshake of an accepted connection */
    QUAD_GONE_RENEWED = 2,   /* the client has begun another connection on the same quad */
    QUAD_GONE_OVERDUE = 3,   /* time was up: the appliance's default has been applied */
    QUAD_GONE_DISPLACED = 4, /* it had to make room for others */
    QUAD_GONE_SETTLED = 5,   /* it is settled */
    QUAD_GONE_REFUSED = 6    /* it cannot be accepted: too many streams are open */
};

/* An outcome of former times. */
struct quad_past {
    uint8_t outcome; /* enum quad_outcome; QUAD_UNKNOWN: nothing is known */
    uint8_t icmp_type, icmp_code;
    uint8_t reserved;
    uint32_t age_ms; /* how long ago, milliseconds */
};

/* What a server has said. */
struct quad_answer {
    uint8_t outcome; /* enum quad_outcome; QUAD_UNKNOWN in an offer */
    uint8_t icmp_type, icmp_code;
    uint8_t window_scale; /* with QUAD_HAS_WINDOW_SCALE */
    uint16_t options;     /* those of the SYN-ACK */
    uint16_t mss;         /* with QUAD_HAS_MSS, bytes */
};

/* A connection whose client has been answered nothing. */
struct quad_partial {
    uint32_t kind, length; /* of the message */
    uint64_t id;           /* by this it is named; never used again */
    uint8_t client[16];    /* network order; an IPv4 address is in the first four bytes */
    uint8_t server[16];
    uint16_t client_port; /* host order */
    uint16_t server_port;
    uint8_t family; /* 4 or 6 */
    uint8_t pair;   /* index of the appliance's port pair */
    uint16_t outer_vlan;
    uint16_t inner_vlan; /* the only one of a singly tagged frame; 0 for none */
    uint16_t options;    /* QUAD_HAS_... */
    uint16_t mss;        /* with QUAD_HAS_MSS, bytes */
    uint8_t window_scale;
    uint8_t reserved;
    uint32_t timestamp;           /* TSval, with QUAD_HAS_TIMESTAMPS */
    uint32_t age_us;              /* how long the appliance had held it, microseconds */
    struct quad_past server_past; /* how the server answered last, to whomever */
    struct quad_past client_past; /* how this client's last attempt ended */
    struct quad_answer answer;    /* with QUAD_ANSWERED */
    uint16_t syn_length;          /* bytes of syn */
    uint16_t syn_whole;           /* bytes of the whole SYN; more than syn_length when its end is not shown */
    uint8_t reserved_too[4];
    uint8_t syn[QUAD_MAX_SYN]; /* from the destination MAC on */
};

enum quad_event_type {
    QUAD_PARTIAL,  /* event.partial waits for an action */
    QUAD_ANSWERED, /* event.partial, which was consulted about, waits for an action; event.partial.answer says why */
    QUAD_STREAM,   /* the accepted connection event.id is complete; event.stream is its byte stream */
    QUAD_GONE      /* event.id needs no action any more: event.why */
};

struct quad_event {
    enum quad_event_type type;
    uint64_t id;
    struct quad_partial partial;
    int stream;         /* the program's to close; else -1 */
    enum quad_why why;  /* a later appliance may know more reasons */
};

/* An ICMP error to refuse with. Types and codes that no SYN can get end the program's connection. */
struct quad_icmp {
    uint8_t v4_type, v4_code; /* RFC 792: 3 with a code up to 15 but 4, or 11 with 0 */
    uint8_t v6_type, v6_code; /* RFC 4443: 1 with a code up to 6, or 3 with 0 */
    const uint8_t *from_v4;   /* 4 bytes, who says so; NULL: the server */
    const uint8_t *from_v6;   /* 16 bytes */
};

/* Where frames to the server go next, as far as it is not where they would go anyway. */
struct quad_hop {
    const uint8_t *mac;    /* 6 bytes; NULL: the client's SYN's */
    const uint16_t *vlans; /* outer and inner id, a single one is the inner one, 0 for none; NULL: the client's SYN's */
    int port;              /* index of the port in the appliance's configuration, up to 255; -1: that opposite to the client's */
};

/* Another way to a server than the SYN says. Addresses of another family than the client's are not heeded. */
struct quad_target {
    uint8_t family;        /* of both addresses: 4 (4 bytes each) or 6 (16 bytes) */
    const uint8_t *server; /* NULL: the SYN's */
    uint16_t server_port;  /* host order */
    const uint8_t *client; /* takes the place of the client's, and has to come back to the appliance; NULL: kept */
    struct quad_hop hop;
};

struct quad_listener;

/*
 * Connects to the socket of a module of kind "program". NULL with errno: those of socket(2) and connect(2), first of all
 * ENOENT and ECONNREFUSED (no appliance) and EACCES; ENAMETOOLONG; EPROTO when the other side speaks another version.
 */
struct quad_listener *quad_listen(const char *path);

/* Ends it. The appliance applies its default to what was not decided; streams go on. NULL is nothing. */
void quad_close(struct quad_listener *listener);

/* The descriptor, to be polled for reading, or to be made non-blocking. It stays the listener's. */
int quad_fd(const struct quad_listener *listener);

/* How long the appliance waits for an action, milliseconds. */
uint32_t quad_deadline_ms(const struct quad_listener *listener);

/* Offers that may be unanswered at once; those beyond get the default. */
uint32_t quad_outstanding(const struct quad_listener *listener);

/*
 * Waits for the next event. 1: there is one. 0: the appliance has gone, or has ended the connection (its log says why).
 * -1: EINTR; EAGAIN when the descriptor does not block; EPROTO when the appliance sends what this version does not
 * understand; others of recvmsg(2).
 */
int quad_next(struct quad_listener *listener, struct quad_event *event);

/*
 * Actions. An action for what is gone meanwhile is ignored: QUAD_GONE is on its way. -1: EPIPE when the appliance has
 * gone; EAGAIN when the descriptor does not block; others of send(2).
 */

/* The client hears nothing; nothing is remembered. */
int quad_drop(struct quad_listener *listener, uint64_t id);

/* RST, as from a host where nobody listens. */
int quad_reject(struct quad_listener *listener, uint64_t id);

/* An ICMP error about the SYN. */
int quad_reject_icmp(struct quad_listener *listener, uint64_t id, const struct quad_icmp *error);

/* The SYN goes on as it came, and the flow is never intercepted. */
int quad_bypass(struct quad_listener *listener, uint64_t id);

/* The SYN goes on as it came, and the flow is observed. */
int quad_monitor(struct quad_listener *listener, uint64_t id);

/*
 * The server is asked, and the client hears what it says; then both are relayed as the module is configured. With a
 * consult_ms that is not 0, the answer comes as QUAD_ANSWERED before the client hears of it, and silence for so long
 * is an answer; quad_proxy once more lets the client hear it.
 */
int quad_proxy(struct quad_listener *listener, uint64_t id, uint32_t consult_ms);

/* The same by another way. Addresses that no host can have end the program's connection. */
int quad_proxy_to(struct quad_listener *listener, uint64_t id, uint32_t consult_ms, const struct quad_target *target);

/* The SYN goes on as it came, but by another next hop; so does all that follows, and the flow is never intercepted. */
int quad_forward(struct quad_listener *listener, uint64_t id, const struct quad_hop *hop);

/*
 * The client gets a SYN-ACK; when it has completed the handshake, QUAD_STREAM brings the byte stream: a stream socket, to be
 * read, written, polled and shut down like one of TCP. Reading slowly closes the client's window. shutdown(fd, SHUT_WR)
 * sends FIN, a read of 0 bytes is the client's. Closed with unread input, or when the client sends on afterwards,
 * the client gets RST. A client that resets ends both directions: writing fails with EPIPE (MSG_NOSIGNAL, or
 * ignore SIGPIPE); reading gives what had come before, then ECONNRESET if bytes written had not gone out yet, else
 * 0. A stream outlives its listener.
 */
int quad_accept(struct quad_listener *listener, uint64_t id);

#ifdef __cplusplus
}
#endif

#endif
