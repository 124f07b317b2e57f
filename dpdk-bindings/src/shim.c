#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "shim.h"

#include <pthread.h>
#include <rte_ether.h>
#include <sched.h>

/* mbuf.rs reads these fields through the offsets in shim.h, with these widths. */
_Static_assert(sizeof(((struct rte_mbuf *)0)->buf_addr) == sizeof(void *), "buf_addr");
_Static_assert(sizeof(((struct rte_mbuf *)0)->data_off) == 2, "data_off");
_Static_assert(sizeof(((struct rte_mbuf *)0)->refcnt) == 2, "refcnt");
_Static_assert(sizeof(((struct rte_mbuf *)0)->nb_segs) == 2, "nb_segs");
_Static_assert(sizeof(((struct rte_mbuf *)0)->ol_flags) == 8, "ol_flags");
_Static_assert(sizeof(((struct rte_mbuf *)0)->pkt_len) == 4, "pkt_len");
_Static_assert(sizeof(((struct rte_mbuf *)0)->data_len) == 2, "data_len");
_Static_assert(sizeof(((struct rte_mbuf *)0)->buf_len) == 2, "buf_len");

int qdr_eal_init(int argc, char **argv)
{
	cpu_set_t before;
	int saved = pthread_getaffinity_np(pthread_self(), sizeof(before), &before) == 0;
	int ret = rte_eal_init(argc, argv);
	int err = rte_errno;

	if (saved)
		pthread_setaffinity_np(pthread_self(), sizeof(before), &before);
	rte_errno = err;
	return ret;
}

int qdr_errno(void)
{
	return rte_errno;
}

uint32_t qdr_lcore_id(void)
{
	return rte_lcore_id();
}

/* Copies the segments together and puts the VLAN tag back; 0 when `m` cannot be handed out as one frame of one owner. */
static __rte_noinline int mend(struct rte_mbuf **m, uint64_t *linearized)
{
	if (rte_mbuf_refcnt_read(*m) != 1 || !RTE_MBUF_DIRECT(*m))
		return 0;
	if ((*m)->nb_segs != 1) {
		if (rte_pktmbuf_linearize(*m) != 0)
			return 0;
		*linearized += 1;
	}
	if ((*m)->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED)
		return rte_vlan_insert(m) == 0;
	return 1;
}

static inline int is_plain(const struct rte_mbuf *m)
{
	return m->nb_segs == 1 && rte_mbuf_refcnt_read(m) == 1 && !(m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED);
}

uint16_t qdr_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n, uint64_t *linearized,
		      uint64_t *dropped)
{
	uint16_t received = rte_eth_rx_burst(port, queue, pkts, n);
	uint16_t kept = 0;

	for (uint16_t i = 0; i < received; i++) {
		struct rte_mbuf *m = pkts[i];

		if (likely(is_plain(m)) || mend(&m, linearized)) {
			pkts[kept++] = m;
		} else {
			*dropped += 1;
			rte_pktmbuf_free(m);
		}
	}
	return kept;
}

uint16_t qdr_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	return rte_eth_tx_burst(port, queue, pkts, n);
}

struct rte_mbuf *qdr_mbuf_alloc(struct rte_mempool *pool)
{
	return rte_pktmbuf_alloc(pool);
}

int qdr_mbuf_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **mbufs, unsigned int n)
{
	return rte_pktmbuf_alloc_bulk(pool, mbufs, n);
}

void qdr_mbuf_free(struct rte_mbuf *m)
{
	rte_pktmbuf_free(m);
}

int qdr_link_get_nowait(uint16_t port, struct qdr_link *out)
{
	struct rte_eth_link link;
	int ret = rte_eth_link_get_nowait(port, &link);

	if (ret != 0)
		return ret;
	out->mbps = link.link_speed;
	out->up = link.link_status == RTE_ETH_LINK_UP;
	out->full_duplex = link.link_duplex == RTE_ETH_LINK_FULL_DUPLEX;
	return 0;
}

int qdr_stats_get(uint16_t port, struct qdr_stats *out)
{
	struct rte_eth_stats stats;
	int ret = rte_eth_stats_get(port, &stats);

	if (ret != 0)
		return ret;
	*out = (struct qdr_stats){
		.rx_packets = stats.ipackets,
		.tx_packets = stats.opackets,
		.rx_bytes = stats.ibytes,
		.tx_bytes = stats.obytes,
		.rx_missed = stats.imissed,
		.rx_errors = stats.ierrors,
		.tx_errors = stats.oerrors,
		.rx_no_buffer = stats.rx_nombuf,
	};
	return 0;
}
