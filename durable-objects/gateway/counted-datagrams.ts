import type { DatagramEvent, OpenDatagrams, Refused } from "./flow.ts";

/** Datagrams that had no way out. */
export interface DatagramCounts {
  refusedDatagrams: number;
  /** Those of them that began one conversation too many. */
  datagramFlowLimits: number;
}
export const noDatagramCounts = (): DatagramCounts => ({ refusedDatagrams: 0, datagramFlowLimits: 0 });

/** The same way out, which adds to `counts`. The first refusal of a conversation is an event, the further ones answers to `send`. */
export const countedDatagrams =
  (open: OpenDatagrams, counts: DatagramCounts): OpenDatagrams =>
  (sink) => {
    const onRefused = ({ code }: Refused): void => {
      counts.refusedDatagrams++;
      if (code === "too-many-flows") counts.datagramFlowLimits++;
    };
    const datagrams = open({
      onReply: (from, to, payload) => sink.onReply(from, to, payload),
      onEvent: (event: DatagramEvent) => {
        if (event.kind === "refused") onRefused(event.why);
        sink.onEvent(event);
      },
    });
    return {
      send: (from, to, payload) => {
        const refused = datagrams.send(from, to, payload);
        if (refused) onRefused(refused);
        return refused;
      },
      unheard: (from, to) => datagrams.unheard?.(from, to),
      close: () => datagrams.close(),
    };
  };
