/* Classifiers that add (PUSH) or take away the tag of the lab's VLAN. They match exactly the frames that they change;
 * a mirred action then carries these to the other device. Self-contained: no header is needed to compile them. */
typedef unsigned int u32;
typedef unsigned short u16;

struct __sk_buff { /* the first fields of linux/bpf.h's */
	u32 len, pkt_type, mark, queue_mapping, protocol, vlan_present, vlan_tci, vlan_proto;
};

static long (*const vlan_push)(struct __sk_buff *, u16 protocol, u16 tci) = (void *)18;
static long (*const vlan_pop)(struct __sk_buff *) = (void *)19;

#define NO_MATCH 0
#define MATCH -1
#define ETHERTYPE_VLAN 0x0081 /* 0x8100 in network order */

__attribute__((section("classifier"), used)) int classify(struct __sk_buff *frame)
{
#ifdef PUSH
	return vlan_push(frame, ETHERTYPE_VLAN, VLAN_ID) ? NO_MATCH : MATCH;
#else
	if (!frame->vlan_present || (frame->vlan_tci & 0xfff) != VLAN_ID)
		return NO_MATCH;
	return vlan_pop(frame) ? NO_MATCH : MATCH;
#endif
}

char terms[] __attribute__((section("license"), used)) = "Dual MIT/GPL";
