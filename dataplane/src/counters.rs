//! Every packet that is not forwarded is counted under a name (DESIGN invariant 4). One list makes the enum, the
//! names that `stats` prints and the help texts.

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// A counter's index. Names that begin with `drop_` count packets that went nowhere.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Counter { $($(#[doc = $doc])+ $variant,)+ }

        impl Counter {
            /// All of them, in index order.
            pub const ALL: &'static [Counter] = &[$(Counter::$variant,)+];

            /// The name in `stats`.
            pub const fn name(self) -> &'static str {
                match self { $(Counter::$variant => $name,)+ }
            }

            /// What it counts, one sentence.
            pub const fn help(self) -> &'static str {
                match self { $(Counter::$variant => concat!($($doc),+),)+ }
            }
        }
    };
}

counters! {
    /// Frames received.
    Received = "received",
    /// Bytes received, without FCS.
    ReceivedBytes = "received_bytes",
    /// Frames given to a device.
    Transmitted = "transmitted",
    /// Bytes given to a device, without FCS.
    TransmittedBytes = "transmitted_bytes",
    /// Frames that the device delivered in pieces too large for one buffer, or without room for their VLAN tag.
    DropUnfitBuffer = "drop_unfit_buffer",
    /// Malformed Ethernet or VLAN header.
    DropMalformedEthernet = "drop_malformed_ethernet",
    /// Malformed IPv4 header: version, header length or total length.
    DropMalformedIpv4 = "drop_malformed_ipv4",
    /// Wrong IPv4 header checksum.
    DropIpv4Checksum = "drop_ipv4_checksum",
    /// Malformed IPv6 header or extension header chain.
    DropMalformedIpv6 = "drop_malformed_ipv6",
    /// Malformed TCP header: truncated, or data offset out of range.
    DropMalformedTcp = "drop_malformed_tcp",
    /// Contradictory TCP options: a bad length, or one beyond the header.
    DropTcpOptions = "drop_tcp_options",
    /// TTL or hop limit of zero.
    DropTtlZero = "drop_ttl_zero",
    /// Source equal to destination.
    DropLand = "drop_land",
    /// A combination of TCP flags that no stack sends: SYN+FIN, SYN+RST, or none of SYN, RST and ACK.
    DropTcpFlags = "drop_tcp_flags",
    /// TCP source or destination port of zero.
    DropTcpPortZero = "drop_tcp_port_zero",
    /// A SYN to be held that comes from or goes to an address of no single host: multicast, broadcast, unspecified.
    DropTcpAddress = "drop_tcp_address",
    /// A fragment too small to hold the TCP header, or one that would overwrite it (RFC 1858, RFC 3128).
    DropTinyFragment = "drop_tiny_fragment",
    /// Longer than the MTU of the port pair.
    DropMtu = "drop_mtu",
    /// The device did not take the frame and the transmit backlog was full.
    DropTransmitFull = "drop_transmit_full",
    /// Wrong TCP checksum, on a segment for the TCP stack.
    DropTcpChecksum = "drop_tcp_checksum",
    /// A fragment of a flow that takes part in TCP here, which only whole segments can.
    DropFragmentParticipating = "drop_fragment_participating",
    /// A rule said drop, or nothing matched and the default is drop.
    DropPolicy = "drop_policy",
    /// A rule said reject: the SYN became the RST or the ICMP error that refuses it.
    DropPolicyReject = "drop_policy_reject",
    /// A SYN to be refused with an ICMP error, when as many had been sent as `limits.icmp_errors` allows.
    DropIcmpLimit = "drop_icmp_limit",
    /// Not a SYN, no flow, and its destination is protected.
    DropStray = "drop_stray",
    /// The same, answered with RST because the config says so.
    DropStrayReset = "drop_stray_reset",
    /// A new flow when the flow table was full, and the config says drop.
    DropFlowsFull = "drop_flows_full",
    /// A SYN to be held when all places for partial connections were taken.
    DropSuspendedFull = "drop_suspended_full",
    /// A SYN to be held whose source prefix has as many partial connections as it may.
    DropSuspendedSource = "drop_suspended_source",
    /// A SYN to be held whose destination has as many partial connections as it may.
    DropSuspendedDestination = "drop_suspended_destination",
    /// A partial connection that made room for a newer one.
    DropSuspendedOldest = "drop_suspended_oldest",
    /// Answers to refused SYNs that are remembered no more, because somebody new needed the place.
    RefusalsForgotten = "refusals_forgotten",
    /// A long SYN to be held when all places for such were taken.
    DropLongSynsFull = "drop_long_syns_full",
    /// A SYN to be held that is longer than a held SYN can be.
    DropSynTooLong = "drop_syn_too_long",
    /// A new flow while the control core did not move, and the config says drop.
    DropControlStalled = "drop_control_stalled",
    /// The mailbox to the control core was full.
    DropEventsFull = "drop_events_full",
    /// The mailbox to another worker was full.
    DropHandOverFull = "drop_hand_over_full",
    /// All places for parked frames were taken.
    DropParkedFull = "drop_parked_full",
    /// A segment of a known flow on the port where its receiver lives.
    DropWrongSide = "drop_wrong_side",
    /// A segment or ICMP error of a quad by which a flow is known on its other side only, from where that is not.
    DropFarSide = "drop_far_side",
    /// A first fragment of a flow with a far side of its own: later ones could not be led after it.
    DropFragmentFarSide = "drop_fragment_far_side",
    /// An ICMP redirect about a segment of a flow with a far side of its own: it is about another way than its addressee's.
    DropRedirectFarSide = "drop_redirect_far_side",
    /// A flow to another server, client address or next hop while all places for far sides were taken.
    DropFarSidesFull = "drop_far_sides_full",
    /// The same, when other flows were known by every quad that was tried for its far side.
    DropFarSideInUse = "drop_far_side_in_use",
    /// A frame without room for the VLAN tag of the far side.
    DropTagRoom = "drop_tag_room",
    /// For one of the appliance's own addresses, and neither ARP, neighbour discovery, echo nor a segment of a flow.
    DropServiceAddress = "drop_service_address",
    /// A segment of an inspected flow that begins beyond the window of its receiver.
    DropWindowBeyond = "drop_window_beyond",
    /// A segment of an inspected flow older than anything in flight, or a RST before its receiver's window.
    DropWindowBefore = "drop_window_before",
    /// A segment of an inspected flow that acknowledges what was never sent.
    DropAckUnsent = "drop_ack_unsent",
    /// A segment of an inspected flow that acknowledges less than anything in flight could.
    DropAckOld = "drop_ack_old",
    /// Data of an inspected flow behind the FIN of its sender, or another FIN.
    DropAfterFin = "drop_after_fin",
    /// A SYN in the open connection of an inspected flow that might be taken for its data, or a SYN-ACK.
    DropSynInConnection = "drop_syn_in_connection",
    /// A segment of an inspected flow whose server has not answered yet, that neither begins nor ends a handshake.
    DropBeforeHandshake = "drop_before_handshake",
    /// A segment of an inspected flow in which a pattern with the verdict "drop" ends, each time that it is sent.
    DropInspectMatch = "drop_inspect_match",
    /// A segment of an inspected flow that waited for a closer look, or for an edit of another length, which nobody took on.
    DropInspectSplit = "drop_inspect_split",
    /// A segment of an inspected flow in which a pattern with the verdict "reset" ends, or one that came after: it became
    /// the RST that ends the connection.
    DropInspectReset = "drop_inspect_reset",
    /// A segment of an inspected flow ahead of a hole: its sender repeats it once the hole is filled.
    DropInspectAhead = "drop_inspect_ahead",
    /// A segment of an inspected flow behind as many that wait as one direction of a flow may have: 64, or an eighth of
    /// `limits.held_packets` where that is less.
    DropInspectWaiting = "drop_inspect_waiting",
    /// A repetition of what waits in an inspected flow, and will go on.
    DropInspectHeld = "drop_inspect_held",
    /// A segment of an inspected flow with as many unacknowledged bytes before it as are kept.
    DropInspectInFlight = "drop_inspect_in_flight",
    /// Data of an inspected flow in a SYN, or before both ends have agreed on their numbers.
    DropInspectHandshake = "drop_inspect_handshake",
    /// A first fragment of a flow that is inspected, which only whole segments can be.
    DropFragmentInspected = "drop_fragment_inspected",
    /// Data of a flow to be inspected when all places for such were taken, and the config says drop.
    DropInspectionsFull = "drop_inspections_full",
    /// A SYN-ACK to a SYN on the quad of a connection that was not over here, and that its server has forgotten: nobody has decided
    /// about the new one. It became a RST, and the SYN is decided about when it comes again.
    DropBegunAnew = "drop_begun_anew",
    /// A SYN whose module or rule ended the flow without an answer.
    DropModule = "drop_module",
    /// A frame that waited for its flow, or for an order to it, when the flow went.
    DropFlowGone = "drop_flow_gone",
    /// The control core had no room to hold a segment while merging.
    DropHeldFull = "drop_held_full",
    /// What lies beyond the boundary of a split, or before that of a merge, and whose numbers its sender cannot have meant.
    DropBeyondBoundary = "drop_beyond_boundary",
    /// Data for the TCP stack while all send and receive buffers together were full; its sender repeats it.
    DropBuffersFull = "drop_buffers_full",
    /// A frame that the control core would have passed on or answered while too many waited for the worker.
    DropOrdersFull = "drop_orders_full",
    /// A SYN offered while the control core had no place for another flow.
    DropConnectionsFull = "drop_connections_full",
    /// The control core took the segment: the TCP stack ends it here.
    Terminated = "terminated",
    /// Frames made by the control core.
    Originated = "originated",
    /// Bytes of payload that the control core has taken from one leg and given to the other.
    RelayedBytes = "relayed_bytes",
    /// Bytes of payload copied to that end: each once, into the frame that carries it; again when that has to be repeated,
    /// when buffers are scarce, or when many small segments are kept together.
    CopiedBytes = "copied_bytes",
    /// The control core could not get a buffer for a frame.
    BuffersExhausted = "buffers_exhausted",
    /// Flows suspended and offered to a module.
    FlowsOffered = "flows_offered",
    /// SYNs that were answered with a SYN cookie: nothing is kept of them.
    CookiesSent = "cookies_sent",
    /// Clients that have acknowledged their cookie: their flows were offered.
    CookiesAccepted = "cookies_accepted",
    /// Segments without a flow that acknowledged no cookie, or one that is too old, while cookies were about.
    CookiesFailed = "cookies_failed",
    /// Clients that have acknowledged their cookie and were reset: their module does not proxy them.
    CookiesRefused = "cookies_refused",
    /// Times that SYNs came faster than they could be held, and a worker was told to answer with cookies where a module wants that.
    Floods = "floods",
    /// Flows that took the participating path.
    FlowsProxied = "flows_proxied",
    /// Flows that pass by without interception.
    FlowsBypassed = "flows_bypassed",
    /// Flows that pass unmodified and observed.
    FlowsMonitored = "flows_monitored",
    /// Flows sent on by another next hop.
    FlowsForwarded = "flows_forwarded",
    /// Occurrences of patterns in what inspected flows have sent past the control core; `inspections` of `stats` has all of them.
    InspectMatches = "inspect_matches",
    /// Hits, and splits that were refused, that `quadrille events` does not show: there were more than 100 a second of their kind on one
    /// thread, or the mailbox to the control core was nearly full. Their own counts have them.
    EventsUntold = "events_untold",
    /// Segments of inspected flows whose bytes became others: what was to be edited, or what repeated something else than had
    /// passed before.
    InspectRewritten = "inspect_rewritten",
    /// Segments of inspected flows that waited: for the rest of what might be something to be edited, or for a closer look.
    InspectWaited = "inspect_waited",
    /// What might have been the beginning of something to be edited, and went on as it was because nothing followed.
    InspectGivenUp = "inspect_given_up",
    /// Segments of inspected flows that have passed ahead of a hole: what fills it is never searched.
    InspectGaps = "inspect_gaps",
    /// Flows that pass without inspection, because all places were taken and the config says pass.
    InspectionsSkipped = "inspections_skipped",
    /// Urgent pointers that were cleared: receivers take an urgent byte out of the others, and would read something else than
    /// was inspected.
    UrgentCleared = "urgent_cleared",
    /// Flows that were given a far side: another server, client address or next hop.
    FlowsFarSide = "flows_far_side",
    /// Flows that nobody had answered yet, or that were over, whose far side made room for a new one.
    FarSidesEvicted = "far_sides_evicted",
    /// New flows that passed without a place in a table, because the config says so.
    FlowsPassedFull = "flows_passed_full",
    /// Partial connections that ended because nobody had answered when their time was up.
    SuspendedExpired = "suspended_expired",
    /// Flows forgotten after their linger or idle time.
    FlowsExpired = "flows_expired",
    /// Handshakes that the client never completed after it was answered.
    HandshakesAbandoned = "handshakes_abandoned",
    /// Flows that made room for newer ones: their client had been answered, and had not completed its handshake.
    HandshakesDisplaced = "handshakes_displaced",
    /// Merges completed.
    Merges = "merges",
    /// Merges that did not wait until all was acknowledged: what was on its way stayed the control core's, what followed went
    /// end to end at once.
    MergesInMotion = "merges_in_motion",
    /// Flows that have left the non-participating path for the control core.
    Splits = "splits",
    /// Splits that a rule or an inspection wanted of flows whose handshake was not seen: nobody knows what their windows mean.
    SplitsRefusedHandshake = "splits_refused_handshake",
    /// The same, of flows that were not open in both directions any more.
    SplitsRefusedClosing = "splits_refused_closing",
    /// The same, of flows whose segments come in fragments.
    SplitsRefusedFragments = "splits_refused_fragments",
    /// The same, where a sender has been promised more than a quarter of `limits.participating_bytes`.
    SplitsRefusedWindow = "splits_refused_window",
    /// The same, where promises to senders of other flows that were split fill `limits.participating_bytes`.
    SplitsRefusedPromises = "splits_refused_promises",
    /// The same, while `limits.participating` flows participated.
    SplitsRefusedFull = "splits_refused_full",
    /// The same, of flows that were offered to no module.
    SplitsRefusedNoModule = "splits_refused_no_module",
    /// Merges undone because the drain took too long.
    MergesUndone = "merges_undone",
    /// Frames handed to the worker that owns their flow.
    HandedOver = "handed_over",
    /// Frames that waited on the worker while their flow changed hands.
    Parked = "parked",
    /// Frames held by the control core during a merge and replayed through the connection object.
    Replayed = "replayed",
    /// SYNs that the control core had taken, given back because they begin another connection on their quad.
    Restarted = "restarted",
    /// Segments whose sequence or acknowledgment numbers were rewritten.
    Rewritten = "rewritten",
    /// Frames that crossed the edge of a far side and got its addresses, or the client's.
    Translated = "translated",
    /// ARP requests, neighbour solicitations and echo requests for the appliance's own addresses, answered.
    ServiceAnswered = "service_answered",
    /// An ICMP error that quotes a sequence number which is not in flight.
    DropForgedIcmp = "drop_forged_icmp",
    /// A source quench about a segment of ours: obsolete (RFC 6633), and heeded by nobody.
    DropSourceQuench = "drop_source_quench",
    /// A segment of another handshake on a flow whose numbers or addresses are ours.
    DropForeignHandshake = "drop_foreign_handshake",
    /// Orders of the control core that came after their flow had gone.
    OrdersLate = "orders_late",
    /// Repeated SYNs of held flows, absorbed.
    SynAbsorbed = "syn_absorbed",
    /// Flows that could not be merged, because nobody on the way can make up for what the client was promised in the server's
    /// name: larger segments, or timestamps.
    MergesRefusedOptions = "merges_refused_options",
    /// Merges that had to wait because a sender might still send what its receiver has no room for.
    MergesAwaitedRoom = "merges_awaited_room",
    /// Merges that were undone because their worker had no place to go on searching the flow (`limits.inspected`): it participates
    /// until there is one.
    MergesAwaitedPlace = "merges_awaited_place",
    /// Decisions of modules about partial connections that were gone or settled already.
    DecisionsLate = "decisions_late",
    /// Times that a session kept bytes back that it had been shown, until it has a verdict.
    VerdictsAwaited = "verdicts_awaited",
    /// Times that a session was asked about bytes that it had kept back for as long as it wanted to.
    VerdictsOverdue = "verdicts_overdue",
    /// Flows that a session has cut: RST to one end, FIN to the other.
    FlowsCut = "flows_cut",
    /// SYNs of servers that met ours: both ends opened at once.
    SynCrossed = "syn_crossed",
    /// Partial connections that a program has decided about.
    ProgramsDecided = "programs_decided",
    /// Partial connections that got the default action because no program listened, or none that read its offers.
    ProgramsAbsent = "programs_absent",
    /// Partial connections that got the default action because as many as allowed were undecided.
    ProgramsBusy = "programs_busy",
    /// Partial connections that got the default action because the program's time was up.
    ProgramsLate = "programs_late",
    /// Partial connections that got the default action because their program died or was sent away.
    ProgramsGone = "programs_gone",
    /// Partial connections that a program accepted and that got the default action: too many streams were open.
    ProgramsStreamsFull = "programs_streams_full",
    /// Ports that were refused, or reset when they were completed, because another port of their server was first.
    TogetherRefused = "together_refused",
    /// Partial connections that were proxied on their own because as many as allowed were held together.
    TogetherFull = "together_full",
    /// Programs whose connection was ended for what they sent.
    ProgramsExpelled = "programs_expelled",
    /// SYNs to the far end of a tunnel without the option that names their original server; `drop_module` counts them, too.
    TunnelUnsigned = "tunnel_unsigned",
    /// The same, with an option that was not signed for this SYN by one of the keys.
    TunnelForged = "tunnel_forged",
    /// Frames that the impaired cable of a port lost on purpose; neither received nor missing in what was transmitted.
    ImpairedLost = "impaired_lost",
    /// Frames lost because more were on the impaired cable of a port than its `queue` takes.
    ImpairedOverflow = "impaired_overflow",
    /// Frames that the impaired cable of a port delivered twice.
    ImpairedDuplicated = "impaired_duplicated",
    /// Frames that the impaired cable of a port held back behind later ones.
    ImpairedReordered = "impaired_reordered",
}
