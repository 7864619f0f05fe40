import * as z from "zod/mini";
import { type Outcome, ok } from "#protocol/failure";
import { type PortAccess, PublishedPort } from "#protocol/published-port";
import { ask } from "./server.ts";

/** What other people may reach of this machine: ports on URLs, and a network that several machines share. */

const Listing = z.object({ ports: z.array(PublishedPort) });
const MadeLan = z.object({ invite: z.string() });
const Nothing = z.unknown();

export async function listPorts(): Promise<Outcome<readonly PublishedPort[]>> {
  const listing = await ask("/api/ports", Listing, "the list of your ports");
  return listing.ok ? ok(listing.value.ports) : listing;
}

/** `machine`: whose port it is; `lan`: the invite of the network that the machine is in. */
export interface Whose {
  readonly machine?: string | undefined;
  readonly lan?: string | undefined;
}
export const publishPort = (
  port: number,
  access: PortAccess,
  { machine, lan }: Whose,
): Promise<Outcome<PublishedPort>> =>
  ask("/api/ports", PublishedPort, `port ${port}`, {
    method: "POST",
    body: { port, access, ...(machine !== undefined && { machine }), ...(lan !== undefined && { lan }) },
  });

export const stopPort = (id: string): Promise<Outcome<unknown>> =>
  ask(`/api/ports/${id}`, Nothing, "this port", { method: "DELETE" });

/** Makes a network and answers with its invite, which nobody can be told again. */
export async function makeLan(): Promise<Outcome<string>> {
  const made = await ask("/api/lans", MadeLan, "the network", { method: "POST", body: { internet: true } });
  return made.ok ? ok(made.value.invite) : made;
}

/** The address at which a machine joins the network of an invite. */
export const inviteUrl = (slug: string, invite: string): string =>
  new URL(`/m/${encodeURIComponent(slug)}?lan=${encodeURIComponent(invite)}`, location.origin).href;
