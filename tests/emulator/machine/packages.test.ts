import { lookup } from "node:dns/promises";
import { connect } from "node:net";
import { expect, test } from "vitest";
import { parseIp } from "../../../durable-objects/net/ip-text.ts";
import { classOf } from "../../../durable-objects/policy/address-class.ts";
import { type Cidr, cidr } from "../../../durable-objects/policy/cidr.ts";
import { builtImage, internet, networkGuest } from "../../support/network-guest.ts";

/**
 * The guest's own package manager over our network, from the mirror that its sources name. The name is resolved here first: a
 * host whose mirror has a private address opens that one address, for this test alone.
 */
const debian = builtImage("debian");

/** Resolves when something listens there. */
const reached = (host: string, port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 5000 });
    const say = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.on("connect", () => say(true));
    socket.on("error", () => say(false));
    socket.on("timeout", () => say(false));
  });

test.skipIf(!debian)(
  "apt-get update, and a package is installed and runs (skipped without image or mirror)",
  { timeout: 900_000 },
  async (context) => {
    const allow: Cidr[] = [];
    const { network, machineEnd } = internet(allow);
    const guest = await networkGuest(debian!, machineEnd);
    try {
      if ((await guest.dialogue.run("[ -e /run/virga/network ]")).exitCode !== 0)
        context.skip("the image was built before it knew a network: npm start builds it");
      const mirror = await guest.say(
        "sed -n 's,^deb http://\\([^/]*\\)/.*,\\1,p' /etc/apt/sources.list | head -1",
      );
      const address = (await lookup(mirror, { family: 4 }).catch(() => null))?.address;
      if (!address || !(await reached(address, 80))) context.skip("the mirror cannot be reached from here");
      else if (classOf(parseIp(address)!) !== "public") allow.push(cidr(address));
      await network.leased;
      await guest.say("apt-get -qq update");
      await guest.say("apt-get -qq install -y --no-install-recommends hello >/dev/null 2>&1");
      expect(await guest.say("hello")).toBe("Hello, world!");
    } finally {
      await guest.close();
      network.close();
    }
  },
);
