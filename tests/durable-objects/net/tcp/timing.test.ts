import { describe } from "vitest";
import { dialogue } from "../../../support/packet-script.ts";

/** How much is sent at once, and when it is sent again. Segments are 1,000 bytes, the way to the guest takes no time. */
const open = `
  < S 0:0 mss=1000
  dialed
  > S. 0:0 ack 1
  < . 1:1 ack 1
`;
/** `count` segments, of which the last pushes unless more waits. */
const segments = (from: number, count: number, more = false): string =>
  Array.from({ length: count }, (_, at) => {
    const start = from + 1000 * at;
    return `> ${at === count - 1 && !more ? "P." : "."} ${start}:${start + 1000} ack 1`;
  }).join("\n");

describe("the congestion window", () => {
  dialogue(
    "begins with ten segments (RFC 6928) and grows by what is acknowledged, two segments an ACK at most (RFC 3465)",
    `${open}
    deliver 20000
    ${segments(1, 10, true)}
    . nothing
    < . 1:1 ack 1001
    ${segments(10_001, 2, true)}
    . nothing
    < . 1:1 ack 3001
    ${segments(12_001, 4, true)}
    . nothing
  `,
  );
  dialogue(
    "grows by one segment for each window of ACKs after a loss (RFC 5681 §3.1)",
    `${open}
    deliver 30000
    ${segments(1, 10, true)}
    < . 1:1 ack 1
    < . 1:1 ack 1
    ${segments(10_001, 1, true)}
    ${segments(11_001, 1, true)}
    < . 1:1 ack 1
    # Half of the twelve that are out.
    > . 1:1001 ack 1
    < . 1:1 ack 12001
    ${segments(12_001, 6, true)}
    . nothing
    < . 1:1 ack 18001
    ${segments(18_001, 7, true)}
    . nothing
  `,
  );
  dialogue(
    "begins anew after a pause (RFC 5681 §4.1)",
    `${open}
    deliver 10000
    ${segments(1, 10)}
    < . 1:1 ack 2001
    < . 1:1 ack 4001
    < . 1:1 ack 6001
    < . 1:1 ack 8001
    < . 1:1 ack 10001
    + 10000
    deliver 20000
    ${segments(10_001, 10, true)}
    . nothing
  `,
  );
});

describe("the time until a segment is sent again (RFC 6298)", () => {
  dialogue(
    "follows what was measured",
    `${open}
    deliver 100
    > P. 1:101 ack 1
    + 299
    < . 1:1 ack 101
    deliver 100
    > P. 101:201 ack 1
    # SRTT 299/8, RTTVAR 299/4: 37.4 + 4 * 74.75.
    + 336
    . nothing
    + 1
    > P. 101:201 ack 1
  `,
  );
  dialogue(
    "stays as long as it was after a time-out until there is a measurement, and what was sent twice is none (Karn)",
    `${open}
    deliver 100
    > P. 1:101 ack 1
    + 300
    > P. 1:101 ack 1
    + 10
    < . 1:1 ack 101
    deliver 100
    > P. 101:201 ack 1
    + 599
    . nothing
    + 1
    > P. 101:201 ack 1
  `,
  );
  dialogue(
    "begins again with every ACK of new text (§5.3), and one timer serves all segments",
    `${open}
    deliver 2000
    > . 1:1001 ack 1
    > P. 1001:2001 ack 1
    + 200
    < . 1:1 ack 1001
    + 299
    . nothing
    + 100
    > P. 1001:2001 ack 1
  `,
  );
});

describe("windows that shrink and close", () => {
  dialogue(
    "what was sent before the guest took its window back is sent again, one segment, as RFC 9293 §3.8.6 allows",
    `${open}
    deliver 3000
    > . 1:1001 ack 1
    > . 1001:2001 ack 1
    > P. 2001:3001 ack 1
    < . 1:1 ack 1001 win 500
    deliver 1000
    . nothing
    + 300
    > . 1001:2001 ack 1
    . nothing
    < . 1:1 ack 3001 win 500
    # The timer is that of the time-out, doubled: what was sent twice is no measurement.
    + 600
    > . 3001:3501 ack 1
  `,
  );
  dialogue(
    "our FIN waits for the text before it, which waits for the window",
    `${open}
    deliver 1000
    > P. 1:1001 ack 1
    < . 1:1 ack 1001 win 0
    deliver 500
    ended
    . nothing
    < . 1:1 ack 1001 win 4000
    > FP. 1001:1501 ack 1
    = FinWait1
  `,
  );
});

describe("the end", () => {
  dialogue(
    "an RST in TIME-WAIT ends the wait (RFC 9293 §3.10.7.4), and only one with the exact number",
    `${open}
    ended
    > F. 1:1 ack 1
    < F. 1:1 ack 2
    > . 2:2 ack 2
    < R 50:50
    > . 2:2 ack 2
    < R 2:2
    . nothing
    < . 2:2 ack 2
    > R 2:2
  `,
  );
  dialogue(
    "text that comes after our end was read is acknowledged until the guest has finished (RFC 9293 §3.6)",
    `${open}
    ended
    > F. 1:1 ack 1
    < . 1:1 ack 2
    = FinWait2
    < P. 1:501 ack 2
    + 40
    > . 2:2 ack 501
    < F. 501:501 ack 2
    > . 2:2 ack 502
  `,
  );
});
