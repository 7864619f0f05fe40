import { isMac, macOf } from "./hmac.ts";

/**
 * Who may come in to a published port. A pass is an expiry and a MAC; a link's token is a pass without an end. Passes
 * travel in the query once, and in a cookie of the port's own host or path after that.
 */
const COOKIE_SECONDS = 12 * 3600;
const TICKET_SECONDS = 60;
export const PASS_PARAMETER = "virga-pass";
export const passCookie = (id: string): string => `virga_port_${id}`;

type Kind = "link" | "ticket" | "cookie";
const text = (kind: Kind, id: string, expires: string): string => `port ${kind} ${id} ${expires}`;

async function mint(secret: string, kind: Kind, id: string, expires: number): Promise<string> {
  return `${expires}.${await macOf(secret, text(kind, id, String(expires)))}`;
}

async function isPass(secret: string, kind: Kind, id: string, pass: string, nowMs: number): Promise<boolean> {
  const parts = /^(\d{1,12})\.([A-Za-z0-9_-]{43})$/.exec(pass);
  if (!parts || !(await isMac(secret, text(kind, id, parts[1]!), parts[2]!))) return false;
  return kind === "link" || Number(parts[1]) * 1000 > nowMs;
}

export const linkPass = (secret: string, id: string): Promise<string> => mint(secret, "link", id, 0);
/** Good for a minute: what the owner is sent to the port's host with. */
export const ticketPass = (secret: string, id: string, nowMs: number): Promise<string> =>
  mint(secret, "ticket", id, Math.floor(nowMs / 1000) + TICKET_SECONDS);

export async function mayEnter(
  secret: string,
  access: "private" | "link",
  id: string,
  pass: string,
  nowMs: number,
): Promise<boolean> {
  if (await isPass(secret, "ticket", id, pass, nowMs)) return true;
  return access === "link" && isPass(secret, "link", id, pass, nowMs);
}

export async function setPassCookie(
  secret: string,
  id: string,
  place: { readonly path: string; readonly isSecure: boolean },
  nowMs: number,
): Promise<string> {
  const pass = await mint(secret, "cookie", id, Math.floor(nowMs / 1000) + COOKIE_SECONDS);
  const attributes = [`Path=${place.path}`, `Max-Age=${COOKIE_SECONDS}`, "HttpOnly", "SameSite=Lax"];
  return [`${passCookie(id)}=${pass}`, ...attributes, ...(place.isSecure ? ["Secure"] : [])].join("; ");
}

export async function hasPassCookie(
  secret: string,
  id: string,
  cookies: string | null,
  nowMs: number,
): Promise<boolean> {
  for (const pair of (cookies ?? "").split(";")) {
    const [name, value] = pair.split("=", 2);
    if (name?.trim() === passCookie(id)) return isPass(secret, "cookie", id, value?.trim() ?? "", nowMs);
  }
  return false;
}
