import * as z from "zod/mini";

/** A port of a guest that can be reached by URL. */
export const PortId = z.string().check(z.regex(/^[a-z2-7]{20}$/));
export const PortAccess = z.enum(["private", "link", "public"]);
/** A machine's hardware address, 12 lower-case hex digits: what a port belongs to, wherever the machine is. */
export const MachineMac = z.string().check(z.regex(/^[0-9a-f]{12}$/));
export const machineMac = (mac: Uint8Array): string =>
  Array.from(mac, (byte) => byte.toString(16).padStart(2, "0")).join("");
export type PortAccess = z.infer<typeof PortAccess>;
export const PublishedPort = z.strictObject({
  id: PortId,
  port: z.number().check(z.int(), z.minimum(1), z.maximum(65_535)),
  access: PortAccess,
  /** Whose it is; absent: the one machine of the session. */
  machine: z.optional(MachineMac),
  /** Where it answers. With access `link` it carries the token. */
  url: z.string(),
  /** The owner's way in, where access is `private`: a path of the app's origin that leads there. */
  openPath: z.string(),
});
export type PublishedPort = z.infer<typeof PublishedPort>;

/** From the Worker to the object: which port, and how the request came in. Never taken from outside. */
export const PORT_HEADER = "x-virga-port";
export const PortRequest = z.strictObject({
  id: PortId,
  port: z.number().check(z.int(), z.minimum(1), z.maximum(65_535)),
  /** Empty: the session's machine. */
  machine: z.union([z.literal(""), MachineMac]),
  /** The IPv4 address that it had when the port was published; empty: not known. */
  address: z.string().check(z.maxLength(15)),
  /** No cookie in either direction: the port answers on the app's own origin. */
  isShared: z.boolean(),
});
export type PortRequest = z.infer<typeof PortRequest>;
