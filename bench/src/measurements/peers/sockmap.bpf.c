/* What one socket of a connection receives is sent by the other: no process reads or writes it. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Whose bytes they are: the address and the port of the other end as they are on the wire, and our own port. */
struct key {
	__u32 address;
	__u32 remote;
	__u32 local;
};

/* The socket that sends what the one of the key receives. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 1 << 16);
	__type(key, struct key);
	__type(value, __u32);
} SOCKETS SEC(".maps");

SEC("sk_skb/stream_verdict")
int verdict(struct __sk_buff *skb)
{
	struct key key = { skb->remote_ip4, skb->remote_port, skb->local_port };

	return bpf_sk_redirect_hash(skb, &SOCKETS, &key, 0);
}

char LICENSE[] SEC("license") = "Apache-2.0";
