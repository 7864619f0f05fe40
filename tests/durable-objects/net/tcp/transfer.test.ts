import { describe, expect, test } from "vitest";
import { Dialogue, dialogue } from "../../../support/packet-script.ts";

/** Windows, acknowledgements, loss and timers. Segments are 1,000 bytes, so that the numbers can be read. */
const open = (options = "", window = "") => `
  < S 0:0 mss=1000 ${options}
  dialed
  > S. 0:0 ack 1
  < . 1:1 ack 1 ${window}
  ? dial 1 192.0.2.7:80
`;

describe("acknowledging", () => {
  dialogue(
    "one segment: after 40 ms",
    `${open()}
    < P. 1:101 ack 1
    . nothing
    + 39
    . nothing
    + 1
    > . 1:1 ack 101
  `,
  );
  dialogue(
    "every second full one: at once",
    `${open()}
    < . 1:1001 ack 1
    . nothing
    < . 1001:2001 ack 1
    > . 1:1 ack 2001
  `,
  );
  dialogue(
    "with what goes the other way",
    `${open()}
    < P. 1:101 ack 1
    deliver 10
    > P. 1:11 ack 101
    + 100
    . nothing
  `,
  );
  dialogue(
    "out of order: at once, and again when the hole is filled",
    `${open()}
    < . 1001:2001 ack 1
    > . 1:1 ack 1
    < . 1:1001 ack 1
    > . 1:1 ack 2001
    ? send 1 1000, send 1 1000
  `,
  );
  dialogue(
    "what is missing is told by SACK, the latest first",
    `${open("sackok")}
    < . 1001:2001 ack 1
    > . 1:1 ack 1 sack=1001-2001
    < . 3001:4001 ack 1
    > . 1:1 ack 1 sack=3001-4001,1001-2001
    < . 2001:3001 ack 1
    > . 1:1 ack 1 sack=1001-4001
    < . 1:1001 ack 1
    > . 1:1 ack 4001
  `,
  );
  dialogue(
    "a FIN before its time waits for the text before it",
    `${open()}
    < F. 101:201 ack 1
    > . 1:1 ack 1
    = Established
    < P. 1:101 ack 1
    > . 1:1 ack 202
    ? send 1 100, send 1 100, finish 1
  `,
  );
  dialogue(
    "early segments that overlap give each byte once",
    `${open()}
    < . 501:1001 ack 1
    > . 1:1 ack 1
    < . 301:801 ack 1
    > . 1:1 ack 1
    < . 1:401 ack 1
    > . 1:1 ack 1001
    ? send 1 400, send 1 100, send 1 500
  `,
  );
});

describe("the guest's window", () => {
  const small = { receiveBufferBytes: 4000 };
  dialogue(
    "closes with what the world has not written, and opens by `written`",
    `
    < S 0:0 mss=1000
    dialed
    > S. 0:0 ack 1 win 4000
    < . 1:1 ack 1
    < . 1:1001 ack 1
    < . 1001:2001 ack 1
    > . 1:1 ack 2001 win 2000
    < . 2001:3001 ack 1
    < . 3001:4001 ack 1
    > . 1:1 ack 4001 win 0
    written 500
    . nothing
    written 1500
    > . 1:1 ack 4001 win 2000
  `,
    small,
  );
  dialogue(
    "text into a closed window is not taken, its ACK is",
    `
    < S 0:0 mss=1000
    dialed
    > S. 0:0 ack 1
    < . 1:1 ack 1
    deliver 100
    > P. 1:101 ack 1
    < . 1:1001 ack 1
    < . 1001:2001 ack 1
    > . 101:101 ack 2001
    < . 2001:3001 ack 1
    < . 3001:4001 ack 1
    > . 101:101 ack 4001 win 0
    < . 4001:4002 ack 101
    > . 101:101 ack 4001 win 0
    + 5000
    . nothing
  `,
    small,
  );
});

describe("the peer's window", () => {
  dialogue(
    "is not overrun",
    `${open("", "win 2500")}
    deliver 5000
    > . 1:1001 ack 1
    > . 1001:2001 ack 1
    . nothing
    < . 1:1 ack 2001 win 2500
    > . 2001:3001 ack 1
    > . 3001:4001 ack 1
  `,
  );
  dialogue(
    "a closed one is probed by a byte, less and less often",
    `${open("", "win 1000")}
    deliver 2000
    > . 1:1001 ack 1
    < . 1:1 ack 1001 win 0
    + 300
    > . 1001:1002 ack 1
    < . 1:1 ack 1001 win 0
    + 599
    . nothing
    + 1
    > . 1001:1002 ack 1
    < . 1:1 ack 1001 win 0
    + 1200
    > . 1001:1002 ack 1
    < . 1:1 ack 1001 win 5000
    > P. 1001:2001 ack 1
  `,
  );
  dialogue(
    "a probe's byte that is taken is not sent twice",
    `${open("", "win 1000")}
    deliver 2000
    > . 1:1001 ack 1
    < . 1:1 ack 1001 win 0
    + 300
    > . 1001:1002 ack 1
    < . 1:1 ack 1002 win 5000
    > P. 1002:2001 ack 1
  `,
  );
  dialogue(
    "a guest that answers no probe is given up",
    `${open("", "win 1000")}
    deliver 2000
    > . 1:1001 ack 1
    < . 1:1 ack 1001 win 0
    + 600000
    = gone
    ? closed 1 timeout
  `,
  );
  dialogue(
    "silly windows are not filled until the timer says so",
    `${open("", "win 5000")}
    deliver 5000
    > . 1:1001 ack 1
    > . 1001:2001 ack 1
    > . 2001:3001 ack 1
    > . 3001:4001 ack 1
    > P. 4001:5001 ack 1
    deliver 2000
    < . 1:1 ack 5001 win 200
    . nothing
    + 300
    > . 5001:5201 ack 1
  `,
  );
  dialogue(
    "small writes are sent at once",
    `${open()}
    deliver 10
    > P. 1:11 ack 1
    deliver 10
    > P. 11:21 ack 1
  `,
  );
});

describe("loss", () => {
  dialogue(
    "one segment, after 300 ms at least, then twice as long",
    `${open()}
    deliver 100
    > P. 1:101 ack 1
    + 299
    . nothing
    + 1
    > P. 1:101 ack 1
    + 600
    > P. 1:101 ack 1
    + 1200
    > P. 1:101 ack 1
    < . 1:1 ack 101
    + 60000
    . nothing
  `,
  );
  dialogue(
    "the guest has gone: given up after four minutes",
    `${open()}
    deliver 100
    > P. 1:101 ack 1
    + 400000
    = gone
    ? closed 1 timeout
  `,
  );
  dialogue(
    "after a time-out everything is sent again, slowly",
    `${open()}
    deliver 3000
    > . 1:1001 ack 1
    > . 1001:2001 ack 1
    > P. 2001:3001 ack 1
    + 300
    > . 1:1001 ack 1
    . nothing
    < . 1:1 ack 1001
    > . 1001:2001 ack 1
    > P. 2001:3001 ack 1
    . nothing
  `,
  );
  dialogue(
    "three duplicate ACKs without SACK (RFC 6582), and a partial ACK",
    `${open()}
    deliver 6000
    > . 1:1001 ack 1
    > . 1001:2001 ack 1
    > . 2001:3001 ack 1
    > . 3001:4001 ack 1
    > . 4001:5001 ack 1
    > P. 5001:6001 ack 1
    < . 1:1 ack 1001
    < . 1:1 ack 1001
    < . 1:1 ack 1001
    . nothing
    < . 1:1 ack 1001
    > . 1001:2001 ack 1
    . nothing
    < . 1:1 ack 3001
    > . 3001:4001 ack 1
    < . 1:1 ack 6001
    . nothing
  `,
  );
  dialogue(
    "SACK: the holes and nothing else (RFC 6675)",
    `${open("sackok")}
    deliver 8000
    > . 1:1001 ack 1
    > . 1001:2001 ack 1
    > . 2001:3001 ack 1
    > . 3001:4001 ack 1
    > . 4001:5001 ack 1
    > . 5001:6001 ack 1
    > . 6001:7001 ack 1
    > P. 7001:8001 ack 1
    < . 1:1 ack 1 sack=1001-2001
    < . 1:1 ack 1 sack=1001-2001,3001-4001
    . nothing
    < . 1:1 ack 1 sack=1001-2001,3001-5001
    > . 1:1001 ack 1
    < . 1:1 ack 1 sack=1001-2001,3001-6001
    > . 2001:3001 ack 1
    < . 1:1 ack 2001 sack=3001-6001
    < . 1:1 ack 8001
    . nothing
  `,
  );
  dialogue(
    "limited transmit: two duplicate ACKs each let one new segment out (RFC 3042)",
    `${open("", "win 60000")}
    deliver 14000
    > . 1:1001 ack 1
    > . 1001:2001 ack 1
    > . 2001:3001 ack 1
    > . 3001:4001 ack 1
    > . 4001:5001 ack 1
    > . 5001:6001 ack 1
    > . 6001:7001 ack 1
    > . 7001:8001 ack 1
    > . 8001:9001 ack 1
    > . 9001:10001 ack 1
    . nothing
    < . 1:1 ack 1 win 60000
    > . 10001:11001 ack 1
    < . 1:1 ack 1 win 60000
    > . 11001:12001 ack 1
    < . 1:1 ack 1 win 60000
    > . 1:1001 ack 1
    . nothing
  `,
  );
  dialogue(
    "a SACK of what was never sent is not believed",
    `${open("sackok")}
    deliver 1000
    > P. 1:1001 ack 1
    < . 1:1 ack 1 sack=5001-6001,7001-8001,9001-10001
    < . 1:1 ack 1 sack=5001-6001,7001-8001,9001-10001
    < . 1:1 ack 1 sack=5001-6001,7001-8001,9001-10001
    . nothing
  `,
  );
});

describe("keep-alive", () => {
  dialogue(
    "after two hours, nine times",
    `${open()}
    + 7199999
    . nothing
    + 1
    > . 0:0 ack 1
    < . 1:1 ack 1
    + 7200000
    > . 0:0 ack 1
    + 75000
    > . 0:0 ack 1
    + 600000
    = gone
    ? closed 1 timeout
  `,
  );
});

describe("room", () => {
  test("`roomy` comes when half of the buffer is free again", () => {
    const dialogue = new Dialogue({ sendBufferBytes: 4000 }).run(open("", "win 60000"));
    const { stack } = dialogue;
    expect(stack.room(1)).toBe(4000);
    dialogue.run(`
      deliver 4000
      > . 1:1001 ack 1
      > . 1001:2001 ack 1
      > . 2001:3001 ack 1
      > P. 3001:4001 ack 1
    `);
    expect(stack.room(1)).toBe(0);
    dialogue.run(`
      < . 1:1 ack 1001 win 60000
      ? 
      < . 1:1 ack 2001 win 60000
      ? roomy 1
      < . 1:1 ack 4001 win 60000
      ? 
    `);
    expect(stack.room(1)).toBe(4000);
  });

  test("more than there is room for is the host's mistake", () => {
    const { stack, now } = new Dialogue({ sendBufferBytes: 4000 }).run(open());
    expect(() => stack.deliver(1, new Uint8Array(4001), now)).toThrow("has room for 4000 bytes");
    expect(() => stack.written(1, 1, now)).toThrow("1 bytes written of 0");
  });
});
