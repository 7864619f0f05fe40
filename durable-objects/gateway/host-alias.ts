import type { Address } from "../net/world.ts";

/** What a guest calls `host.virga.internal`: the loopback of the machine that dials. Of a range that is nobody's (RFC 2544). */
export const HOST_ALIAS: Address = "198.18.0.1";
export const HOST_NAME = "host";
export const LOOPBACK: Address = "127.0.0.1";
