import * as z from "zod/mini";

/** What `/api/operator` answers. Times are RFC 3339; subjects as `session:<id>`. */
export const OpenTunnels = z.object({
  tunnels: z.array(
    z.object({
      kind: z.string(),
      /** `session:<id>` and what else names its visitors. */
      subjects: z.array(z.string()),
      connections: z.number(),
      sockets: z.number(),
      seenAt: z.string(),
    }),
  ),
});
/** `until` null: for good, until it is taken back. */
export const HangUpList = z.object({
  hangUps: z.array(z.object({ subject: z.string(), sentence: z.string(), until: z.nullable(z.string()) })),
});
/** Objects that have hung up on this call, and those that have not been reached yet: ask again. */
export const HangUpReach = z.object({ reached: z.number(), left: z.number() });
