import * as z from "zod/mini";

/** A port of a guest that can be reached by URL. */
export const PortId = z.string().check(z.regex(/^[a-z2-7]{20}$/));
export const PortAccess = z.enum(["private", "link", "public"]);
export type PortAccess = z.infer<typeof PortAccess>;
export const PublishedPort = z.strictObject({
  id: PortId,
  port: z.number().check(z.int(), z.minimum(1), z.maximum(65_535)),
  access: PortAccess,
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
  /** No cookie in either direction: the port answers on the app's own origin. */
  isShared: z.boolean(),
});
export type PortRequest = z.infer<typeof PortRequest>;
