import { type Socket, createSocket } from "node:dgram";
import { isIPv6 } from "node:net";
import type { OpenDatagrams, Refused } from "../../durable-objects/gateway/flow.ts";

const IDLE_MS = 60_000;
/** Of one guest: sockets, and remotes of each that may answer. */
const MAX_BINDINGS = 256;
const MAX_REMOTES = 1024;
const SWEEP_MS = 15_000;

interface Binding {
  readonly socket: Socket;
  readonly remotes: Set<string>;
  activeMs: number;
}

const full: Refused = {
  refusal: "prohibited",
  code: "too-many-flows",
  sentence: "Too many UDP conversations are open.",
};

/**
 * Datagrams by sockets of this machine: one per port of the guest, which only remotes that were written to may answer
 * (address and port), and which goes after a minute without traffic.
 */
export function nodeDatagrams(judge: (address: string, port: number) => Refused | null): OpenDatagrams {
  return (onReply) => {
    const bindings = new Map<string, Binding>();
    const forget = (key: string, binding: Binding): void => {
      bindings.delete(key);
      binding.socket.close();
    };
    const sweep = setInterval(() => {
      for (const [key, binding] of bindings)
        if (Date.now() - binding.activeMs > IDLE_MS) forget(key, binding);
    }, SWEEP_MS);
    sweep.unref();
    const bind = (
      key: string,
      guest: { address: string; port: number },
      family: "udp4" | "udp6",
    ): Binding => {
      const socket = createSocket(family);
      const binding: Binding = { socket, remotes: new Set(), activeMs: Date.now() };
      socket.on("error", () => {});
      socket.on("message", (payload, from) => {
        if (!binding.remotes.has(`${from.address} ${from.port}`)) return;
        binding.activeMs = Date.now();
        onReply({ address: from.address, port: from.port }, guest, new Uint8Array(payload));
      });
      bindings.set(key, binding);
      return binding;
    };
    return {
      send(from, to, payload) {
        const refused = judge(to.address, to.port);
        if (refused) return refused;
        const family = isIPv6(to.address) ? "udp6" : "udp4";
        const key = `${family} ${from.address} ${from.port}`;
        if (!bindings.has(key) && bindings.size >= MAX_BINDINGS) return full;
        const binding = bindings.get(key) ?? bind(key, { ...from }, family);
        binding.activeMs = Date.now();
        if (binding.remotes.size >= MAX_REMOTES) binding.remotes.clear();
        binding.remotes.add(`${to.address} ${to.port}`);
        binding.socket.send(payload, to.port, to.address);
        return null;
      },
      close() {
        clearInterval(sweep);
        for (const [key, binding] of bindings) forget(key, binding);
      },
    };
  };
}
