import type { EgressKind, TunnelNotice } from "#protocol/tunnel-notices.ts";
import { lanDefaults } from "../net/lan.ts";
import { HOST_ALIAS, HOST_NAME } from "./host-alias.ts";
import type { FlowEvent } from "./stack-host.ts";

/** `failing`: the name of which no name server answered; undefined: they answer again. */
export const namesNotice = (failing: string | undefined): TunnelNotice => ({
  type: "names",
  ...(failing !== undefined && { failing }),
});

/** A flow's fate as the page is told it. `egress`: by which kind of way its flows leave. */
export function noticeOf(event: FlowEvent, egress: EgressKind): TunnelNotice {
  const { flow, target, protocol } = event;
  const { address, port } = target;
  const name = target.name ?? (address === HOST_ALIAS ? `${HOST_NAME}.${lanDefaults.domain}` : undefined);
  const row = {
    flow,
    direction: "out",
    address,
    port,
    ...(name !== undefined && { name }),
    ...(protocol && { protocol }),
  } as const;
  switch (event.kind) {
    case "opened":
      return { type: "flow-opened", ...row, egress: protocol === "udp" ? "relay" : egress };
    case "refused":
      return { type: "flow-refused", ...row, code: event.why.code, problem: event.why.sentence };
    case "closed": {
      const { why, sentBytes, receivedBytes } = event;
      return { type: "flow-closed", ...row, why, sentBytes, receivedBytes };
    }
    default:
      return event satisfies never;
  }
}
