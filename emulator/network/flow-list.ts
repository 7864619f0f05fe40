import { FLOW_ROWS, type FlowRow } from "../protocol/network-messages.ts";
import type { TunnelNotice } from "../protocol/tunnel-notices.ts";

type FlowNotice = Extract<TunnelNotice, { type: "flow-opened" | "flow-refused" | "flow-closed" }>;

/** The guest's connections as the panel lists them: bounded, the ended ones go first. */
export class FlowList {
  readonly #rows = new Map<number, FlowRow>();
  #isChanged = false;

  note(notice: FlowNotice): void {
    const known = this.#rows.get(notice.flow);
    if (!known && this.#rows.size >= FLOW_ROWS) this.#rows.delete(this.#oldest());
    this.#rows.set(notice.flow, rowOf(notice));
    this.#isChanged = true;
  }

  /** Newest first; undefined when nothing has changed since the last call. */
  changed(): FlowRow[] | undefined {
    if (!this.#isChanged) return undefined;
    this.#isChanged = false;
    return [...this.#rows.values()].reverse();
  }

  #oldest(): number {
    for (const [id, { state }] of this.#rows) if (state === "closed" || state === "refused") return id;
    return this.#rows.keys().next().value!;
  }
}

function rowOf(notice: FlowNotice): FlowRow {
  const { flow, direction, name, address, port, protocol } = notice;
  const row = {
    id: flow,
    direction,
    host: name ?? address,
    port,
    ...(protocol && { protocol }),
    sentBytes: 0,
    receivedBytes: 0,
  };
  switch (notice.type) {
    case "flow-opened":
      return { ...row, state: "open" };
    case "flow-refused":
      return {
        ...row,
        state: "refused",
        reason: notice.code,
        ...(notice.problem === undefined ? {} : { problem: notice.problem }),
      };
    case "flow-closed":
      return {
        ...row,
        state: "closed",
        reason: notice.why,
        sentBytes: notice.sentBytes,
        receivedBytes: notice.receivedBytes,
      };
    default:
      return notice satisfies never;
  }
}
