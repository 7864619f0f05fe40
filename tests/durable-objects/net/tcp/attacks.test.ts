import { describe } from "vitest";
import { dialogue } from "../../../support/packet-script.ts";

/** RFC 9293 §3.10.7.4's checks of every segment, with RFC 5961's answers to blind attackers. */
const established = `
  < S 0:0 mss=1460
  dialed
  > S. 0:0 ack 1
  < . 1:1 ack 1
  ? dial 1 192.0.2.7:80
`;

describe("resets (RFC 5961 §3)", () => {
  dialogue(
    "with the exact number",
    `${established}
    < R 1:1
    = gone
    ? closed 1 reset
  `,
  );
  dialogue(
    "elsewhere in the window: a challenge",
    `${established}
    < R 2:2
    > . 1:1 ack 1
    = Established
  `,
  );
  dialogue(
    "outside of the window: nothing",
    `${established}
    < R 900000:900000
    < R -1:-1
    . nothing
    = Established
  `,
  );
  dialogue(
    "challenges are ten, then two a second",
    `${established}
    < R 2:2
    < R 2:2
    < R 2:2
    < R 2:2
    < R 2:2
    < R 2:2
    < R 2:2
    < R 2:2
    < R 2:2
    < R 2:2
    < R 2:2
    < R 2:2
    > . 1:1 ack 1
    > . 1:1 ack 1
    > . 1:1 ack 1
    > . 1:1 ack 1
    > . 1:1 ack 1
    > . 1:1 ack 1
    > . 1:1 ack 1
    > . 1:1 ack 1
    > . 1:1 ack 1
    > . 1:1 ack 1
    . nothing
    + 500
    < R 2:2
    < R 2:2
    > . 1:1 ack 1
    . nothing
  `,
  );
});

describe("SYN and ACK (RFC 5961 §4, §5)", () => {
  dialogue(
    "a SYN in ESTABLISHED, wherever it lies: a challenge",
    `${established}
    < S 500:500
    > . 1:1 ack 1
    < S -5000:-5000
    > . 1:1 ack 1
    = Established
  `,
  );
  dialogue(
    "an ACK of what was never sent: a challenge, and the text is not taken",
    `${established}
    < P. 1:101 ack 2
    > . 1:1 ack 1
    ? 
  `,
  );
  dialogue(
    "an ACK that is older than any window",
    `${established}
    < P. 1:101 ack -70000
    > . 1:1 ack 1
    ? 
  `,
  );
  dialogue(
    "an old ACK with new text: the text counts",
    `${established}
    deliver 100
    > P. 1:101 ack 1
    < . 1:1 ack 101
    < P. 1:51 ack 1
    + 40
    > . 101:101 ack 51
    ? send 1 50
  `,
  );
  dialogue(
    "a segment without ACK",
    `${established}
    < P 1:101
    . nothing
    ? 
  `,
  );
});

describe("no connection", () => {
  dialogue(
    "anything with ACK: an RST with its number",
    `
    < . 5:5 ack 77
    > R 77:77
  `,
  );
  dialogue(
    "without ACK: an RST that acknowledges all of it",
    `
    < F 5:15
    > R. 0:0 ack 16
  `,
  );
  dialogue(
    "an RST: nothing",
    `
    < R 5:5
    < R. 5:5 ack 9
    . nothing
  `,
  );
  dialogue(
    "SYN and ACK: an RST",
    `
    < S. 5:5 ack 9
    > R 9:9
  `,
  );
});

describe("the host breaks it", () => {
  dialogue(
    "an RST with the number that the guest expects",
    `${established}
    deliver 100
    > P. 1:101 ack 1
    reset
    > R. 101:101 ack 1
    = gone
    ? closed 1 reset
    < . 1:1 ack 101
    > R 101:101
  `,
  );
  dialogue(
    "calls about a flow that is over do nothing",
    `${established}
    reset
    > R. 1:1 ack 1
    deliver 10
    ended
    written 10
    reset
    . nothing
    ? closed 1 reset
  `,
  );
});

describe("outside of the window", () => {
  dialogue(
    "an old segment is acknowledged",
    `${established}
    < P. 1:101 ack 1
    + 40
    > . 1:1 ack 101
    < P. 1:101 ack 1
    > . 1:1 ack 101
    ? send 1 100
  `,
  );
  dialogue(
    "a segment that is partly old gives what is new",
    `${established}
    < P. 1:101 ack 1
    < P. 51:151 ack 1
    > . 1:1 ack 151
    ? send 1 100, send 1 50
  `,
  );
  dialogue(
    "a keep-alive probe of the guest is answered",
    `${established}
    < . 0:0 ack 1
    > . 1:1 ack 1
  `,
  );
  dialogue(
    "urgent text is text",
    `${established}
    < U. 1:101 ack 1
    + 40
    > . 1:1 ack 101
    ? send 1 100
  `,
  );
});

describe("timestamps (RFC 7323)", () => {
  const stamped = `
    < S 0:0 mss=1460 ts=1000:0
    dialed
    > S. 0:0 ack 1 ts=1000
    < . 1:1 ack 1 ts=1001:0
    ? dial 1 192.0.2.7:80
  `;
  dialogue(
    "are echoed",
    `${stamped}
    < P. 1:101 ack 1 ts=1005:0
    + 40
    > . 1:1 ack 101 ts=1005
  `,
  );
  dialogue(
    "of the first segment that a delayed ACK covers",
    `${stamped}
    < P. 1:101 ack 1 ts=1005:0
    < P. 101:201 ack 1 ts=1009:0
    + 40
    > . 1:1 ack 201 ts=1005
  `,
  );
  dialogue(
    "PAWS: an older one is acknowledged and not taken",
    `${stamped}
    < P. 1:101 ack 1 ts=900:0
    > . 1:1 ack 1 ts=1001
    ? 
  `,
  );
  dialogue(
    "a segment without is dropped, but an RST is not",
    `${stamped}
    < P. 1:101 ack 1
    . nothing
    ? 
    < R 1:1
    = gone
  `,
  );
  dialogue(
    "a guest that offers none gets none",
    `
    < S 0:0 mss=1460
    dialed
    > S. 0:0 ack 1 ts=none
  `,
  );
});

describe("options of the SYN", () => {
  dialogue(
    "scale and SACK are answered in kind",
    `
    < S 0:0 mss=1460 wscale=7 sackok
    dialed
    > S. 0:0 ack 1 mss=1460 wscale=3 sackok
  `,
  );
  dialogue(
    "and are not offered to who has not",
    `
    < S 0:0 mss=1460
    dialed
    > S. 0:0 ack 1 wscale=-1
  `,
  );
  dialogue(
    "without MSS segments are 536 bytes long",
    `
    < S 0:0
    dialed
    > S. 0:0 ack 1
    < . 1:1 ack 1
    deliver 1000
    > . 1:537 ack 1
    > P. 537:1001 ack 1
  `,
  );
  dialogue(
    "the window of a SYN is never scaled, that of its ACK is",
    `
    < S 0:0 mss=1000 wscale=4 win 2000
    dialed
    > S. 0:0 ack 1
    < . 1:1 ack 1 win 125
    deliver 5000
    > . 1:1001 ack 1
    > . 1001:2001 ack 1
    . nothing
  `,
  );
});
