import { expect, test } from "vitest";
import { countedDatagrams, noDatagramCounts } from "../../../durable-objects/gateway/counted-datagrams.ts";
import { type DatagramSink, type Refused, noUdp } from "../../../durable-objects/gateway/flow.ts";

const from = { address: "10.0.2.15", port: 4000 };
const to = { address: "192.0.2.7", port: 9999 };
const full: Refused = { refusal: "prohibited", code: "too-many-flows", sentence: "Too many." };

test("refusals count, whichever way they come; those of a conversation too many count twice by name", () => {
  let answer: Refused | null = null;
  let inner!: DatagramSink;
  const told: string[] = [];
  const counts = noDatagramCounts();
  const datagrams = countedDatagrams((sink) => {
    inner = sink;
    return { send: () => answer, close: () => void told.push("closed") };
  }, counts)({
    onReply: (_from, _to, payload) => told.push(`reply of ${payload.length}`),
    onEvent: ({ kind }) => told.push(kind),
  });
  const send = (): Refused | null => datagrams.send(from, to, new Uint8Array(1));

  expect(send()).toBeNull();
  inner.onEvent({ kind: "opened", from, to });
  inner.onReply(to, from, new Uint8Array(3));
  expect(counts).toEqual({ refusedDatagrams: 0, datagramFlowLimits: 0 });

  inner.onEvent({ kind: "refused", from, to, why: noUdp });
  answer = noUdp;
  expect(send()).toBe(noUdp);
  expect(counts).toEqual({ refusedDatagrams: 2, datagramFlowLimits: 0 });

  inner.onEvent({ kind: "refused", from, to, why: full });
  answer = full;
  expect(send()).toBe(full);
  expect(counts).toEqual({ refusedDatagrams: 4, datagramFlowLimits: 2 });

  datagrams.close();
  expect(told).toEqual(["opened", "reply of 3", "refused", "refused", "closed"]);
});
