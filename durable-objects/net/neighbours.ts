/** Who on the LAN has which address, learnt from what they send (RFC 826, RFC 4861 §7.2). Bounded; the oldest goes. */
const MAX_NEIGHBOURS = 256;

export class Neighbours {
  readonly #macs = new Map<string, Uint8Array>();

  learn(address: Uint8Array, mac: Uint8Array): void {
    // Groups and "nobody" have no hardware address.
    if ((mac[0]! & 1) === 1 || address.every((byte) => byte === 0) || isGroup(address)) return;
    const key = address.join();
    const known = this.#macs.get(key);
    if (known && known.every((byte, at) => byte === mac[at])) return;
    this.#macs.delete(key);
    if (this.#macs.size >= MAX_NEIGHBOURS) this.#macs.delete(this.#macs.keys().next().value!);
    this.#macs.set(key, mac.slice());
  }

  find(address: Uint8Array): Uint8Array | undefined {
    return this.#macs.get(address.join());
  }
}

const isGroup = (address: Uint8Array): boolean =>
  address.length === 4 ? address[0]! >= 224 : address[0] === 0xff;
