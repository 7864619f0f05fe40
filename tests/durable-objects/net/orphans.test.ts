import { assert, property, uint8Array } from "fast-check";
import { describe, expect, test } from "vitest";
import { Orphans } from "../../../durable-objects/net/orphans.ts";
import { isIntact, sum } from "../../../durable-objects/net/wire/checksum.ts";
import { readPacket, readSegment, tcpFrame } from "../../support/guest-frames.ts";

/** A segment of 10.0.2.15:40000 to 192.0.2.9:80 that acknowledges 1000 and carries these flags. */
function segment(bits: number, acknowledged = 1000, port = 40_000): Uint8Array {
  const frame = new Uint8Array(54);
  const view = new DataView(frame.buffer);
  frame.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 8, 0, 0x45]);
  frame.set([64, 6], 22);
  frame.set([10, 0, 2, 15, 192, 0, 2, 9], 26);
  view.setUint16(34, port);
  view.setUint16(36, 80);
  view.setUint32(42, acknowledged);
  frame[46] = 0x50;
  frame[47] = bits;
  return frame;
}
const gatewayMac = Uint8Array.of(2, 0, 0, 0, 0, 1);
const [ACK, SYN, RST] = [16, 2, 4];

describe("connections that the tunnel has forgotten", () => {
  test("are reset with what the guest expects next, from the other end to the guest", () => {
    const orphans = new Orphans(gatewayMac);
    orphans.onSent(segment(ACK, 1000));
    orphans.onSent(segment(ACK, 5000));
    const [frame, ...more] = orphans.reset();
    expect(more).toEqual([]);
    const view = new DataView(frame!.buffer);
    expect([...frame!.subarray(0, 12)]).toEqual([2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1]);
    expect([...frame!.subarray(26, 34)]).toEqual([192, 0, 2, 9, 10, 0, 2, 15]);
    expect([view.getUint16(34), view.getUint16(36)]).toEqual([80, 40_000]);
    expect([view.getUint32(38), frame![47]]).toEqual([5000, RST]);
    expect(isIntact(sum(view, 14, 34))).toBe(true);
    expect(isIntact(sum(view, 34, 54, sum(view, 26, 34) + 6 + 20))).toBe(true);
    expect(orphans.reset()).toEqual([]);
  });

  test("are reset over IPv6 as well", () => {
    const orphans = new Orphans(gatewayMac);
    const ends = { from: "fd00:7669:7267::15", to: "2001:db8::7", guestPort: 40_000, peerPort: 443 };
    orphans.onSent(tcpFrame({ ...ends, seq: 1, ack: 7000, flags: ACK, window: 1000 }));
    orphans.onSent(tcpFrame({ ...ends, guestPort: 40_001, seq: 1, ack: 9, flags: ACK, window: 1000 }));
    const [frame, other, ...more] = orphans.reset();
    expect(more).toEqual([]);
    expect(readPacket(frame!)).toMatchObject({ from: ends.to, to: ends.from });
    // A wrong checksum would throw.
    expect(readSegment(frame!)).toMatchObject({
      sourcePort: 443,
      destinationPort: 40_000,
      seq: 7000,
      flags: RST,
    });
    expect(readSegment(other!)).toMatchObject({ destinationPort: 40_001, seq: 9 });
  });

  test("a SYN and a connection that the guest has reset need nothing", () => {
    const orphans = new Orphans(gatewayMac);
    orphans.onSent(segment(SYN));
    orphans.onSent(segment(ACK, 1, 40_001));
    orphans.onSent(segment(RST | ACK, 1, 40_001));
    expect(orphans.size).toBe(0);
  });

  test("between machines of a room go on", () => {
    const orphans = new Orphans(gatewayMac);
    const frame = segment(ACK);
    frame[5] = 7;
    orphans.onSent(frame);
    expect(orphans.size).toBe(0);
  });

  test("are bounded, and no frame whatever breaks the book", () => {
    const orphans = new Orphans(gatewayMac);
    for (let port = 1; port < 5000; port++) orphans.onSent(segment(ACK, 1, port));
    expect(orphans.size).toBe(1024);
    assert(
      property(uint8Array({ maxLength: 120 }), (bytes) => {
        orphans.onSent(bytes);
        expect(orphans.size).toBeLessThanOrEqual(1024);
      }),
    );
  });
});
