/** Every number that TCP may choose, with where it comes from. Milliseconds and bytes. */
export const limits = {
  /** RFC 6298 §2: the first RTO. §2.4 would have 1 s as the least; guests delay their ACKs by 200 ms at most, and a lost tail should not cost a second. */
  firstRtoMs: 1000,
  leastRtoMs: 300,
  mostRtoMs: 60_000,
  /** RFC 6298 §5.7: after a SYN was lost. */
  rtoAfterLostSynMs: 3000,
  /** RFC 9293 §3.8.3: R2 is at least 100 s, for a SYN at least 3 minutes. With doubling and a ceiling of 60 s these make 4 minutes and 183 s. */
  retransmissions: 11,
  synRetransmissions: 7,
  /** RFC 9293 §3.8.6.3: at most 500; Linux takes 40 too. */
  delayedAckMs: 40,
  /** RFC 9293 §3.8.4: not less than two hours by default. */
  keepAliveIdleMs: 7_200_000,
  keepAliveIntervalMs: 75_000,
  keepAliveProbes: 9,
  /** RFC 9293 §3.4.2 has 2 minutes for MSL; no segment lives for 30 s on a LAN of one hop. */
  mslMs: 30_000,
  /** A host that has not answered `dial` for so long has forgotten it. */
  dialMs: 120_000,
  /** RFC 5961 §7: challenge ACKs, per connection, so that no other connection's guess can count them. */
  challengesPerSecond: 2,
  challengeBurst: 10,
  /** ACKs for segments outside the window; more would let two confused ends talk for ever. */
  strayAcksPerSecond: 50,
  strayAckBurst: 50,
  /**
   * Payload that all flows together may hold for sending, and for the world. Each flow's share shrinks as flows come; with
   * all of it used up, a flow still has the least share, so that none waits for another: 16 + 1,024 / 64 + 20 MiB in all.
   */
  stackSendBytes: 16 << 20,
  stackReceiveBytes: 20 << 20,
  leastFlowBytes: 16_384,
  /** Segments out of order that one flow may hold; bytes are bounded by the window. */
  reorderSegments: 256,
  /** Ranges on the scoreboard; a peer that reports more has them forgotten, which costs it retransmissions. */
  sackRanges: 128,
  /** Connections in TIME-WAIT, which hold no buffers; the oldest goes first. */
  timeWaits: 1024,
  /** RFC 9293 §3.7.1: without the option. */
  defaultMss: { 4: 536, 6: 1220 },
  /** Less is an attack on the sender's work (RFC 9293 §3.7.1 has no floor; IPv4's least MTU of 68 leaves 28). */
  leastMss: 88,
  duplicateAcks: 3,
} as const;
