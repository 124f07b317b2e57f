/*
 * What bindgen cannot see or what moved between DPDK releases: static inline functions, constants behind
 * function-like macros, and the structures whose layout is not the same in 22.11 and in newer releases.
 */
#ifndef QDR_SHIM_H
#define QDR_SHIM_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

/* Where the fields of an mbuf are, in bytes: 24.11 dissolved the markers that anonymous members hung on. */
static const size_t QDR_MBUF_BUF_ADDR = offsetof(struct rte_mbuf, buf_addr);
static const size_t QDR_MBUF_DATA_OFF = offsetof(struct rte_mbuf, data_off);
static const size_t QDR_MBUF_REFCNT = offsetof(struct rte_mbuf, refcnt);
static const size_t QDR_MBUF_NB_SEGS = offsetof(struct rte_mbuf, nb_segs);
static const size_t QDR_MBUF_OL_FLAGS = offsetof(struct rte_mbuf, ol_flags);
static const size_t QDR_MBUF_PKT_LEN = offsetof(struct rte_mbuf, pkt_len);
static const size_t QDR_MBUF_DATA_LEN = offsetof(struct rte_mbuf, data_len);
static const size_t QDR_MBUF_BUF_LEN = offsetof(struct rte_mbuf, buf_len);

/* For tests, which make the frames that devices make rarely. */
static const size_t QDR_MBUF_NEXT = offsetof(struct rte_mbuf, next);
static const size_t QDR_MBUF_VLAN_TCI = offsetof(struct rte_mbuf, vlan_tci);
static const uint64_t QDR_RX_VLAN_STRIPPED = RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;

static const uint64_t QDR_RX_L4_CKSUM_MASK = RTE_MBUF_F_RX_L4_CKSUM_MASK;
static const uint64_t QDR_RX_L4_CKSUM_BAD = RTE_MBUF_F_RX_L4_CKSUM_BAD;
static const uint64_t QDR_RX_L4_CKSUM_GOOD = RTE_MBUF_F_RX_L4_CKSUM_GOOD;

static const uint64_t QDR_RX_OFFLOAD_IPV4_CKSUM = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
static const uint64_t QDR_RX_OFFLOAD_TCP_CKSUM = RTE_ETH_RX_OFFLOAD_TCP_CKSUM;

static const uint64_t QDR_RSS_IPV4 = RTE_ETH_RSS_IPV4;
static const uint64_t QDR_RSS_IPV4_TCP = RTE_ETH_RSS_NONFRAG_IPV4_TCP;
static const uint64_t QDR_RSS_IPV6 = RTE_ETH_RSS_IPV6;
static const uint64_t QDR_RSS_IPV6_TCP = RTE_ETH_RSS_NONFRAG_IPV6_TCP;

static const uint32_t QDR_LCORE_ANY = LCORE_ID_ANY;
static const int QDR_EFAULT = EFAULT;
static const int QDR_ENOTSUP = ENOTSUP;
static const int QDR_SOCKET_ANY = SOCKET_ID_ANY;

/* rte_eal_init, after which the calling thread has the CPU affinity that it had before. */
int qdr_eal_init(int argc, char **argv);
int qdr_errno(void);
uint32_t qdr_lcore_id(void);

/*
 * rte_eth_rx_burst, but every mbuf that it returns is one segment with one owner, and has its VLAN tag in the frame.
 * What came in several segments and fits into the first is linearized (*linearized counts); a tag that the device has
 * taken out although stripping is off is put back; what cannot be so mended is freed (*dropped counts).
 */
uint16_t qdr_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n, uint64_t *linearized,
		      uint64_t *dropped);
uint16_t qdr_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n);

struct rte_mbuf *qdr_mbuf_alloc(struct rte_mempool *pool);
int qdr_mbuf_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **mbufs, unsigned int n);
void qdr_mbuf_free(struct rte_mbuf *m);

struct qdr_link {
	uint32_t mbps; /* UINT32_MAX when unknown */
	uint8_t up;
	uint8_t full_duplex;
};
int qdr_link_get_nowait(uint16_t port, struct qdr_link *out);

struct qdr_stats {
	uint64_t rx_packets, tx_packets, rx_bytes, tx_bytes;
	uint64_t rx_missed, rx_errors, tx_errors, rx_no_buffer;
};
int qdr_stats_get(uint16_t port, struct qdr_stats *out);

#endif
