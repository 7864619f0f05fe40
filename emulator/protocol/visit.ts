import * as z from "zod/mini";
import { Profile } from "./tunnel-notices.ts";

/** What the Worker has found out about a socket before it hands it to an object; travels in a header of our own. */
export const VISIT_HEADER = "x-virga-visit";
/** The secret of a room's invite, beside it. */
export const INVITE_HEADER = "x-virga-invite";
export const Visit = z.strictObject({
  door: z.enum(["virga", "aero", "raw", "tcp-mux", "tcp", "wisp", "wisp2", "udp"]),
  /** Names the session; never a credential. */
  sid: z.string().check(z.minLength(1), z.maxLength(128)),
  profile: Profile,
  /** Names what several sessions of one person have in common. */
  account: z.optional(z.string().check(z.minLength(1), z.maxLength(128))),
  /** Of the client, for quotas and the audit log; empty: unknown. */
  address: z.string().check(z.maxLength(64)),
  /** Of the doors that carry one connection. */
  target: z.optional(z.strictObject({ host: z.string().check(z.maxLength(255)), port: z.number() })),
});
export type Visit = z.infer<typeof Visit>;
