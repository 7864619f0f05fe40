import { describe, expect, test } from "vitest";
import { type State, next, transitions } from "../../../../durable-objects/net/tcp/states.ts";
import { Dialogue, dialogue } from "../../../support/packet-script.ts";

/** RFC 9293 §3.3.2, one dialogue a transition; both ISS lie just below 2^32. */
const established = `
  < S 0:0 mss=1460
  dialed
  > S. 0:0 ack 1 mss=1460
  < . 1:1 ack 1
  = Established
`;

describe("the diagram", () => {
  test("every state is reached from Closed, and Closed from every state", () => {
    const reach = (start: State): Set<string> => {
      const seen = new Set<string>([start]);
      for (const state of seen)
        for (const target of Object.values(transitions[state as State])) seen.add(target);
      return seen;
    };
    const all = Object.keys(transitions);
    expect([...reach("Closed")].sort()).toEqual(all.sort());
    for (const state of all) expect(reach(state as State).has("Closed"), state).toBe(true);
  });

  test("a pair that is not in it is a bug", () => {
    expect(() => next("Closed", "fin")).toThrow("fin cannot happen in Closed");
  });
});

describe("opening", () => {
  dialogue(
    "the guest's SYN waits until the world has dialled",
    `
      < S 0:0
      . nothing
      = Dialing
      ? dial 1 192.0.2.7:80
      + 30000
      . nothing
      dialed
      > S. 0:0 ack 1
      = SynReceived
      < . 1:1 ack 1
      = Established
    `,
  );

  dialogue(
    "a SYN that is sent again while the world dials is not dialled twice",
    `
      < S 0:0
      < S 0:0
      ? dial 1 192.0.2.7:80
      dialed
      > S. 0:0 ack 1
      . nothing
    `,
  );

  dialogue(
    "refused: an RST",
    `
      < S 0:0
      refused refused
      > R. 0:0 ack 1
      = gone
      ? dial 1 192.0.2.7:80, closed 1 reset
    `,
  );

  dialogue(
    "unreachable: ICMP 3/1 and an RST",
    `
      < S 0:0
      refused unreachable
      > icmp 3 1
      > R. 0:0 ack 1
    `,
  );

  dialogue(
    "prohibited: ICMP 3/13 and an RST",
    `
      < S 0:0
      refused prohibited
      > icmp 3 13
      > R. 0:0 ack 1
    `,
  );

  dialogue(
    "timeout: ICMP 3/1 alone",
    `
      < S 0:0
      refused timeout
      > icmp 3 1
      . nothing
      = gone
    `,
  );

  dialogue(
    "a host that never answers is not waited for for ever",
    `
      < S 0:0
      + 120000
      > icmp 3 1
      = gone
      ? dial 1 192.0.2.7:80, closed 1 timeout
    `,
  );

  dialogue(
    "the guest gives up while the world dials",
    `
      < S 0:0
      < R 1:1
      = gone
      ? dial 1 192.0.2.7:80, closed 1 reset
    `,
  );

  dialogue(
    "a SYN-ACK that is lost is sent again, and given up after three minutes",
    `
      < S 0:0
      dialed
      > S. 0:0 ack 1
      + 1000
      > S. 0:0 ack 1
      + 2000
      > S. 0:0 ack 1
      + 180000
      > S. 0:0 ack 1
      > S. 0:0 ack 1
      > S. 0:0 ack 1
      > S. 0:0 ack 1
      > S. 0:0 ack 1
      > R. 1:1 ack 1
      = gone
    `,
  );

  dialogue(
    "an ACK of something else in SYN-RECEIVED is answered by an RST",
    `
      < S 0:0
      dialed
      > S. 0:0 ack 1
      < . 1:1 ack 77
      > R 77:77
      = SynReceived
    `,
  );

  dialogue(
    "the SYN again in SYN-RECEIVED: our SYN-ACK again",
    `
      < S 0:0
      dialed
      > S. 0:0 ack 1
      < S 0:0
      > S. 0:0 ack 1
    `,
  );

  dialogue(
    "more flows than there may be are refused",
    `
      < S 0:0
      < S 0:0 port 40001
      > R. 0:0 ack 1
      ? dial 1 192.0.2.7:80
    `,
    { maxFlows: 1 },
  );
});

describe("opening to the guest", () => {
  dialogue(
    "SYN-SENT to ESTABLISHED",
    `
      open
      > S 0:0 mss=1460 wscale=3 sackok
      = SynSent
      < S. 0:0 ack 1
      > . 1:1 ack 1
      = Established
      ? opened 1
    `,
    {},
    true,
  );

  dialogue(
    "refused by the guest",
    `
      open
      > S 0:0
      < R. 0:0 ack 1
      = gone
      ? closed 1 reset
    `,
    {},
    true,
  );

  dialogue(
    "an ACK of something else is answered by an RST, an RST without ACK by nothing",
    `
      open
      > S 0:0
      < . 0:0 ack 9
      > R 9:9
      < R 0:0
      . nothing
      = SynSent
    `,
    {},
    true,
  );

  dialogue(
    "simultaneous open (RFC 9293 §3.5, figure 8)",
    `
      open
      > S 0:0
      < S 0:0
      > S. 0:0 ack 1
      = SynReceived
      < S. 0:0 ack 1
      > . 1:1 ack 1
      = Established
      ? opened 1
    `,
    {},
    true,
  );

  dialogue(
    "a SYN that nobody answers",
    `
      open
      > S 0:0
      + 1000
      > S 0:0
      + 2000
      > S 0:0
      + 180000
      = gone
      ? closed 1 timeout
    `,
    {},
    true,
  );
});

describe("closing", () => {
  dialogue(
    "the guest first: CLOSE-WAIT, LAST-ACK",
    `${established}
      < F. 1:1 ack 1
      > . 1:1 ack 2
      = CloseWait
      ? dial 1 192.0.2.7:80, finish 1
      ended
      > F. 1:1 ack 2
      = LastAck
      < . 2:2 ack 2
      = gone
      ? closed 1 done
    `,
  );

  test("the world first: FIN-WAIT-1, FIN-WAIT-2, TIME-WAIT, and the end of it", () => {
    const dialogue = new Dialogue().run(`${established}
      ended
      > F. 1:1 ack 1
      = FinWait1
      < . 1:1 ack 2
      = FinWait2
      < F. 1:1 ack 2
      > . 2:2 ack 2
      = gone
      ? dial 1 192.0.2.7:80, finish 1, closed 1 done
    `);
    expect(dialogue.stack.counts.timeWaits).toBe(1);
    dialogue.run("+ 59999");
    expect(dialogue.stack.counts.timeWaits).toBe(1);
    dialogue.run("+ 1");
    expect(dialogue.stack.counts.timeWaits).toBe(0);
    expect(dialogue.stack.pollAt()).toBeUndefined();
  });

  dialogue(
    "half-close: the guest goes on sending in FIN-WAIT-2",
    `${established}
      ended
      > F. 1:1 ack 1
      < . 1:1 ack 2
      < P. 1:101 ack 2
      + 40
      > . 2:2 ack 101
      ? dial 1 192.0.2.7:80, send 1 100
    `,
  );

  dialogue(
    "half-close: the world goes on sending in CLOSE-WAIT",
    `${established}
      < F. 1:1 ack 1
      > . 1:1 ack 2
      deliver 100
      > P. 1:101 ack 2
      < . 2:2 ack 101
      ended
      > F. 101:101 ack 2
    `,
  );

  test("both at once: CLOSING, TIME-WAIT", () => {
    const { stack } = new Dialogue().run(`${established}
      ended
      > F. 1:1 ack 1
      < F. 1:1 ack 1
      > . 2:2 ack 2
      = Closing
      < . 2:2 ack 2
      = gone
    `);
    expect(stack.counts.timeWaits).toBe(1);
  });

  test("FIN and the ACK of ours in one segment", () => {
    const { stack } = new Dialogue().run(`${established}
      ended
      > F. 1:1 ack 1
      < F. 1:1 ack 2
      > . 2:2 ack 2
    `);
    expect(stack.counts.timeWaits).toBe(1);
  });

  dialogue(
    "the FIN rides on the last text, and both are sent again",
    `${established}
      deliver 100
      > P. 1:101 ack 1
      ended
      > F. 101:101 ack 1
      < . 1:1 ack 101
      + 3000
      > F. 101:101 ack 1
    `,
  );

  test("a FIN that comes again in TIME-WAIT is acknowledged and the wait begins anew", () => {
    const { stack } = new Dialogue().run(`${established}
      ended
      > F. 1:1 ack 1
      < F. 1:1 ack 2
      > . 2:2 ack 2
      + 50000
      < F. 1:1 ack 2
      > . 2:2 ack 2
      + 50000
    `);
    expect(stack.counts.timeWaits).toBe(1);
  });

  dialogue(
    "a SYN with a later number opens the four ends anew in TIME-WAIT",
    `${established}
      ended
      > F. 1:1 ack 1
      < F. 1:1 ack 2
      > . 2:2 ack 2
      ? dial 1 192.0.2.7:80, finish 1, closed 1 done
      < S 1000:1000
      ? dial 2 192.0.2.7:80
    `,
  );

  dialogue(
    "a SYN with an old number does not",
    `${established}
      ended
      > F. 1:1 ack 1
      < F. 1:1 ack 2
      > . 2:2 ack 2
      < S -100:-100
      > . 2:2 ack 2
      ? dial 1 192.0.2.7:80, finish 1, closed 1 done
    `,
  );

  dialogue(
    "done waits until the host has written what it was given",
    `${established}
      < P. 1:101 ack 1
      < F. 101:101 ack 1
      > . 1:1 ack 102
      ended
      > F. 1:1 ack 102
      < . 102:102 ack 2
      = gone
      ? dial 1 192.0.2.7:80, send 1 100, finish 1
      written 100
      ? closed 1 done
    `,
  );

  dialogue(
    "text beyond the guest's own FIN is not taken",
    `${established}
      < F. 1:1 ack 1
      > . 1:1 ack 2
      < P. 2:50 ack 1
      ? dial 1 192.0.2.7:80, finish 1
    `,
  );
});
